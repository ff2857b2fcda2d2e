import { Argument, type Command, Option } from "commander";
import {
  BACKEND_CHOICES,
  type BackendChoice,
  CACHE_DTYPES,
  type CacheDtype,
  DTYPE_CHOICES,
  type DtypeChoice,
} from "../../node/index.ts";
import { attentionSpec, collect, collectJson, decimal, integer, wholeNumber } from "../args.ts";
import type { PromptOptions } from "../prompt.ts";

/** Options of `generate` as commander parses them. */
export interface GenerateOptions extends PromptOptions {
  readonly model?: string;
  readonly attention?: string;
  readonly backend: BackendChoice;
  readonly dtype: DtypeChoice;
  readonly threads?: number;
  readonly contextLength?: number;
  readonly cacheDtype?: CacheDtype;
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

/** Text below the options in the help. */
const NOTES = `
Reasoning, a blank line and the answer go to standard output as they come; a
line break ends the output where the text has none (--json: the text exactly).
Notes, progress on a terminal and a summary go to standard error.
A prompt that begins with a dash comes after "--".`;

/** Adds the prompt and all options. */
export function addGenerateOptions(command: Command): Command {
  addPrompt(command);
  addModel(command);
  addSampling(command);
  return command
    .optionsGroup("Output:")
    .option("--max-tokens <n>", "most tokens to generate (default: what the context holds)", wholeNumber(1))
    .option("--stop <text>", "text that ends the answer; repeatable", collect)
    .option("--ignore-eos", "go on past the end-of-sequence token, to --max-tokens")
    .option("--json", "print one JSON object")
    .addHelpText("after", NOTES);
}

function addPrompt(command: Command): void {
  command
    .addArgument(new Argument("[prompt]", "what the user says; from standard input when piped"))
    .optionsGroup("Prompt:")
    .option("--prompt-file <file>", "read the prompt from a file; - is standard input")
    .option("--messages <file>", "read a conversation: a JSON array of messages with role and content")
    .option("--system <text>", "a system message before the others")
    .option("--think", "have the chat template ask for reasoning (enable_thinking=true)")
    .option("--no-think", "have the chat template ask for none (enable_thinking=false)")
    .option(
      "--chat-template-option <name=JSON>",
      "any other variable of the chat template; repeatable",
      collectJson,
    )
    .option("--raw", "no chat template: the model goes on from the text itself")
    .option("--token-ids <file>", "read the prompt as a JSON array of token ids")
    .option("--starts-in-reasoning", "the output begins inside a block of thinking");
}

function addModel(command: Command): void {
  command
    .optionsGroup("Model:")
    .option(
      "-m, --model <model>",
      "folder, .gguf file, URL, or model of the hub: org/name, hf:org/name:Q4_K_M (default: the bundled pico-reasoner)",
    )
    .option(
      "--attention <spec>",
      "e.g. full or less-is-more:budget=256,layers=2+7 (default: the model's)",
      attentionSpec,
    )
    .addOption(new Option("--backend <name>", "where to compute").choices(BACKEND_CHOICES).default("auto"))
    .addOption(
      new Option(
        "--dtype <dtype>",
        "precision of the weights: auto (the checkpoint's own while it fits, else q8), own, q8 or q4 made on load",
      )
        .choices(DTYPE_CHOICES)
        .default("auto"),
    )
    .option("--threads <n>", "threads of the CPU backend (default: one for each core)", wholeNumber(1))
    .option(
      "--context-length <n>",
      "tokens of prompt and output together (default: the model's)",
      wholeNumber(1),
    )
    .addOption(
      new Option(
        "--cache-dtype <dtype>",
        "keys and values in f16, f32 or q8 (int8; default: f16 on a GPU, f32 on a CPU)",
      ).choices(CACHE_DTYPES),
    );
}

function addSampling(command: Command): void {
  command
    .optionsGroup("Sampling (default: the model's own values):")
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
    .option("--seed <s>", "makes sampling repeatable", integer);
}
