/** `lessismore eval ablations`: changes the settings of less-is-more one at a time, and makes one table. */
import { join } from "node:path";
import { AbortedError, ConfigError } from "../../src/node/index.ts";
import { type AblationRow, formatMarkdown, formatRows, makeRows } from "../ablations/rows.ts";
import { FACTORS, type Factor, makeVariants, readBase, type Variant } from "../ablations/variants.ts";
import { replaceFile, replaceJson } from "../attempts/replace-file.ts";
import { modelFolder } from "../results-files/cell-name.ts";
import type { AttentionChoice, Solver } from "../run/solver.ts";
import { openTask } from "../tasks/registry.ts";
import type { Task } from "../tasks/task.ts";
import { type CommandHost, INTERRUPTED, writeNotes } from "./command-host.ts";
import { type EvalCommand, openSolver, ShownRun } from "./eval.ts";
import { type EvaluationOutcome, type EvaluationPart, evaluate } from "./evaluate.ts";

/** The options of `eval`, and what to vary; all settings if it names none. */
export interface AblationCommand extends EvalCommand {
  readonly factors: readonly string[];
}

/** Tasks if the command names none: those of the bundled model, or a text for any other. */
const OWN_TASKS = ["registers-chain", "variables-chain", "graph-chain"];
const OTHER_TASKS = ["perplexity"];
/** Methods that are scored together, so that their caches fit the memory. */
const METHODS_AT_ONCE = 16;
/** No model that opens has as many layers. */
const MOST_LAYERS = 256;
/** The base's budget if the command names none: this share of the length. */
const BASE_SHARE = 1 / 8;

/** Runs the command. @returns the exit code: 0, 1 if attempts failed, 130 after Ctrl-C */
export async function runAblations(command: AblationCommand, host: CommandHost): Promise<number> {
  checkOptions(command);
  const factors = readFactors(command.factors);
  const names = command.tasks.length > 0 ? command.tasks : command.model ? OTHER_TASKS : OWN_TASKS;
  const tasks = await Promise.all(
    names.map((name) => openTask(name, { ...command.taskOptions, signal: host.signal })),
  );
  const solver = await openSolver(command, host);
  try {
    writeNotes(host, solver.report.notes);
    return await run(solver, { tasks, factors, command, host });
  } finally {
    await solver.close();
  }
}

function checkOptions({ preset, endpoint, data, estimate, attentions }: AblationCommand): void {
  const given = Object.entries({ "--preset": preset, "--endpoint": endpoint }).flatMap(([name, value]) =>
    value === undefined ? [] : [name],
  );
  if (data.length > 0) given.push("--data");
  if (estimate) given.push("--estimate");
  if (given.length > 0) throw new ConfigError(`eval ablations takes no ${given.join(", ")}`);
  if (attentions.length > 1)
    throw new ConfigError(
      `eval ablations starts from one setting, got ${attentions.map(({ spec }) => spec).join(" and ")}`,
    );
}

function readFactors(names: readonly string[]): readonly Factor[] {
  const unknown = names.find((name) => !FACTORS.some((factor) => factor === name));
  if (unknown !== undefined)
    throw new ConfigError(`--vary: unknown setting "${unknown}"; known are ${FACTORS.join(", ")}`);
  return names.length === 0 ? FACTORS : FACTORS.filter((factor) => names.includes(factor));
}

interface AblationRun {
  readonly tasks: readonly Task[];
  readonly factors: readonly Factor[];
  readonly command: AblationCommand;
  readonly host: CommandHost;
}

