/** `lessismore eval`: opens the solver, makes the plan, runs it, and writes the results. */
import { setMaxListeners } from "node:events";
import { appendFile } from "node:fs/promises";
import { join } from "node:path";
import { AbortedError, ConfigError, ModelFileError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { AttemptLog } from "../attempts/attempt-log.ts";
import { addProblemRecords, type ProblemRecord } from "../attempts/problem-file.ts";
import { lockFolder } from "../attempts/run-lock.ts";
import { addSettings, type CellRecord, type RunRecord } from "../attempts/settings-file.ts";
import { writeResults } from "../results-files/write-results.ts";
import { describeMachine } from "../run/describe-machine.ts";
import { type Estimate, estimateRun } from "../run/estimate.ts";
import { type Cell, makePlan, type Plan, type RunLimits, type Shard } from "../run/plan.ts";
import { RunProgress, rowsOf } from "../run/run-progress.ts";
import { type AttemptFailure, runPlan } from "../run/runner.ts";
import type { AttentionChoice, Method, Solver, SolverReport } from "../run/solver.ts";
import { checkObservable, type TraceChoice, type TraceProgress, traceRun } from "../run/trace-run.ts";
import { plannedKeys } from "../run/work.ts";
import type { Task } from "../tasks/task.ts";

const FAILURES_FILE = "failures.jsonl";

/** Tasks and the methods to compare on them. */
export interface EvaluationPart {
  readonly tasks: readonly Task[];
  readonly attentions: readonly AttentionChoice[];
  /** Leaves out, with a note, attentions that do not fit the model. */
  readonly leavesOut?: boolean;
  readonly lengths: readonly number[];
  readonly problems?: number;
  readonly attempts?: number;
}

/** What to evaluate, where the results go, and whom to tell. */
export interface EvaluationOptions extends RunLimits {
  readonly parts: readonly EvaluationPart[];
  readonly shard?: Shard;
  /** Folder of the run. */
  readonly out: string;
  /** Options of the command, for the record. JSON. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly signal: AbortSignal;
  /** Measures a few tokens first, and says what the run will cost. */
  readonly isEstimated?: boolean;
  /** Receives what the run will cost, before it begins. */
  readonly onEstimate?: (estimate: Estimate) => void;
  /** Called before the first request, with how much there is to do. */
  readonly onStart?: (run: StartedRun) => void;
  /** Receives what the run does otherwise than asked. */
  readonly onNotes?: (notes: readonly string[]) => void;
  /** Receives each attempt that could not be made. */
  readonly onFailure?: (failure: AttemptFailure) => void;
  /** Traces attention once the attempts are done. */
  readonly traces?: TraceChoice;
  /** Called before the first trace, with what changes as they are made. */
  readonly onTraces?: (progress: TraceProgress) => void;
}

/** A run before its first request. */
export interface StartedRun {
  readonly plan: Plan;
  readonly planned: number;
  /** Attempts of earlier runs that this one need not make. */
  readonly reused: number;
  readonly progress: RunProgress;
}

/** What a run has made. */
export interface EvaluationOutcome {
  readonly plan: Plan;
  readonly solver: SolverReport;
  /** The plan's attempts, without their responses. */
  readonly attempts: readonly Attempt[];
  readonly reused: number;
  readonly failures: readonly AttemptFailure[];
  /** Path of the results file; undefined if there is no attempt. */
  readonly results: string | undefined;
}

/**
 * Evaluates a solver's model. A run that was stopped goes on where it was; rows under other settings are not reused.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export async function evaluate(solver: Solver, options: EvaluationOptions): Promise<EvaluationOutcome> {
  const startedAt = new Date().toISOString();
  const begin = performance.now();
  setMaxListeners(0, options.signal); // Each request in flight listens.
  if (options.traces !== undefined) checkObservable(solver);
  const plan = await planOf(solver, options);
  await estimate(plan, solver, options);
  if (options.signal.aborted)
    throw new AbortedError("the evaluation was interrupted before its first attempt");
  const unlock = await lockFolder(options.out);
  try {
    const { log, attempts } = await AttemptLog.open(options.out);
    try {
      const { model, facts, notes } = solver.report;
      const machine = { ...facts, machine: describeMachine() };
      const run: RunRecord = { startedAt, model, options: options.options, facts: machine, notes };
      await addSettings(options.out, { runs: [run], cells: plan.cells.map(recordOf) });
      await addProblemRecords(options.out, problemRecordsOf(plan, options.shard));
      const reused = rowsOf(plan, attempts).length;
      const progress = new RunProgress(plan, { solver, done: attempts });
      const planned = plan.cells.reduce((sum, cell) => sum + cell.problems.length * cell.attempts, 0);
      options.onStart?.({ plan, planned, reused, progress });
      const failures = await runPlan({
        ...{ solver, plan, log, attempts },
        signal: options.signal,
        onAttempt: (attempt) => progress.add(attempt),
        onFailure: options.onFailure ?? (() => {}),
        onNotes: options.onNotes ?? (() => {}),
      });
      await recordFailures(options.out, startedAt, failures);
      const results = await writeResults(options.out, {
        keys: plannedKeys(plan),
        elapsedSeconds: (performance.now() - begin) / 1000,
      });
      const untraced = await traceAttempts(solver, { plan, attempts, options });
      await recordFailures(options.out, startedAt, untraced);
      return {
        ...{ plan, solver: solver.report, attempts: rowsOf(plan, attempts), reused, results },
        failures: [...failures, ...untraced],
      };
    } finally {
      await log.close();
    }
  } finally {
    await unlock();
  }
}

/** One plan of all parts. The same cell in two parts is one cell, with the larger number of problems and attempts. */
async function planOf(solver: Solver, options: EvaluationOptions): Promise<Plan> {
  const cells = new Map<string, Cell>();
  let limits: Plan | undefined;
  for (const part of options.parts) {
    const { tasks, attentions, lengths, problems, attempts, leavesOut = false } = part;
    const methods = await bind(attentions, { solver, leavesOut, onNotes: options.onNotes });
    limits = await makePlan({
      ...options,
      ...{ tasks, lengths, methods, solver },
      ...(problems !== undefined && { problems }),
      ...(attempts !== undefined && { attempts }),
    });
    for (const cell of limits.cells) {
      const before = cells.get(cell.settingsHash);
      const size = (one: Cell) => one.problems.length * one.attempts;
      if (before === undefined || size(before) < size(cell)) cells.set(cell.settingsHash, cell);
    }
  }
  if (limits === undefined || cells.size === 0) throw new ConfigError("there is no task to evaluate");
  return { ...limits, cells: [...cells.values()] };
}

async function bind(
  attentions: readonly AttentionChoice[],
  {
    solver,
    leavesOut,
    onNotes,
  }: {
    readonly solver: Solver;
    readonly leavesOut: boolean;
    readonly onNotes: EvaluationOptions["onNotes"];
  },
): Promise<readonly Method[]> {
  if (!leavesOut) return solver.bind(attentions);
  const fit: AttentionChoice[] = [];
  for (const choice of attentions)
    try {
      await solver.bind([choice]);
      fit.push(choice);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      onNotes?.([`left out: ${error.message}`]);
    }
  return solver.bind(fit);
}

async function estimate(
  plan: Plan,
  solver: Solver,
  { isEstimated = false, onEstimate, signal }: EvaluationOptions,
): Promise<void> {
  const estimated = isEstimated ? await estimateRun(plan, { solver, signal }) : undefined;
  if (estimated !== undefined) onEstimate?.(estimated);
}

async function traceAttempts(
  solver: Solver,
  {
    plan,
    attempts,
    options: { traces: choice, out: folder, shard, signal, onTraces: onStart, onFailure },
  }: {
    readonly plan: Plan;
    readonly attempts: ReadonlyMap<string, Attempt>;
    readonly options: EvaluationOptions;
  },
): Promise<readonly AttemptFailure[]> {
  if (choice === undefined) return [];
  const failures = await traceRun({ solver, plan, attempts, folder, choice, shard, signal, onStart });
  for (const failure of failures) onFailure?.(failure);
  return failures;
}

function recordOf({ settingsHash, task, length, attention, problemSet, settings }: Cell): CellRecord {
  return { settingsHash, task, ...(length !== undefined && { length }), attention, problemSet, settings };
}

/** The plan's problems, each once for all methods. */
function* problemRecordsOf({ cells }: Plan, shard: Shard | undefined): Generator<ProblemRecord> {
  const seen = new Set<string>();
  for (const { problemSet, problems } of cells) {
    if (seen.has(problemSet)) continue;
    seen.add(problemSet);
    for (const [i, problem] of problems.entries()) {
      const { id, target, doc } = problem;
      const index = shard === undefined ? i : shard.index - 1 + i * shard.count;
      yield {
        problemSet,
        id,
        index,
        target,
        ...(problem.kind === "chat" && {
          messages: problem.messages,
          answerKind: problem.answerKind,
          question: problem.question,
        }),
        doc,
      };
    }
  }
}

async function recordFailures(
  folder: string,
  startedAt: string,
  failures: readonly AttemptFailure[],
): Promise<void> {
  if (failures.length === 0) return;
  const path = join(folder, FAILURES_FILE);
  const lines = failures.map((failure) => `${JSON.stringify({ run: startedAt, ...failure })}\n`);
  try {
    await appendFile(path, lines.join(""));
  } catch (cause) {
    throw new ModelFileError(`writing ${path}: ${String(cause)}`, { cause });
  }
}
