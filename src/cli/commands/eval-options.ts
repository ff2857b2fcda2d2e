import { type Command, InvalidArgumentError, Option } from "commander";
import { attentionSpec, collect, collectJson, integer, wholeNumber } from "../args.ts";
import { addEndpoint, type EndpointOptions } from "./endpoint-options.ts";
import {
  addDevice,
  addModel,
  addPlace,
  addSampling,
  type ModelOptions,
  type SamplingOptions,
} from "./model-options.ts";
import { addSlurm, type SlurmOptions } from "./slurm-options.ts";

/** Options of `eval` as commander parses them. */
export interface EvalOptions extends ModelOptions, SamplingOptions, EndpointOptions, SlurmOptions {
  readonly tasks?: readonly string[];
  readonly data?: readonly string[];
  readonly preset?: "paper" | "quick";
  readonly attention?: readonly string[];
  readonly length?: readonly number[];
  readonly problems?: number;
  readonly attempts?: number;
  readonly seed: number;
  readonly maxTokens?: number;
  readonly chatTemplateOption?: Readonly<Record<string, unknown>>;
  readonly grader: "strict" | "reference";
  readonly shard?: { readonly index: number; readonly count: number };
  readonly estimate?: boolean;
  readonly out?: string;
  readonly concurrency?: number;
  readonly traceProblems?: number;
  readonly traceEvery?: number;
  readonly textFile?: string;
  readonly forcedTokens?: number;
  readonly json?: boolean;
}

const NOTES = `
Every finished attempt is on the disk at once: a run that was stopped goes on
where it was when the same command runs again, and rows of other settings are
never reused. Progress goes to standard error, the table (or --json) to standard
output.

  lessismore eval --preset quick
  lessismore eval --tasks registers,graph --length 1024,2048 --problems 40 \\
    --attention full --attention less-is-more:budget=256,layers=2+7
  lessismore eval --model Qwen/Qwen3-8B --tasks aime24 --attempts 16 \\
    --attention full`;

export function addEvalOptions(command: Command): Command {
  command
    .optionsGroup("What to ask:")
    .option(
      "--tasks <names>",
      "by commas; repeatable: registers, variables, graph, needle, needle-context, needle-prompt, perplexity, aime24, aime25, math500, gpqa-diamond",
      commaList,
    )
    .option(
      "--data <file>",
      "problems of your own: a .jsonl, .json, .csv or .parquet file with problem (or question) and answer; or NAME=FILE, or a folder, for a copy of a published set; repeatable",
      collect,
    )
    .addOption(
      new Option(
        "--preset <name>",
        "quick: the bundled model in a minute; paper: the paper's tasks, methods and sampling",
      ).choices(["paper", "quick"]),
    )
    .option(
      "--length <n>",
      "tokens of a problem, for tasks of any length; by commas; repeatable",
      wholeNumbers,
    )
    .option("--problems <n>", "most problems a task and length", wholeNumber(1))
    .option("--attempts <n>", "attempts a problem (default: 1)", wholeNumber(1))
    .option("--text-file <file>", "text of perplexity and of the needle's haystack (default: our own)")
    .option(
      "--forced-tokens <n>",
      "perplexity: tokens of a window fed one by one (default: its second half)",
      wholeNumber(1),
    )
    .option("--seed <s>", "decides the problems and each attempt's sampling", integer, 1);
  addModel(command).option(
    "--attention <spec>",
    "a policy such as full or less-is-more:budget=256,layers=2+7, or a file: ./my-policy.mjs:budget=256; repeat to compare (default: full and the model's own)",
    (text: string, previous: readonly string[] | undefined) => collect(attentionSpec(text), previous),
  );
  addDevice(addPlace(command)).option(
    "--concurrency <n>",
    "requests at once (default: 16 on a CPU, 32 on a GPU)",
    wholeNumber(1),
  );
  addEndpoint(command);
  addSampling(command)
    .option(
      "--max-tokens <n>",
      "most tokens of a response (default: the task's, else what the context holds)",
      wholeNumber(1),
    )
    .option(
      "--chat-template-option <name=JSON>",
      "a variable of the chat template, such as enable_thinking=false; repeatable",
      collectJson,
    );
  addSlurm(command);
  return command
    .optionsGroup("Output:")
    .addOption(
      new Option("--grader <name>", "strict, or the reference's with its leniencies")
        .choices(["strict", "reference"])
        .default("strict"),
    )
    .option("--out <folder>", "folder of the results (default: lessismore-eval/MODEL)")
    .option("--shard <i/n>", "every n-th problem from the i-th on: one of n machines", shard)
    .option(
      "--trace-problems <n>",
      "trace attention (recall, overlaps, bytes) in the first n problems of each task, length and method, for eval report",
      wholeNumber(1),
    )
    .option(
      "--trace-every <n>",
      "decode steps from one traced step to the next (default: as many as give 64)",
      wholeNumber(1),
    )
    .option("--estimate", "say what the run will cost, from a few tokens, and stop")
    .option("--json", "print one JSON object")
    .addHelpText("after", NOTES);
}

function commaList(text: string, previous: readonly string[] = []): readonly string[] {
  const names = text.split(",").map((name) => name.trim());
  if (names.includes("")) throw new InvalidArgumentError("Expected names, by commas.");
  return [...new Set([...previous, ...names])];
}

function wholeNumbers(text: string, previous: readonly number[] = []): readonly number[] {
  return [...new Set([...previous, ...text.split(",").map((part) => wholeNumber(2)(part.trim()))])];
}

function shard(text: string): { index: number; count: number } {
  const [, index = "0", count = "0"] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  const [i, n] = [Number(index), Number(count)];
  if (i < 1 || i > n || n > 1e6)
    throw new InvalidArgumentError("Expected I/N with I from 1 to N, such as 1/4.");
  return { index: i, count: n };
}