async function run(solver: Solver, { tasks, factors, command, host }: AblationRun): Promise<number> {
  const out = command.out ?? join("lessismore-eval", `${modelFolder(solver.report.model)}-ablations`);
  const lengths = command.lengths.length > 0 ? command.lengths : tasks.flatMap((task) => task.defaultLengths);
  const base = await bindBase(solver, command.attentions, Math.max(1024, ...lengths));
  const candidates = factors.includes("layers") ? await findSelectable(solver) : [];
  const settings = readBase(base);
  const variants = makeVariants({ base: settings, factors, candidates, length: Math.min(...lengths) });
  host.begin();
  const shown = new ShownRun(host, out);
  try {
    const { sampling, seed, grader, maxTokens, shard } = command;
    const outcome = await evaluate(solver, {
      ...{ out, seed, grader, options: command.given, signal: host.signal },
      sampling: { temperature: 0, ...sampling },
      parts: partsOf(tasks, [...new Set(["full", base, ...variants.map((one) => one.attention)])], command),
      onNotes: (notes) => shown.note(notes),
      ...(command.traces !== undefined && { traces: command.traces }),
      onStart: (started) => shown.start(started),
      onTraces: (progress) => shown.trace(progress),
      onFailure: (failure) => shown.fail(failure),
      ...(maxTokens !== undefined && { maxTokens }),
      ...(shard !== undefined && { shard }),
    });
    shown.end();
    return await report(outcome, { variants, base, out, command, host });
  } catch (error) {
    shown.end();
    if (!(error instanceof AbortedError && host.signal.aborted)) throw error;
    writeNotes(host, [`interrupted; the same command goes on from what is in ${out}`]);
    return INTERRUPTED;
  }
}

async function bindBase(
  solver: Solver,
  attentions: readonly AttentionChoice[],
  length: number,
): Promise<string> {
  const spec = `less-is-more:budget=${Math.floor(length * BASE_SHARE)}`;
  const [method] = await solver.bind(attentions.length > 0 ? attentions : [{ spec, attention: spec }]);
  if (method === undefined) throw new ConfigError(`the model takes no ${spec}`);
  return method.label;
}

/** Layers that the model lets select: it refuses those that it has not, and those that attend to a window. */
async function findSelectable(solver: Solver): Promise<number[]> {
  const layers: number[] = [];
  for (let layer = 0; layer < MOST_LAYERS; layer++) {
    const spec = `less-is-more:layers=${layer}`;
    try {
      await solver.bind([{ spec, attention: spec }]);
      layers.push(layer);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
    }
  }
  return layers;
}

/** Parts of a few methods, which share the prefill of a forced problem. */
function partsOf(
  tasks: readonly Task[],
  attentions: readonly string[],
  { lengths, problems, attempts }: AblationCommand,
): EvaluationPart[] {
  return Array.from({ length: Math.ceil(attentions.length / METHODS_AT_ONCE) }, (_, i) => ({
    ...{ tasks, lengths },
    attentions: attentions
      .slice(i * METHODS_AT_ONCE, (i + 1) * METHODS_AT_ONCE)
      .map((spec) => ({ spec, attention: spec })),
    ...(problems !== undefined && { problems }),
    ...(attempts !== undefined && { attempts }),
  }));
}

interface ReportOptions {
  readonly variants: readonly Variant[];
  readonly base: string;
  readonly out: string;
  readonly command: AblationCommand;
  readonly host: CommandHost;
}

async function report(
  { attempts, failures, reused, solver }: EvaluationOutcome,
  { variants, base, out, command, host }: ReportOptions,
): Promise<number> {
  const rows: AblationRow[] = makeRows(variants, attempts, base);
  const result = { model: solver.model, identity: solver.identity, base, rows };
  await replaceJson(join(out, "ablations.json"), result);
  await replaceFile(join(out, "ablations.md"), [`${formatMarkdown(rows)}\n`]);
  if (command.json) host.stdout.write(`${JSON.stringify({ ...result, out, reused, failures })}\n`);
  else host.stdout.write(`${formatRows(rows, host.stdout.columns)}\n`);
  if (failures.length === 0) return 0;
  writeNotes(host, [`${failures.length} attempts failed; the same command tries them again`]);
  return 1;
}
