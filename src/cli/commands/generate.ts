import { Argument, Command, Option } from "commander";
import { ConfigError } from "../../base/errors.ts";
import type { Generation, GenerationRequest, GenerationResult } from "../../engine/request.ts";
import { bundledModelFolder, openEngine } from "../../node/index.ts";
import { attentionSpec, collect, decimal, integer, UsageError, wholeNumber } from "../args.ts";
import { INTERRUPTED, withInterrupt } from "../interrupt.ts";
import { formatAttention, PartWriter } from "../output.ts";
import { type PromptOptions, readPrompt } from "../prompt.ts";

/** The options as commander hands them over. */
interface GenerateOptions extends PromptOptions {
  readonly model?: string;
  readonly attention?: string;
  readonly backend: "auto" | "webgpu" | "wasm" | "reference";
  readonly threads?: number;
  readonly contextLength?: number;
  readonly maxTokens?: number;
  readonly temperature?: number;
  readonly topP?: number;
  readonly topK?: number;
  readonly minP?: number;
  readonly repetitionPenalty?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
  readonly json?: boolean;
}

/** `lessismore generate`. The action's exit code goes to `done`. */
export function generateCommand(done: (exitCode: number) => void): Command {
  return new Command("generate")
    .description("generate text from a prompt")
    .addArgument(new Argument("[prompt]", "the prompt; from standard input when left out and piped"))
    .option("--model <folder>", "checkpoint folder (default: the bundled pico-reasoner)")
    .option(
      "--attention <spec>",
      "e.g. full or less-is-more:budget=256,layers=2+7 (default: the model's)",
      attentionSpec,
    )
    .addOption(
      new Option("--backend <name>", "where to compute")
        .choices(["auto", "webgpu", "wasm", "reference"])
        .default("auto"),
    )
    .option("--threads <n>", "threads of the CPU backend (default: one for each core)", wholeNumber(1))
    .option(
      "--context-length <n>",
      "tokens of prompt and output together (default: the model's)",
      wholeNumber(1),
    )
    .option("--max-tokens <n>", "most tokens to generate (default: what the context holds)", wholeNumber(1))
    .option(
      "--temperature <t>",
      "0 is greedy",
      decimal("a number of at least 0", () => true),
    )
    .option(
      "--top-p <p>",
      "keep the likeliest tokens of this joint probability",
      decimal("a number above 0, at most 1", (p) => p > 0 && p <= 1),
    )
    .option("--top-k <k>", "keep the k likeliest tokens; 0 keeps all", wholeNumber(0))
    .option(
      "--min-p <p>",
      "keep tokens this likely relative to the likeliest",
      decimal("a number from 0 to 1", (p) => p <= 1),
    )
    .option(
      "--repetition-penalty <r>",
      "above 1 discourages tokens already seen",
      decimal("a number above 0", (r) => r > 0),
    )
    .option("--seed <s>", "makes sampling repeatable", integer)
    .option("--stop <text>", "text that ends the answer; repeatable", collect)
    .option("--prompt-file <file>", "read the prompt from a file")
    .option("--token-ids <file>", "read the prompt as a JSON array of token ids")
    .option("--raw", "no chat template: the model goes on from the text itself")
    .option("--ignore-eos", "go on past the end-of-sequence token, to --max-tokens")
    .option("--json", "print one JSON object")
    .action(async (prompt: string | undefined, options: GenerateOptions) => {
      done(await generate(prompt, options));
    });
}

async function generate(argument: string | undefined, options: GenerateOptions): Promise<number> {
  const source = await readPrompt(argument, options, process.stdin);
  return withInterrupt(async (signal, begin) => {
    const { backend, threads, contextLength } = options;
    const engine = await openEngine({
      model: options.model ?? bundledModelFolder(),
      backend,
      ...defined({ threads, contextLength }),
    }).catch((error: unknown) => {
      throw contextLength === undefined ? error : asUsage(error);
    });
    try {
      begin();
      const { contextNote } = engine.report();
      if (contextNote !== undefined) process.stderr.write(`lessismore: ${contextNote}\n`);
      const {
        attention,
        maxTokens,
        temperature,
        topP,
        topK,
        minP,
        repetitionPenalty,
        seed,
        stop,
        ignoreEos,
      } = options;
      const sampling = defined({ temperature, topP, topK, minP, repetitionPenalty, seed });
      const limits = defined({ attention, maxTokens, stop, ignoreEos });
      const generation = start(engine, { ...source, ...sampling, ...limits, signal });
      const writer = new PartWriter(process.stdout);
      try {
        if (!options.json) for await (const { kind, text } of generation) writer.write(kind, text);
        const result = await generation.result();
        if (options.json) process.stdout.write(`${JSON.stringify(toJson(result, engine.report()))}\n`);
        else writer.end();
        if (!options.json) process.stderr.write(`${summarise(result, engine.report())}\n`);
        return 0;
      } catch (error) {
        if (!options.json) writer.end();
        if (!signal.aborted) throw error;
        process.stderr.write("lessismore: interrupted\n");
        return INTERRUPTED;
      }
    } finally {
      await engine.close();
    }
  });
}

type Engine = Awaited<ReturnType<typeof openEngine>>;
type Report = ReturnType<Engine["report"]>;

function start(engine: Engine, request: GenerationRequest): Generation {
  try {
    return engine.generate(request);
  } catch (error) {
    throw request.attention === undefined ? error : asUsage(error);
  }
}

/** An attention spec or context length that is impossible for this model is a mistake of the command line. */
function asUsage(error: unknown): unknown {
  return error instanceof ConfigError ? new UsageError(error.message) : error;
}

function toJson(result: GenerationResult, report: Report) {
  const { text, reasoning, answer, usage, tokenIds, finishReason, attention, timings } = result;
  const { prefillMs, decodeMs, msPerToken } = timings;
  return {
    text,
    reasoning,
    answer,
    promptTokens: usage.promptTokens,
    completionTokens: usage.completionTokens,
    tokenIds,
    finishReason,
    backend: report.backend.name,
    attention: { name: attention.name, settings: attention.settings },
    timings: { loadMs: report.loadMs, prefillMs, decodeMs, msPerToken },
    attendedFraction: attention.attendedFraction,
  };
}

function summarise(result: GenerationResult, report: Report): string {
  const { usage, timings, attention, finishReason } = result;
  return [
    `[${usage.promptTokens} prompt tokens in ${timings.prefillMs.toFixed(0)} ms`,
    `${usage.completionTokens} generated, ${timings.msPerToken.toFixed(2)} ms a token (${finishReason})`,
    `${formatAttention(attention.name, attention.settings)} attended ${(100 * attention.attendedFraction).toFixed(0)} % of the cache`,
    `${report.backend.description}]`,
  ].join("; ");
}

/** The given entries that are defined; an option left out must not hide a default. */
function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: Exclude<T[K], undefined>;
  };
}
