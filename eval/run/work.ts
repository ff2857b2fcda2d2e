/** Divides a plan into requests, in the order in which they fill batches best. */
import type { Attempt } from "../attempts/attempt.ts";
import { attemptKey } from "../attempts/attempt-schema.ts";
import type { ChatProblem, ForcedProblem } from "../tasks/task.ts";
import { attemptSeed, type Cell, type Plan } from "./plan.ts";

/** One attempt at a problem. */
export interface SolveWork {
  readonly kind: "chat";
  readonly cell: Cell;
  readonly problem: ChatProblem;
  readonly attempt: number;
  readonly seed: number;
}

/** Forced tokens under all methods that lack them: they share a prefill. */
export interface ScoreWork {
  readonly kind: "forced";
  readonly cells: readonly [Cell, ...Cell[]];
  readonly problem: ForcedProblem;
  readonly seed: number;
}

export type Work = SolveWork | ScoreWork;

/** Keys of the attempts that a piece of work makes. */
export function keysOf(work: Work): string[] {
  const { id: problemId } = work.problem;
  if (work.kind === "chat")
    return [attemptKey({ settingsHash: work.cell.settingsHash, problemId, attempt: work.attempt })];
  return work.cells.map(({ settingsHash }) => attemptKey({ settingsHash, problemId, attempt: 0 }));
}

/** Every attempt of a plan by its key. */
export function plannedKeys({ cells }: Plan): Set<string> {
  const keys = new Set<string>();
  for (const { settingsHash, problems, attempts } of cells)
    for (const { id: problemId } of problems)
      for (let attempt = 0; attempt < attempts; attempt++)
        keys.add(attemptKey({ settingsHash, problemId, attempt }));
  return keys;
}

/**
 * The work that is left. One method after the other, since requests of one method form one group of a batch; within a method the
 * longest problems first, so that no long one is left alone at the end; the attempts at a problem side by side, as they share
 * their prompt. Forced tokens come last.
 * done: the attempts that need not be made again, by their keys
 */
export function remainingWork(plan: Plan, done: ReadonlyMap<string, Attempt>): Work[] {
  const chats: SolveWork[] = [];
  const labels = new Map<string, number>();
  for (const cell of plan.cells) {
    if (!labels.has(cell.attention)) labels.set(cell.attention, labels.size);
    for (const problem of cell.problems)
      for (let attempt = 0; problem.kind === "chat" && attempt < cell.attempts; attempt++)
        chats.push({
          kind: "chat",
          cell,
          problem,
          attempt,
          seed: attemptSeed(plan.seed, cell, problem.id, attempt),
        });
  }
  const rank = ({ cell }: SolveWork) => labels.get(cell.attention) ?? 0;
  const tokens = ({ cell, problem }: SolveWork) =>
    problem.maxTokens ?? cell.length ?? Number.POSITIVE_INFINITY;
  // Equal lengths, also endless ones, keep the order of the plan; the sort is stable.
  const longer = (a: SolveWork, b: SolveWork) => (tokens(a) === tokens(b) ? 0 : tokens(b) - tokens(a));
  chats.sort((a, b) => rank(a) - rank(b) || longer(a, b));
  const isLeft = (work: Work) => keysOf(work).some((key) => !done.has(key));
  return [...chats.filter(isLeft), ...scoreWork(plan, done)];
}

function scoreWork(plan: Plan, done: ReadonlyMap<string, Attempt>): ScoreWork[] {
  const works = new Map<ForcedProblem, [Cell, ...Cell[]]>();
  for (const cell of plan.cells)
    for (const problem of cell.problems) {
      const key = attemptKey({ settingsHash: cell.settingsHash, problemId: problem.id, attempt: 0 });
      if (problem.kind !== "forced" || done.has(key)) continue;
      const cells = works.get(problem);
      if (cells === undefined) works.set(problem, [cell]);
      else cells.push(cell);
    }
  return [...works].map(([problem, cells]) => ({
    kind: "forced",
    cells,
    problem,
    seed: attemptSeed(plan.seed, cells[0], problem.id, 0),
  }));
}
