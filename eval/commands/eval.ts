/** What `lessismore eval` does; the command line loads it when it runs. */
import { join } from "node:path";
import {
  AbortedError,
  type BackendChoice,
  type CacheDtype,
  ConfigError,
  type DtypeChoice,
} from "../../src/node/index.ts";
import { readDataOptions } from "../data/index.ts";
import { type EndpointOptions, openEndpointSolver } from "../endpoint/index.ts";
import type { Grader } from "../grading/index.ts";
import { modelFolder } from "../results-files/cell-name.ts";
import { openEngineSolver } from "../run/engine-solver.ts";
import type { Shard } from "../run/plan.ts";
import { PRESETS, type PresetName, type PresetPart } from "../run/presets.ts";
import type { AttemptFailure } from "../run/runner.ts";
import type { AttentionChoice, Sampling, Solver } from "../run/solver.ts";
import type { TraceChoice, TraceProgress } from "../run/trace-run.ts";
import { comparePaired, summarise } from "../statistics/index.ts";
import { openTask, TASK_NAMES, type TaskOptions } from "../tasks/registry.ts";
import { type CommandHost, INTERRUPTED, writeNotes } from "./command-host.ts";
import { describeCells, describePairs } from "./describe-results.ts";
import { type EvaluationOutcome, type EvaluationPart, evaluate, type StartedRun } from "./evaluate.ts";

/** Seconds between lines of progress where there is no terminal. */
const LOG_SECONDS = 30;
const SHOWN_WARNINGS = 4;

/** The command's options, checked one by one. */
export interface EvalCommand {
  readonly model?: string;
  readonly tasks: readonly string[];
  readonly preset?: PresetName;
  /** JSONL files of problems. */
  readonly data: readonly string[];
  /** Empty: those of the preset, else full and the model's own. */
  readonly attentions: readonly AttentionChoice[];
  readonly lengths: readonly number[];
  readonly problems?: number;
  readonly attempts?: number;
  readonly seed: number;
  readonly sampling: Sampling;
  readonly maxTokens?: number;
  readonly chatTemplateOptions?: Readonly<Record<string, unknown>>;
  readonly grader: Grader;
  readonly shard?: Shard;
  /** Says what the run will cost, and stops there. */
  readonly estimate: boolean;
  readonly out?: string;
  readonly json: boolean;
  readonly backend: BackendChoice;
  readonly dtype: DtypeChoice;
  readonly threads?: number;
  readonly contextLength?: number;
  readonly cacheDtype?: CacheDtype;
  /** The GPU, by number or name. */
  readonly device?: string;
  readonly concurrency?: number;
  /** A model behind a server, in place of one here. */
  readonly endpoint?: Omit<EndpointOptions, "concurrency" | "signal">;
  /** What of the run's attention is traced. */
  readonly traces?: TraceChoice;
  readonly taskOptions: TaskOptions;
  /** The options as the user gave them, for the record. */
  readonly given: Readonly<Record<string, unknown>>;
}

/** Runs the command. @returns the exit code: 0, 1 if attempts failed, 130 after Ctrl-C */
export async function runEval(command: EvalCommand, host: CommandHost): Promise<number> {
  const parts = await partsOf(command, host.signal);
  writeNotes(host, [...new Set(parts.flatMap(({ tasks }) => tasks.flatMap(({ notes = [] }) => notes)))]);
  const solver = await openSolver(command, host);
  try {
    return await run(solver, parts, command, host);
  } finally {
    await solver.close();
  }
}

