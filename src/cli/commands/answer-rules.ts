/** Options of `generate` that rule the reasoning, the tokens and the form of the answer. */
import { type Command, Option } from "commander";
import type { ConstraintSpec } from "../../constraint/constraint.ts";
import { EFFORT_BUDGETS, type Effort } from "../../engine/effort-budgets.ts";
import type { GenerationRequest } from "../../engine/request.ts";
import { collect, collectBias, collectTokenId, signedDecimal, UsageError, wholeNumber } from "../args.ts";
import { nameOf, readJson } from "../read-text.ts";

export interface AnswerRules {
  readonly thinkingBudget?: number;
  readonly reasoningEffort?: Effort;
  readonly presencePenalty?: number;
  readonly frequencyPenalty?: number;
  readonly logitBias?: Readonly<Record<number, number>>;
  readonly stopTokenId?: readonly number[];
  readonly minTokens?: number;
  readonly jsonObject?: boolean;
  readonly jsonSchema?: string;
  readonly regex?: string;
  readonly choice?: readonly string[];
  readonly logprobs?: number;
  readonly keepMarkers?: boolean;
}

const penalty = signedDecimal("a number from -2 to 2", (value) => Math.abs(value) <= 2);

/** Adds the reasoning's limits, under a heading. */
export function addReasoning(command: Command): Command {
  return command
    .optionsGroup("Reasoning:")
    .option(
      "--thinking-budget <n>",
      "end the reasoning after n tokens, so that the model answers",
      wholeNumber(0),
    )
    .addOption(
      new Option(
        "--reasoning-effort <effort>",
        "a budget by name: none (also asks the template for none), minimal 256, low 1024, medium 4096, high 16384, xhigh 32768, max",
      ).choices(Object.keys(EFFORT_BUDGETS)),
    )
    .option("--keep-markers", "print the text as the model wrote it, reasoning markers included");
}

/** Adds the rules of tokens that belong to sampling. */
export function addTokenRules(command: Command): Command {
  return command
    .option(
      "--presence-penalty <p>",
      "from -2 to 2: above 0 discourages tokens of the output so far",
      penalty,
    )
    .option("--frequency-penalty <p>", "the same, for each time that they came", penalty)
    .option(
      "--logit-bias <id=bias>",
      "adds -100 (never) to 100 to the logit of a token; repeatable",
      collectBias,
    );
}

/** Adds what ends the output, and its form. */
export function addForm(command: Command): Command {
  return command
    .option("--stop-token-id <id>", "token that ends the output; repeatable", collectTokenId)
    .option("--min-tokens <n>", "nothing ends the output before it has so many tokens", wholeNumber(0))
    .option("--json-object", "the answer is a JSON object")
    .option(
      "--json-schema <file|schema>",
      "the answer is JSON of a schema: a file, - for standard input, or the schema itself, which begins with {",
    )
    .option("--regex <pattern>", "the answer matches an ECMAScript pattern")
    .option("--choice <text>", "the answer is this text or one of the others; repeatable", collect)
    .option(
      "--logprobs <n>",
      "with --json: the probability of each token, and n others in its place",
      wholeNumber(0),
    );
}

/** Refuses rules that contradict each other, before anything is read. @throws UsageError */
export function checkRules(rules: AnswerRules & { readonly json?: boolean }): void {
  if (rules.thinkingBudget !== undefined && rules.reasoningEffort !== undefined)
    throw new UsageError("--thinking-budget and --reasoning-effort both limit the reasoning; give one");
  const forms = [
    rules.jsonObject && "--json-object",
    rules.jsonSchema !== undefined && "--json-schema",
    rules.regex !== undefined && "--regex",
    rules.choice && "--choice",
  ].filter((form) => typeof form === "string");
  if (forms.length > 1) throw new UsageError(`${forms.join(" and ")} all say what the answer is; give one`);
  if (rules.logprobs === undefined) return;
  if (rules.json !== true) throw new UsageError("--logprobs is for --json, whose object has them");
  if (rules.logprobs > 20) throw new UsageError(`--logprobs: expected at most 20, got ${rules.logprobs}`);
}

/** The variables of the chat template that an effort implies. */
export function variablesOf({ reasoningEffort }: AnswerRules): Readonly<Record<string, unknown>> {
  return reasoningEffort === "none" ? { enable_thinking: false } : {};
}

/** Reads the rules as options of a request. @throws UsageError */
export async function readRules(rules: AnswerRules, input: NodeJS.ReadStream): Promise<GenerationRequest> {
  const { reasoningEffort: effort, stopTokenId, keepMarkers, jsonSchema } = rules;
  const { presencePenalty, frequencyPenalty, logitBias, minTokens, logprobs } = rules;
  const schema = jsonSchema === undefined ? undefined : await readSchema(jsonSchema, input);
  const given = {
    ...{ presencePenalty, frequencyPenalty, logitBias, minTokens, logprobs },
    thinkingBudget: rules.thinkingBudget ?? (effort === undefined ? undefined : EFFORT_BUDGETS[effort]),
    stopTokenIds: stopTokenId,
    keepsMarkers: keepMarkers,
    constraint: constraintOf(rules, schema),
  };
  return Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
}

async function readSchema(path: string, input: NodeJS.ReadStream): Promise<object | boolean> {
  if (path.trimStart().startsWith("{")) return parseSchema(path);
  const value = await readJson(path, input, "a JSON schema");
  if (typeof value === "boolean" || (typeof value === "object" && value !== null && !Array.isArray(value)))
    return value;
  throw new Error(`${nameOf(path)}: expected a JSON schema, an object`);
}

/** @throws UsageError for a text that is no JSON */
function parseSchema(text: string): object {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`--json-schema: expected JSON or the name of a file; ${String(error)}`);
  }
}

function constraintOf(
  { jsonObject, regex, choice }: AnswerRules,
  schema: object | boolean | undefined,
): ConstraintSpec | undefined {
  if (jsonObject) return { json: true };
  if (schema !== undefined) return { schema };
  if (regex !== undefined) return { regex };
  return choice && { choice };
}
