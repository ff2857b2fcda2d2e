import { Command } from "commander";
import type { GenerationRequest, GenerationResult } from "../../engine/request.ts";
import { type AttentionObserver, type Engine, formatAttention } from "../../node/index.ts";
import { UsageError } from "../args.ts";
import { INTERRUPTED, withInterrupt } from "../interrupt.ts";
import { asUsage, openWithProgress } from "../open-with-progress.ts";
import { NoteWriter, PartWriter } from "../output.ts";
import { ProgressLine, RequestProgress } from "../progress.ts";
import { readPrompt } from "../prompt.ts";
import { rerunOnDevice } from "../rerun-on-device.ts";
import { checkRules, readRules, variablesOf } from "./answer-rules.ts";
import { addGenerateOptions, type GenerateOptions } from "./generate-options.ts";

/** `lessismore generate`. `done` receives the action's exit code. */
export function generateCommand(done: (exitCode: number) => void): Command {
  const command = new Command("generate").description("generate text from a prompt");
  return addGenerateOptions(command).action(async (prompt: string | undefined, options: GenerateOptions) => {
    done((await rerunOnDevice(options.device)) ?? (await generate(prompt, options)));
  });
}

async function generate(argument: string | undefined, options: GenerateOptions): Promise<number> {
  if (options.traceEvery !== undefined && options.trace === undefined)
    throw new UsageError("--trace-every is for --trace FILE");
  checkRules(options);
  checkStandardInput(argument, options);
  const source = await readPrompt(argument, options, process.stdin, variablesOf(options));
  const rules = await readRules(options, process.stdin);
  return withInterrupt(async (signal, begin) => {
    const progress = new ProgressLine(process.stderr);
    try {
      const engine = await openWithProgress(options, progress);
      try {
        begin();
        return await traced(engine, options, (observer) =>
          run(engine, { ...source, ...rules, ...(observer && { observer }) }, options, { signal, progress }),
        );
      } finally {
        await engine.close();
      }
    } finally {
      progress.erase();
    }
  });
}

/** Standard input can be one thing. @throws UsageError */
function checkStandardInput(argument: string | undefined, options: GenerateOptions): void {
  const { jsonSchema, promptFile, messages, tokenIds } = options;
  if (jsonSchema !== "-") return;
  const files = [promptFile, messages, tokenIds].filter((file) => file !== undefined);
  if (files.includes("-") || (argument === undefined && files.length === 0))
    throw new UsageError(
      "--json-schema - reads standard input, and so does the prompt; name a file for one of them",
    );
}

type Report = ReturnType<Engine["report"]>;

/** Runs work with the observer that writes `--trace`, if that is asked for. */
async function traced<T>(
  engine: Engine,
  { trace: path, traceEvery }: GenerateOptions,
  work: (observer: AttentionObserver | undefined) => Promise<T>,
): Promise<T> {
  if (path === undefined) return work(undefined);
  const { openTrace } = await import("../../../eval/commands/trace.ts");
  const trace = orUsage(() => openTrace(path, engine, traceEvery));
  try {
    return await work(trace.observer);
  } finally {
    trace.close();
  }
}

/** Runs work; a ConfigError is the command line's. */
function orUsage<T>(work: () => T): T {
  try {
    return work();
  } catch (error) {
    throw asUsage(error);
  }
}

/** Generates and writes all output. Returns the exit code. */
async function run(
  engine: Engine,
  source: GenerationRequest,
  options: GenerateOptions,
  { signal, progress }: { readonly signal: AbortSignal; readonly progress: ProgressLine },
): Promise<number> {
  const notes = new NoteWriter(process.stderr);
  notes.write(engine.report().notes);
  const generation = engine.generate({ ...requestOf(options), ...source, signal });
  const counted = new RequestProgress(() => generation.progress);
  progress.show(() => counted.describe());
  const writer = new PartWriter(process.stdout);
  try {
    if (!options.json)
      for await (const { kind, text } of generation) {
        // If the text itself does not show progress, the line stays.
        if (process.stdout.isTTY) progress.erase();
        writer.write(kind, text);
      }
    const result = await generation.result();
    progress.erase();
    if (options.json) {
      process.stdout.write(`${JSON.stringify(toJson(result, engine.report()))}\n`);
      notes.write(result.notes);
      return 0;
    }
    writer.end();
    notes.write([...result.notes, ...noAnswer(result)]);
    process.stderr.write(`${summarise(result, engine.report())}\n`);
    return 0;
  } catch (error) {
    progress.erase();
    if (!options.json) writer.end();
    if (!signal.aborted) throw error;
    process.stderr.write("lessismore: interrupted\n");
    return INTERRUPTED;
  }
}

function requestOf(options: GenerateOptions): GenerationRequest {
  const { maxTokens, temperature, topP, topK, minP, repetitionPenalty, seed, stop, ignoreEos } = options;
  const sampling = defined({ temperature, topP, topK, minP, repetitionPenalty, seed });
  return { ...sampling, ...defined({ maxTokens, stop, ignoreEos }) };
}

/** Explains a missing answer; undefined if there is one. */
function noAnswer({ answer, reasoning, finishReason, usage }: GenerationResult): string[] {
  if (answer !== "") return [];
  if (reasoning !== "" && finishReason === "length")
    return [
      `no answer: the reasoning had not ended after ${usage.completionTokens} tokens; raise --max-tokens`,
    ];
  return [`no answer: the output ended ${reasoning === "" ? "at once" : "with the reasoning"}`];
}

function toJson(result: GenerationResult, report: Report) {
  const { text, reasoning, answer, usage, tokenIds, finishReason, attention, timings } = result;
  const { prefillMs, decodeMs, msPerToken } = timings;
  const { attendedFraction, ...policy } = attention;
  return {
    text,
    reasoning,
    answer,
    promptTokens: usage.promptTokens,
    completionTokens: usage.completionTokens,
    tokenIds,
    finishReason,
    backend: report.backend.name,
    attention: policy,
    timings: { loadMs: report.loadMs, prefillMs, decodeMs, msPerToken },
    attendedFraction,
    ...(result.thinking && { thinking: { ...result.thinking, tokens: usage.reasoningTokens } }),
    ...(result.logprobs && { logprobs: result.logprobs }),
    notes: [...new Set([...report.notes, ...result.notes])],
  };
}

function summarise(result: GenerationResult, report: Report): string {
  const { usage, timings, attention, finishReason, thinking } = result;
  // The first token comes with the prompt: one alone has no rate.
  const rate = usage.completionTokens > 1 ? `, ${timings.msPerToken.toFixed(2)} ms a token` : "";
  const cut = thinking?.isCut === true ? ", reasoning ended by its budget" : "";
  return [
    `[${usage.promptTokens} prompt tokens in ${timings.prefillMs.toFixed(0)} ms`,
    `${usage.completionTokens} generated${rate} (${finishReason}${cut})`,
    `${formatAttention(attention)} read ${(100 * attention.attendedFraction).toFixed(0)} % of the cache`,
    `${report.backend.description}]`,
  ].join("; ");
}

/** Drops undefined entries: an absent option must not hide a default. */
function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
