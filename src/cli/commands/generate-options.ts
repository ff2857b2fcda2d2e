import { Argument, type Command } from "commander";
import { attentionSpec, collect, collectJson, integer, wholeNumber } from "../args.ts";
import type { PromptOptions } from "../prompt.ts";
import { type AnswerRules, addForm, addReasoning, addTokenRules } from "./answer-rules.ts";
import {
  addDevice,
  addModel,
  addPlace,
  addSampling,
  type ModelOptions,
  type SamplingOptions,
} from "./model-options.ts";

/** Options of `generate` as commander parses them. */
export interface GenerateOptions extends PromptOptions, ModelOptions, SamplingOptions, AnswerRules {
  readonly attention?: string;
  readonly maxTokens?: number;
  readonly seed?: number;
  readonly stop?: readonly string[];
  readonly ignoreEos?: boolean;
  readonly json?: boolean;
  readonly trace?: string;
  readonly traceEvery?: number;
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
  addModel(command).option(
    "--attention <spec>",
    "e.g. full or less-is-more:budget=256,layers=2+7, or a file: ./my-policy.mjs (default: the model's)",
    attentionSpec,
  );
  addDevice(addPlace(command));
  addTokenRules(addSampling(command)).option("--seed <s>", "makes sampling repeatable", integer);
  addReasoning(command);
  command
    .optionsGroup("Output:")
    .option("--max-tokens <n>", "most tokens to generate (default: what the context holds)", wholeNumber(1))
    .option("--stop <text>", "text that ends the answer; repeatable", collect)
    .option("--ignore-eos", "go on past the end-of-sequence token, to --max-tokens");
  return addForm(command)
    .option("--json", "print one JSON object")
    .option("--trace <file>", "append attention metrics of sampled decode steps, one line of JSON each")
    .option("--trace-every <n>", "decode steps between samples (default: 16)", wholeNumber(1))
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