/** The parts that the command names, or those of the preset; the command's values replace the preset's. */
async function partsOf(command: EvalCommand, signal: AbortSignal): Promise<EvaluationPart[]> {
  const { attentions, problems, attempts } = command;
  const data = readDataOptions(command.data);
  const files = data.files.map(({ task }) => task);
  const taken = files.find((task) => TASK_NAMES.includes(task));
  if (taken !== undefined)
    throw new ConfigError(`--data: the file ${taken} has the name of a task; give the file another name`);
  const named = [...new Set([...command.tasks, ...files])];
  const preset = command.preset === undefined ? undefined : PRESETS[command.preset];
  const parts: readonly PresetPart[] =
    preset === undefined
      ? [{ tasks: named, attentions: ["full", "less-is-more"], lengths: [] }]
      : preset.parts
          .map((part) => ({
            ...part,
            tasks: part.tasks.filter((task) => named.length === 0 || named.includes(task)),
          }))
          .filter(({ tasks }) => tasks.length > 0);
  if (parts.every(({ tasks }) => tasks.length === 0))
    throw new ConfigError(
      `name what to evaluate: --tasks (${TASK_NAMES.join(", ")}), --data FILE or --preset` +
        (preset === undefined ? "" : `; --preset ${command.preset} has none of ${named.join(", ")}`),
    );
  const taskOptions = { ...command.taskOptions, data, signal };
  return Promise.all(
    parts.map(async (part): Promise<EvaluationPart> => {
      const count = problems ?? part.problems;
      const repeats = attempts ?? part.attempts;
      return {
        tasks: await Promise.all(part.tasks.map((name) => openTask(name, taskOptions))),
        attentions:
          attentions.length > 0 || command.endpoint !== undefined
            ? attentions
            : part.attentions.map((spec) => ({ spec, attention: spec })),
        leavesOut: attentions.length === 0 && preset?.leavesOut === true,
        lengths: command.lengths.length > 0 ? command.lengths : part.lengths,
        ...(count !== undefined && { problems: count }),
        ...(repeats !== undefined && { attempts: repeats }),
      };
    }),
  );
}

/** Opens what the command names. @throws ConfigError, ModelFileError, BackendError, AbortedError */
export async function openSolver(command: EvalCommand, { progress, signal }: CommandHost): Promise<Solver> {
  const { model, backend, dtype, threads, contextLength, cacheDtype, device, concurrency, endpoint } =
    command;
  progress.show(() => `opening ${endpoint?.servedModel ?? model ?? "pico-reasoner"}`);
  try {
    if (endpoint !== undefined) return await openEndpointSolver({ ...endpoint, concurrency, signal });
    return await openEngineSolver({
      ...{ backend, dtype, signal },
      ...(model !== undefined && { model }),
      ...(threads !== undefined && { threads }),
      ...(contextLength !== undefined && { contextLength }),
      ...(cacheDtype !== undefined && { cacheDtype }),
      ...(device !== undefined && { device }),
      ...(concurrency !== undefined && { concurrency }),
    });
  } finally {
    progress.erase();
  }
}

async function run(
  solver: Solver,
  parts: readonly EvaluationPart[],
  command: EvalCommand,
  host: CommandHost,
): Promise<number> {
  const preset = command.preset === undefined ? undefined : PRESETS[command.preset];
  const { maxTokens = preset?.maxTokens, chatTemplateOptions, seed, grader, shard } = command;
  const sampling = { ...preset?.sampling, ...command.sampling };
  const stop = new AbortController();
  const out = command.out ?? join("lessismore-eval", modelFolder(solver.report.model));
  writeNotes(host, solver.report.notes);
  host.begin();
  const shown = new ShownRun(host, out);
  try {
    const outcome = await evaluate(solver, {
      ...{ parts, out, sampling, seed, grader, options: command.given },
      signal: AbortSignal.any([host.signal, stop.signal]),
      isEstimated: command.estimate || preset?.isEstimated === true,
      onEstimate: ({ text }) => {
        writeNotes(host, [text]);
        if (command.estimate) stop.abort();
      },
      onNotes: (notes) => shown.note(notes),
      ...(maxTokens !== undefined && { maxTokens }),
      ...(chatTemplateOptions !== undefined && { chatTemplateOptions }),
      ...(shard !== undefined && { shard }),
      ...(command.traces !== undefined && { traces: command.traces }),
      onStart: (started) => shown.start(started),
      onTraces: (progress) => shown.trace(progress),
      onFailure: (failure) => shown.fail(failure),
    });
    shown.end();
    return report(outcome, { command, out, host });
  } catch (error) {
    shown.end();
    if (command.estimate && stop.signal.aborted) return 0;
    if (!(error instanceof AbortedError && host.signal.aborted)) throw error;
    writeNotes(host, [`interrupted; the same command goes on from what is in ${out}`]);
    return INTERRUPTED;
  }
}

