/** Tools of a request: what its template gets, what its output must follow, and what reads its calls. */
import * as v from "valibot";
import { RequestError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { ConstraintSpec, SequenceItem } from "../constraint/constraint.ts";
import { ToolCallParser } from "./tool-call-parser.ts";
import { detectToolStyle, type ToolStyle } from "./tool-style.ts";

/** A tool as OpenAI's API describes it. `parameters` is a JSON Schema of an object; left out: no parameters. */
export interface ToolDefinition {
  readonly type: "function";
  readonly function: {
    readonly name: string;
    readonly description?: string | undefined;
    readonly parameters?: Readonly<Record<string, unknown>> | undefined;
    readonly [key: string]: unknown;
  };
}

/** auto: the model decides; none: it gets no tools; required: it calls one or more; a name: it calls that one. */
export type ToolChoice =
  | "auto"
  | "none"
  | "required"
  | { readonly type: "function"; readonly function: { readonly name: string } };

/** The tools that a model may call, and whether it must. */
export interface ToolRequest {
  readonly tools: readonly ToolDefinition[];
  readonly toolChoice?: ToolChoice | undefined;
  /** False: at most one call, where the choice asks for a call. Default true. */
  readonly isParallel?: boolean | undefined;
}

/** What a request with tools needs. */
export interface ToolPlan {
  readonly style: ToolStyle;
  /** Variables for `chatTemplateOptions`. */
  readonly templateOptions: { readonly tools: readonly ToolDefinition[] };
  /** Present if the choice asks for a call. */
  readonly constraint?: ConstraintSpec;
  /** Makes a parser for one answer. */
  createParser(): ToolCallParser;
}

const MAX_TOOLS = 128;
const NAME = 'a name of 1 to 64 letters, digits, "_" and "-"';
const SCHEMA = "a JSON Schema of an object";
const TOOL = v.looseObject(
  {
    type: v.literal("function", '"function"'),
    function: v.looseObject(
      {
        name: v.pipe(v.string(NAME), v.regex(/^[\w-]{1,64}$/, NAME)),
        description: v.nullish(v.string("a text")),
        parameters: v.nullish(v.custom<Readonly<Record<string, unknown>>>(describesObject, SCHEMA)),
      },
      "an object with a name",
    ),
  },
  'an object { type: "function", function: { name, parameters } }',
);
const NOTHING = { type: "object", properties: {}, additionalProperties: false };

/** A schema without a type, such as {}, counts as one of an object: arguments are nothing else. */
function describesObject(schema: unknown): boolean {
  if (!isObject(schema)) return false;
  const { type = "object" } = schema;
  return Array.isArray(type) ? type.includes("object") : type === "object";
}

/**
 * Plans the tools of a request; undefined if it has none, or chooses none.
 * @param templates the model's chat templates (`engine.chatTemplates`), whose text tells the style
 * @throws RequestError naming what is wrong: a tool, the choice, or a model whose template shows no style of calls
 */
export function planTools(request: ToolRequest, templates: readonly string[]): ToolPlan | undefined {
  const tools = checkTools(request.tools);
  const { toolChoice = "auto" } = request;
  const chosen = chooseTools(tools, toolChoice);
  if (tools.length === 0 || toolChoice === "none") return undefined;
  const style = detectToolStyle(templates);
  if (!style)
    throw new RequestError(
      "tools: the model's chat template shows none of the known styles of tool calls (Qwen and Hermes, Llama 3, Mistral); leave out the tools, or use another model",
    );
  const names = tools.map((tool) => tool.function.name);
  const constraint = toolChoice === "auto" ? undefined : constraintOf(style, chosen, isSingle(request));
  return {
    style,
    templateOptions: { tools },
    ...(constraint && { constraint }),
    createParser: () => new ToolCallParser(style, names),
  };
}

function isSingle({ toolChoice, isParallel = true }: ToolRequest): boolean {
  return !isParallel || typeof toolChoice === "object";
}

function checkTools(given: readonly ToolDefinition[]): readonly ToolDefinition[] {
  if (!Array.isArray(given) || given.length > MAX_TOOLS)
    throw new RequestError(`tools: expected a list of at most ${MAX_TOOLS} tools, got ${printValue(given)}`);
  const names = new Set<string>();
  for (const [i, one] of given.entries()) {
    const checked = v.safeParse(TOOL, one, { abortEarly: true });
    if (!checked.success) {
      const [issue] = checked.issues;
      const path = (issue.path ?? []).map(({ key }) => `.${String(key)}`).join("");
      throw new RequestError(`tools[${i}]${path}: expected ${issue.message}, got ${printValue(issue.input)}`);
    }
    const { name } = checked.output.function;
    if (names.has(name)) throw new RequestError(`tools[${i}]: the name "${name}" is there twice`);
    names.add(name);
  }
  return given.map(withoutNulls);
}

/** A tool without the fields that a client leaves open by null. */
function withoutNulls(tool: ToolDefinition): ToolDefinition {
  const given = Object.entries(tool.function).filter(([, value]) => value !== null);
  return { ...tool, function: Object.fromEntries(given) as ToolDefinition["function"] }; // the name is no null
}

/** The tools that the choice allows. */
function chooseTools(tools: readonly ToolDefinition[], choice: ToolChoice): readonly ToolDefinition[] {
  if (choice === "auto" || choice === "none") return tools;
  if (choice === "required") {
    if (tools.length === 0) throw new RequestError('tool_choice: "required" needs tools, and there are none');
    return tools;
  }
  const name: unknown = isObject(choice) && isObject(choice.function) ? choice.function.name : undefined;
  const chosen = tools.filter((tool) => tool.function.name === name);
  if (chosen.length > 0) return chosen;
  throw new RequestError(
    `tool_choice: expected "auto", "none", "required" or { type: "function", function: { name } } of a tool, got ${printValue(choice)}`,
  );
}

/** The form of an answer that calls tools, as the style writes it. */
function constraintOf(style: ToolStyle, tools: readonly ToolDefinition[], isOne: boolean): ConstraintSpec {
  const anyCall = (make: (name: string, parameters: object) => readonly SequenceItem[]): SequenceItem => ({
    anyOf: tools.map(({ function: { name, parameters } }) =>
      make(name, parameters ? { ...parameters, type: "object" } : NOTHING),
    ),
  });
  const object = (key: string) => (name: string, schema: object) => [
    { text: `{"name": ${JSON.stringify(name)}, "${key}": ` },
    { schema },
    { text: "}" },
  ];
  const repeated = (items: readonly SequenceItem[], between: readonly SequenceItem[]): SequenceItem =>
    isOne ? { sequence: items } : { repeat: items, between };
  switch (style) {
    case "hermes": {
      const [open, close] = [{ marker: "<tool_call>" }, { marker: "</tool_call>" }];
      const call = [open, { text: "\n" }, anyCall(object("arguments")), { text: "\n" }, close];
      return { sequence: [repeated(call, [{ text: "\n" }])] };
    }
    case "llama3":
      return { sequence: [anyCall(object("parameters"))] };
    case "mistral":
      return {
        sequence: [
          { marker: "[TOOL_CALLS]" },
          { text: "[" },
          repeated([anyCall(object("arguments"))], [{ text: ", " }]),
          { text: "]" },
        ],
      };
    default: {
      const named = anyCall((name, schema) => [{ text: name }, { marker: "[ARGS]" }, { schema }]);
      return { sequence: [repeated([{ marker: "[TOOL_CALLS]" }, named], [])] };
    }
  }
}
