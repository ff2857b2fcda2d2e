/** A call of the AI SDK as a request to the engine. */
import { suggest } from "../base/check-options.ts";
import { RequestError } from "../base/errors.ts";
import type { ConstraintSpec } from "../constraint/constraint.ts";
import { EFFORT_BUDGETS, isEffort } from "../engine/effort-budgets.ts";
import type { GenerationRequest } from "../engine/request.ts";
import { planTools, type ToolChoice, type ToolDefinition, type ToolPlan } from "../tools/plan-tools.ts";
import type { ToolCallParser } from "../tools/tool-call-parser.ts";
import type { CallOptions, GivenToolChoice, Warning } from "./model-types.ts";
import { readPrompt } from "./read-prompt.ts";

/** Options of a request that the AI SDK has no name for; `providerOptions.lessismore` has them by the engine's names. */
const OWN_OPTIONS = [
  "attention",
  "thinkingBudget",
  "minP",
  "repetitionPenalty",
  "logitBias",
  "stopTokenIds",
  "minTokens",
  "ignoreEos",
  "cacheSalt",
  "reusesDecoded",
  "chatTemplateOptions",
  "startsInReasoning",
] as const;

export interface ReadCall {
  readonly request: GenerationRequest;
  readonly warnings: readonly Warning[];
  /** Reads the calls of tools in an answer; undefined if the model gets no tools. */
  readonly createParser: (() => ToolCallParser) | undefined;
}

/**
 * templates: the model's chat templates, which tell how it calls tools
 * @throws RequestError on an option that is unknown, or that would change the answer and cannot be followed
 */
export function readCall(options: CallOptions, templates: readonly string[]): ReadCall {
  const own = ownOptions(options.providerOptions?.lessismore ?? {});
  const thinking = readReasoning(options.reasoning);
  const { plan, warnings } = readTools(options, templates);
  const templateOptions = {
    ...(thinking.isOff && { enable_thinking: false }),
    ...plan?.templateOptions,
    ...own.chatTemplateOptions,
  };
  const request = defined({
    messages: readPrompt(options.prompt),
    maxTokens: options.maxOutputTokens,
    temperature: options.temperature,
    topP: options.topP,
    topK: options.topK,
    presencePenalty: options.presencePenalty,
    frequencyPenalty: options.frequencyPenalty,
    seed: options.seed,
    stop: options.stopSequences && options.stopSequences.length > 0 ? options.stopSequences : undefined,
    constraint: constraintOf(options, plan),
    thinkingBudget: thinking.budget,
    signal: options.abortSignal,
    ...own,
    chatTemplateOptions: Object.keys(templateOptions).length > 0 ? templateOptions : undefined,
  });
  return { request: request as GenerationRequest, warnings, createParser: plan?.createParser };
}

/** Without the members that are undefined, which the engine would take for given. */
function defined(members: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined));
}

function ownOptions(given: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> & {
  readonly chatTemplateOptions?: object;
} {
  for (const key of Object.keys(given))
    if (!OWN_OPTIONS.some((known) => known === key))
      throw new RequestError(
        `lessismore: unknown option "${key}" in providerOptions.lessismore; ${suggest(key, OWN_OPTIONS)}`,
      );
  return given;
}

function readReasoning(reasoning: string | undefined): {
  readonly budget: number | undefined;
  readonly isOff: boolean;
} {
  if (reasoning === undefined || reasoning === "provider-default") return { budget: undefined, isOff: false };
  if (!isEffort(reasoning))
    throw new RequestError(
      `lessismore: reasoning must be provider-default or one of ${Object.keys(EFFORT_BUDGETS).join(", ")}, got "${reasoning}"`,
    );
  return { budget: EFFORT_BUDGETS[reasoning], isOff: reasoning === "none" };
}

/** What the answer must be: a call if the choice asks for one, else of the format; with tools to choose, either. */
function constraintOf(
  { responseFormat }: CallOptions,
  plan: PlannedTools | undefined,
): ConstraintSpec | undefined {
  if (plan?.constraint) return plan.constraint;
  if (responseFormat?.type !== "json") return undefined;
  const { schema } = responseFormat;
  const format: ConstraintSpec = schema === undefined ? { json: true } : { schema: schema as object };
  return plan ? { sequence: [{ anyOf: [[format], [plan.anyCall]] }] } : format;
}

/** A plan, and the constraint of an answer that calls any of the tools. */
type PlannedTools = ToolPlan & { readonly anyCall: ConstraintSpec };

/** @throws RequestError as `planTools` does */
function readTools(
  { tools = [], toolChoice }: CallOptions,
  templates: readonly string[],
): { readonly plan?: PlannedTools; readonly warnings: readonly Warning[] } {
  const functions = tools.filter((tool) => tool.type === "function");
  const warnings = tools
    .filter((tool) => tool.type !== "function")
    .map(
      ({ name }): Warning => ({ type: "unsupported", feature: `the tool ${name}, which a provider runs` }),
    );
  if (functions.length === 0 && toolChoice?.type !== "required") return { warnings };
  const definitions = functions.map(({ name, description, inputSchema }): ToolDefinition => {
    const parameters = inputSchema as Readonly<Record<string, unknown>> | undefined;
    return {
      type: "function",
      function: {
        name,
        ...(description !== undefined && { description }),
        ...(parameters && { parameters }),
      },
    };
  });
  const plan = planTools({ tools: definitions, toolChoice: choiceOf(toolChoice) }, templates);
  const anyCall = plan && planTools({ tools: definitions, toolChoice: "required" }, templates)?.constraint;
  return { warnings, ...(plan && anyCall && { plan: { ...plan, anyCall } }) };
}

function choiceOf(choice: GivenToolChoice | undefined): ToolChoice {
  if (choice?.type === "tool") return { type: "function", function: { name: choice.toolName ?? "" } };
  return choice?.type ?? "auto";
}
