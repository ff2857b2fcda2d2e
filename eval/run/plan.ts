/** What a run has to do: every attempt at every problem under every method. */
import { createHash } from "node:crypto";
import { ConfigError } from "../../src/node/index.ts";
import type { CellRecord } from "../attempts/settings-file.ts";
import { hashSettings } from "../attempts/settings-file.ts";
import type { Grader } from "../grading/index.ts";
import type { Task, TaskProblem } from "../tasks/task.ts";
import { packageVersion } from "./package-version.ts";
import type { Method, Sampling, Solver } from "./solver.ts";

/** Higher with every change to the harness that changes the outcome of an attempt. */
export const HARNESS_VERSION = 2;

/** Attempts of one run. The plan is in memory, about 1 KB for each; a model would work on this many for months. */
const MAX_ATTEMPTS = 1_000_000;

/** What all cells of a run share. */
export interface RunLimits {
  readonly sampling: Sampling;
  /** Limit on a response; a problem's own limit may be lower. */
  readonly maxTokens?: number;
  readonly chatTemplateOptions?: Readonly<Record<string, unknown>>;
  readonly seed: number;
  readonly grader: Grader;
}

export interface PlanOptions extends RunLimits {
  readonly tasks: readonly Task[];
  /** For tasks that come in lengths; empty: their own. */
  readonly lengths: readonly number[];
  readonly methods: readonly Method[];
  /** Problems a task and length. */
  readonly problems?: number;
  /** Attempts a problem; left out: the task's own. */
  readonly attempts?: number;
  /** Every count-th problem from index on, 1 ≤ index ≤ count. */
  readonly shard?: Shard;
  readonly solver: Solver;
  readonly signal?: AbortSignal;
}

/** A part of a run that several processes share. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

/** One method on one task at one length. */
export interface Cell extends CellRecord {
  readonly definition: Task;
  readonly method: Method;
  readonly problems: readonly TaskProblem[];
  readonly attempts: number;
}

/** The work of a run. */
export interface Plan extends RunLimits {
  readonly cells: readonly Cell[];
}

/**
 * Makes the plan. Problems are drawn once a task and length, so that all methods get the same.
 * @throws ConfigError if a task has no problems, or the solver cannot do what a task needs
 */
export async function makePlan(options: PlanOptions): Promise<Plan> {
  const { sampling, maxTokens, chatTemplateOptions, seed, grader } = options;
  const limits: RunLimits = {
    sampling,
    seed,
    grader,
    ...(maxTokens !== undefined && { maxTokens }),
    ...(chatTemplateOptions !== undefined && { chatTemplateOptions }),
  };
  const cells: Cell[] = [];
  for (const task of options.tasks) {
    const lengths =
      task.defaultLengths.length === 0
        ? [undefined]
        : options.lengths.length > 0
          ? options.lengths
          : task.defaultLengths;
    for (const length of lengths) {
      const problems = await drawProblems(task, length, options);
      for (const method of options.methods)
        cells.push(makeCell({ task, length, method, problems, limits, options }));
    }
  }
  checkSize(cells);
  return { ...limits, cells };
}

function checkSize(cells: readonly Cell[]): void {
  const planned = cells.reduce((sum, { problems, attempts }) => sum + problems.length * attempts, 0);
  if (planned > MAX_ATTEMPTS)
    throw new ConfigError(
      `the run has ${planned} attempts, expected at most ${MAX_ATTEMPTS}: take fewer --attempts, --problems or --attention, or a --shard`,
    );
}

async function drawProblems(
  task: Task,
  length: number | undefined,
  { problems: count, seed, solver, shard, signal }: PlanOptions,
): Promise<readonly TaskProblem[]> {
  const all = await task.problems({
    seed,
    ...(length !== undefined && { length }),
    ...(count !== undefined && { count }),
    ...(solver.tokenizer !== undefined && { tokenizer: solver.tokenizer }),
    ...(signal !== undefined && { signal }),
  });
  if (all.length === 0) throw new ConfigError(`${task.name}: there are no problems`);
  const ids = new Set(all.map(({ id }) => id));
  if (ids.size < all.length) throw new ConfigError(`${task.name}: two of its problems have the same id`);
  if (task.kind === "forced" && solver.score === undefined)
    throw new ConfigError(
      `${task.name} needs the probabilities of forced tokens, which ${solver.report.model} does not give; leave it out`,
    );
  return shard === undefined ? all : all.filter((_, i) => i % shard.count === shard.index - 1);
}

function makeCell({
  task,
  length,
  method,
  problems,
  limits,
  options,
}: {
  readonly task: Task;
  readonly length: number | undefined;
  readonly method: Method;
  readonly problems: readonly TaskProblem[];
  readonly limits: RunLimits;
  readonly options: PlanOptions;
}): Cell {
  const { sampling, maxTokens, chatTemplateOptions, seed, grader } = limits;
  const isForced = task.kind === "forced";
  const asked = {
    task: { name: task.name, version: task.version, ...task.settings },
    length: length ?? null,
    seed,
  };
  const settings = {
    version: [packageVersion(), HARNESS_VERSION],
    model: options.solver.report.identity,
    ...asked,
    attention: method.label,
    ...(method.identity !== undefined && { attentionIdentity: method.identity }),
    // Forced tokens are neither sampled nor graded.
    ...(!isForced && {
      sampling,
      maxTokens: maxTokens ?? null,
      chatTemplateOptions: chatTemplateOptions ?? {},
      grader,
    }),
  };
  return {
    task: task.name,
    ...(length !== undefined && { length }),
    attention: method.label,
    settings,
    settingsHash: hashSettings(settings),
    // Lengths are in tokens of the model, which then decide the problems too.
    problemSet: hashSettings({ ...asked, model: options.solver.report.identity }),
    definition: task,
    method,
    problems,
    attempts: isForced ? 1 : (options.attempts ?? task.defaultAttempts),
  };
}

/**
 * The seed of an attempt, in [0, 2^31). It depends on the problem and the attempt alone, so that neither order nor batches change
 * a sampled response, and methods are compared on the same random numbers.
 */
export function attemptSeed(
  seed: number,
  cell: Pick<Cell, "task" | "length">,
  problemId: string,
  attempt: number,
) {
  const text = JSON.stringify([seed, cell.task, cell.length ?? null, problemId, attempt]);
  return createHash("sha256").update(text).digest().readUInt32LE(0) >>> 1;
}