/** Shows a run on standard error: one line on a terminal, else a line now and then. */
export class ShownRun {
  readonly #host: CommandHost;
  readonly #out: string;
  readonly #noted = new Set<string>();
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(host: CommandHost, out: string) {
    this.#host = host;
    this.#out = out;
  }

  start({ planned, reused, plan, progress }: StartedRun): void {
    const methods = new Set(plan.cells.map(({ attention }) => attention)).size;
    const again = reused > 0 ? `, ${reused} of them there already` : "";
    const what = `${planned} attempt${planned === 1 ? "" : "s"} under ${methods} method${methods === 1 ? "" : "s"}${again}; results in ${this.#out}`;
    writeNotes(this.#host, [what]);
    this.#host.progress.show(() => progress.describe());
    if (this.#host.stderr.isTTY === true) return;
    this.#timer = setInterval(() => writeNotes(this.#host, [progress.describe()]), 1000 * LOG_SECONDS);
    this.#timer.unref();
  }

  /** Goes on with the traces, once the attempts are done. */
  trace(progress: TraceProgress): void {
    this.end();
    const { total, done } = progress;
    const again = done > 0 ? `, ${done} of them there already` : "";
    writeNotes(this.#host, [
      `${total} trace${total === 1 ? "" : "s"}${again}, in ${join(this.#out, "traces")}`,
    ]);
    this.#host.progress.show(() => `traces ${progress.done} of ${total}`);
  }

  /** Writes notes of requests, each kind once: the same with other numbers is the same. */
  note(notes: readonly string[]): void {
    for (const note of notes) {
      const kind = note.replace(/\d+/g, "#");
      if (this.#noted.has(kind)) continue;
      this.#noted.add(kind);
      writeNotes(this.#host, [note]);
    }
  }

  fail({ task, problemId, attempt, attention, error, tries }: AttemptFailure): void {
    const times = tries > 1 ? ` (tried ${tries} times)` : "";
    writeNotes(this.#host, [`${task} ${problemId}, attempt ${attempt}, ${attention}: ${error}${times}`]);
  }

  end(): void {
    clearInterval(this.#timer);
    this.#host.progress.erase();
  }
}

function report(
  { attempts, failures, reused, solver, results }: EvaluationOutcome,
  { command, out, host }: { readonly command: EvalCommand; readonly out: string; readonly host: CommandHost },
): number {
  const cells = summarise(attempts);
  const [baseline] = attempts;
  const pairs = baseline === undefined ? [] : comparePaired(attempts, baseline.attention);
  if (command.json)
    host.stdout.write(
      `${JSON.stringify({ model: solver.model, identity: solver.identity, out, results, reused, cells, pairs, failures })}\n`,
    );
  else
    host.stdout.write(
      `${[describeCells(cells, host.stdout.columns), ...describePairs(pairs, host.stdout.columns)].join("\n\n")}\n`,
    );
  // A shard's figures are not the result.
  if (!command.json && command.shard === undefined)
    writeNotes(host, shorten([...cells, ...pairs].flatMap(({ warnings }) => warnings)));
  if (failures.length === 0) return 0;
  const many = failures.length === 1 ? "1 attempt" : `${failures.length} attempts`;
  writeNotes(host, [`${many} failed (${join(out, "failures.jsonl")}); the same command tries them again`]);
  return 1;
}

/** The first warnings; a table of many small cells has several a cell. */
function shorten(warnings: readonly string[]): string[] {
  const left = warnings.length - SHOWN_WARNINGS;
  return [
    ...warnings.slice(0, SHOWN_WARNINGS),
    ...(left > 0 ? [`and ${left} more warnings like these; --json has them all`] : []),
  ];
}
