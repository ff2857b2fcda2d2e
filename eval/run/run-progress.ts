/** Progress of a run as one line for people. */
import type { Attempt } from "../attempts/attempt.ts";
import { attemptKey } from "../attempts/attempt-schema.ts";
import type { Cell, Plan } from "./plan.ts";
import type { Solver } from "./solver.ts";

/** What is done of one cell. */
interface CellProgress {
  readonly cell: Cell;
  readonly planned: number;
  done: number;
  tokens: number;
}

export class RunProgress {
  readonly #cells = new Map<string, CellProgress>();
  readonly #problems = new Map<string, { left: number }>();
  readonly #solver: Solver;
  readonly #now: () => number;
  readonly #startedAt: number;
  #scores = 0;
  #graded = 0;
  #solved = 0;
  #done = 0;
  #planned = 0;
  /** Tokens of attempts that this run has made. */
  #ownTokens = 0;

  /** done: attempts of earlier runs. now: milliseconds */
  constructor(
    plan: Plan,
    {
      solver,
      done,
      now = () => performance.now(),
    }: {
      readonly solver: Solver;
      readonly done: ReadonlyMap<string, Attempt>;
      readonly now?: () => number;
    },
  ) {
    this.#solver = solver;
    this.#now = now;
    this.#startedAt = now();
    for (const cell of plan.cells) {
      const planned = cell.problems.length * cell.attempts;
      this.#cells.set(cell.settingsHash, { cell, planned, done: 0, tokens: 0 });
      this.#planned += planned;
      for (const { id } of cell.problems) {
        const problem = this.#problems.get(problemKey(cell, id)) ?? { left: 0 };
        problem.left += cell.attempts;
        this.#problems.set(problemKey(cell, id), problem);
      }
    }
    for (const attempt of done.values()) this.#count(attempt);
  }

  /** Counts an attempt that this run has made. */
  add(attempt: Attempt): void {
    this.#ownTokens += attempt.completionTokens;
    this.#count(attempt);
  }

  #count(attempt: Attempt): void {
    const progress = this.#cells.get(attempt.settingsHash);
    if (progress === undefined) return;
    const problem = this.#problems.get(problemKey(progress.cell, attempt.problemId));
    if (problem === undefined || attempt.attempt >= progress.cell.attempts) return;
    progress.done++;
    progress.tokens += attempt.completionTokens;
    this.#done++;
    problem.left--;
    if (problem.left === 0) this.#solved++;
    if (attempt.metric === "correct") {
      this.#graded++;
      this.#scores += attempt.score;
    }
  }

  /** "problems 12 of 60, attempts 150 of 540, 81 % right, 812 tokens/s, 4 min left" */
  describe(): string {
    const { tokens, perSecond } = this.#rate();
    const left = this.#tokensLeft(tokens);
    return [
      `problems ${this.#solved} of ${this.#problems.size}`,
      `attempts ${this.#done} of ${this.#planned}`,
      ...(this.#graded > 0 ? [`${((100 * this.#scores) / this.#graded).toFixed(0)} % right`] : []),
      ...(perSecond > 0 ? [`${perSecond.toFixed(perSecond < 10 ? 1 : 0)} tokens/s`] : []),
      ...(perSecond > 0 && left !== undefined ? [`${formatDuration(left / perSecond)} left`] : []),
    ].join(", ");
  }

  #rate(): { readonly tokens: number; readonly perSecond: number } {
    const tokens = this.#solver.generatedTokens?.() ?? this.#ownTokens;
    const seconds = (this.#now() - this.#startedAt) / 1000;
    return { tokens, perSecond: seconds > 0 ? tokens / seconds : 0 };
  }

  /**
   * Tokens that the attempts ahead will take, by the mean of the same task and length so far, under any method; undefined
   * before the first has ended. tokens: those that running requests have too
   */
  #tokensLeft(tokens: number): number | undefined {
    const means = new Map<string, { done: number; tokens: number }>();
    const all = { done: 0, tokens: 0 };
    for (const { cell, done, tokens: some } of this.#cells.values()) {
      const key = taskKey(cell);
      const mean = means.get(key) ?? { done: 0, tokens: 0 };
      means.set(key, { done: mean.done + done, tokens: mean.tokens + some });
      all.done += done;
      all.tokens += some;
    }
    if (all.done === 0) return undefined;
    let left = 0;
    for (const { cell, planned, done } of this.#cells.values()) {
      const own = means.get(taskKey(cell));
      const { done: count, tokens: sum } = own !== undefined && own.done > 0 ? own : all;
      left += ((planned - done) * sum) / count;
    }
    return Math.max(0, left - (tokens - this.#ownTokens));
  }
}

const taskKey = ({ task, length }: Cell): string => JSON.stringify([task, length ?? null]);
const problemKey = ({ task, length }: Cell, id: string): string => JSON.stringify([task, length ?? null, id]);

/** Keeps the rows of a plan, in the plan's order. */
export function rowsOf(plan: Plan, attempts: ReadonlyMap<string, Attempt>): Attempt[] {
  const rows: Attempt[] = [];
  for (const { settingsHash, problems, attempts: count } of plan.cells)
    for (const { id: problemId } of problems)
      for (let attempt = 0; attempt < count; attempt++) {
        const row = attempts.get(attemptKey({ settingsHash, problemId, attempt }));
        if (row !== undefined) rows.push(row);
      }
  return rows;
}

export function formatDuration(seconds: number): string {
  if (seconds < 90) return `${Math.ceil(seconds)} s`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${(seconds / 3600).toFixed(1)} h`;
  return `${(seconds / 86_400).toFixed(1)} days`;
}
