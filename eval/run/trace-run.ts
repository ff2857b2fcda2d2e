/**
 * Traces of a run: the first problems of each cell once more beside an observer, when their attempts are done. The attempts
 * themselves are not watched, since watching takes time and theirs are measured.
 */
import { createHash } from "node:crypto";
import { open, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { AbortedError, BackendError, ConfigError, ModelFileError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { attemptKey } from "../attempts/attempt-schema.ts";
import { makeFolder } from "../attempts/make-folder.ts";
import { readFirstLine, TRACES_FOLDER } from "../attempts/trace-files.ts";
import type { TraceSource } from "../metrics/trace-record.ts";
import { TraceWriter } from "../metrics/trace-writer.ts";
import { cellName } from "../results-files/cell-name.ts";
import type { TaskProblem } from "../tasks/task.ts";
import { requestOf } from "./make-attempt.ts";
import { attemptSeed, type Cell, type Plan, type Shard } from "./plan.ts";
import type { AttemptFailure } from "./runner.ts";
import type { ForcedRequest, SolveRequest, Solver } from "./solver.ts";

/** Samples of a response if the command does not say how far apart they are. */
const SAMPLES = 64;
/** Traced requests at once: each keeps the weights of all layers and heads of a step. */
const AT_ONCE = 4;

/** What to trace. */
export interface TraceChoice {
  /** The first problems of each task and length, under every method. */
  readonly problems: number;
  /** Decode steps from one sample to the next. Default: as many as give 64 samples. */
  readonly every?: number;
}

/** Traces made so far. */
export interface TraceProgress {
  readonly total: number;
  /** Traces that are whole, those of earlier runs among them. */
  done: number;
}

export interface TraceRunOptions {
  readonly solver: Solver;
  readonly plan: Plan;
  /** The attempts by their keys: a response that failed is not traced. */
  readonly attempts: ReadonlyMap<string, Attempt>;
  /** Folder of the run, locked. */
  readonly folder: string;
  readonly choice: TraceChoice;
  readonly shard?: Shard | undefined;
  readonly signal: AbortSignal;
  readonly onStart?: ((progress: TraceProgress) => void) | undefined;
}

interface TraceWork {
  readonly path: string;
  readonly cell: Cell;
  readonly problem: TaskProblem;
  readonly every: number;
}

/** @throws ConfigError if the solver cannot be watched */
export function checkObservable(solver: Solver): void {
  if (solver.observe === undefined)
    throw new ConfigError(
      `${solver.report.model} lends no view of its attention, so that it cannot be traced; leave out --trace-problems`,
    );
}

/**
 * Makes the traces that are missing: one file each, `traces/CELL_HASH.jsonl`, there when it is whole. A trace by another `every`
 * is replaced.
 * @returns the traces that failed
 * @throws AbortedError by the signal; BackendError; ModelFileError if the folder cannot be written
 */
export async function traceRun(options: TraceRunOptions): Promise<readonly AttemptFailure[]> {
  const { folder, signal, onStart } = options;
  const target = join(folder, TRACES_FOLDER);
  await makeFolder(target);
  await removePartial(target);
  const all = traceWork(options, target);
  const isMissing = await Promise.all(all.map(lacksTrace));
  const queue = all.filter((_, i) => isMissing[i]);
  const progress = { total: all.length, done: all.length - queue.length };
  onStart?.(progress);
  const failures: AttemptFailure[] = [];
  const next = async (): Promise<void> => {
    for (let work = queue.shift(); work !== undefined; work = queue.shift()) {
      if (signal.aborted) throw new AbortedError("the evaluation was interrupted");
      try {
        await trace(work, options);
        progress.done++;
      } catch (error) {
        if (isFatal(error)) {
          queue.length = 0;
          throw error;
        }
        failures.push(failureOf(work, error));
      }
    }
  };
  const ended = await Promise.allSettled(Array.from({ length: AT_ONCE }, next));
  for (const end of ended) if (end.status === "rejected") throw end.reason;
  return failures;
}

function isFatal(error: unknown): boolean {
  return [AbortedError, BackendError, ModelFileError].some((kind) => error instanceof kind);
}

/** The first problems of the whole task, of which a shard has some. */
function traceWork({ plan, attempts, choice, shard }: TraceRunOptions, target: string): TraceWork[] {
  return plan.cells.flatMap((cell) =>
    cell.problems.flatMap((problem, i): TraceWork[] => {
      const place = shard === undefined ? i : shard.index - 1 + i * shard.count;
      const { settingsHash } = cell;
      const row = attempts.get(attemptKey({ settingsHash, problemId: problem.id, attempt: 0 }));
      if (place >= choice.problems || row === undefined) return [];
      const hash = createHash("sha256")
        .update(JSON.stringify([settingsHash, problem.id]))
        .digest("hex");
      const path = join(target, `${cellName(cell)}_${hash.slice(0, 12)}.jsonl`);
      const every = choice.every ?? Math.max(1, Math.round(row.completionTokens / SAMPLES));
      return [{ path, cell, problem, every }];
    }),
  );
}

/** An empty trace is one, of a response without decode steps. */
async function lacksTrace({ path, every }: TraceWork): Promise<boolean> {
  const line = await readFirstLine(path);
  return line === undefined || (line !== "" && everyOf(line) !== every);
}

function everyOf(line: string): unknown {
  try {
    const record: unknown = JSON.parse(line);
    return typeof record === "object" && record !== null && "every" in record ? record.every : undefined;
  } catch {
    return undefined; // no JSON: it is made again
  }
}

async function trace({ path, cell, problem, every }: TraceWork, options: TraceRunOptions): Promise<void> {
  const { solver, plan, signal } = options;
  const { task, length, attention, settingsHash } = cell;
  const source: TraceSource = {
    ...{ attention, task, problemId: problem.id, settingsHash, every },
    ...(length !== undefined && { length }),
  };
  const partial = `${path}.partial`;
  const writer = new TraceWriter(partial, { every });
  try {
    await solver.observe?.(tracedRequest(cell, problem, { plan, signal }), writer.observe(source));
  } catch (error) {
    await rm(partial, { force: true });
    throw error;
  } finally {
    writer.close();
  }
  await keepWhole(partial, path);
}

function tracedRequest(
  cell: Cell,
  problem: TaskProblem,
  { plan, signal }: { readonly plan: Plan; readonly signal: AbortSignal },
): SolveRequest | ForcedRequest {
  if (problem.kind === "forced") {
    const { tokenIds, from } = problem;
    return { tokenIds, from, method: cell.method, signal };
  }
  return requestOf({ cell, problem, seed: attemptSeed(plan.seed, cell, problem.id, 0) }, { plan, signal });
}

function failureOf({ cell, problem }: TraceWork, error: unknown): AttemptFailure {
  const { settingsHash, task, length, attention } = cell;
  return {
    ...{ settingsHash, task, attention, problemId: problem.id, attempt: 0, tries: 1 },
    ...(length !== undefined && { length }),
    error: `its trace: ${error instanceof Error ? error.message : String(error)}`,
  };
}

/** Gives a written file its name once it is on the disk. @throws ModelFileError */
async function keepWhole(partial: string, path: string): Promise<void> {
  try {
    const file = await open(partial, "r+");
    try {
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(partial, path);
  } catch (cause) {
    throw new ModelFileError(`writing ${path}: ${String(cause)}`, { cause });
  }
}

/** Removes what a killed run left unfinished. */
async function removePartial(target: string): Promise<void> {
  try {
    for (const name of await readdir(target))
      if (name.endsWith(".partial")) await rm(join(target, name), { force: true });
  } catch (cause) {
    throw new ModelFileError(`tidying ${target}: ${String(cause)}`, { cause });
  }
}
