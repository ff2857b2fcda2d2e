import { ConfigError, RequestError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import { type FileFolder, readText } from "./byte-source.ts";
import type { Statement } from "./jinja/ast.ts";
import { TemplateLimitError, TemplateRuntimeError, TemplateSyntaxError } from "./jinja/budget.ts";
import { render } from "./jinja/interpreter.ts";
import { parseTemplate } from "./jinja/parser.ts";
import { toValue } from "./jinja/template-data.ts";
import type { Value } from "./jinja/values.ts";
import { type JsonObject, readJsonObject } from "./json-file.ts";
import { templateTokens } from "./special-tokens.ts";

/** A message as chat templates see it. Beside role and content: `tool_calls`, `reasoning_content`, `tool_call_id`, `name` … */
export interface TemplateMessage {
  readonly role: string;
  /** A text, or a list of parts ({ type: "text", text }), or nothing beside tool calls. */
  readonly content?: string | null | readonly object[];
  readonly [key: string]: unknown;
}

export interface RenderOptions {
  /** End with the opening of the assistant's turn. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Whatever else the template knows: `enable_thinking`, `tools`, `documents`, `date_string` … JSON values. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/**
 * Messages as the model was trained to see them: byte for byte what `apply_chat_template` of transformers renders.
 * @throws RequestError when the template refuses the messages.
 * @throws ConfigError when the template itself cannot be used: no Jinja, no default among several, too long a run.
 */
export type ChatTemplate = (messages: readonly TemplateMessage[], options?: RenderOptions) => string;

/** One template and where it stands, for messages. */
interface TemplateSource {
  readonly place: string;
  readonly text: string;
}

const FILE = "chat_template.jinja";
const FOLDER = "additional_chat_templates";
/** Names that are chosen without being asked for: transformers takes `tool_use` where the request has tools. */
const NAMED = ["default", "tool_use"];

/** The other files of a checkpoint that templates come from. */
export interface TemplateFiles {
  /** Texts of additional_chat_templates by name. */
  readonly additional?: ReadonlyMap<string, string>;
  /** special_tokens_map.json. */
  readonly specialTokensMap?: JsonObject;
  /** chat_template.json. */
  readonly legacy?: JsonObject;
}

/** Reads the files that a checkpoint's templates come from and makes its `ChatTemplate`. @throws ModelFileError */
export async function openChatTemplate(
  folder: FileFolder,
  tokenizerConfig: JsonObject,
): Promise<ChatTemplate | undefined> {
  const additional = new Map<string, string>();
  for (const name of NAMED) {
    const text = await readText(folder, `${FOLDER}/${name}.jinja`);
    if (text !== undefined) additional.set(name, text);
  }
  return createChatTemplate(await readText(folder, FILE), tokenizerConfig, folder.name, {
    additional,
    specialTokensMap: (await readJsonObject(folder, "special_tokens_map.json")) ?? {},
    legacy: (await readJsonObject(folder, "chat_template.json")) ?? {},
  });
}

/**
 * The template of a checkpoint, or undefined when there is none: chat_template.jinja and additional_chat_templates,
 * else `chat_template` of tokenizer_config.json (a text, or a list of named texts), else that of chat_template.json.
 * Of several, "tool_use" is taken where a request has tools, else "default".
 * A template is parsed when a chat is first rendered, so that nothing else depends on it. It sees what transformers
 * gives it: `messages` (keys that are null left out, reasoning under each of its names), `tools` and `documents` (None
 * where absent), `add_generation_prompt` and the special tokens by name.
 *
 * What is otherwise than in Python: a whole number of JavaScript is an int (1.0 in JSON prints as 1); `escape` gives a
 * plain text; `include`, `import`, `extends`, `self`, `lipsum` and the filters filesizeformat, pprint, random, striptags,
 * urlize, wordwrap and xmlattr are refused; a filter that is unknown is an error only where it is reached; a render has
 * the limits of `jinja/budget.ts`.
 */
export function createChatTemplate(
  jinjaFile: string | undefined,
  tokenizerConfig: JsonObject,
  folderName: string,
  files: TemplateFiles = {},
): ChatTemplate | undefined {
  const templates = templatesByName(jinjaFile, tokenizerConfig, folderName, files);
  if (templates.size === 0) return undefined;
  const tokens = templateTokens(tokenizerConfig, files.specialTokensMap ?? {});
  const parsed = new Map<TemplateSource, readonly Statement[]>();
  return (messages, { addGenerationPrompt = true, variables = {} } = {}) => {
    const source = chooseTemplate(templates, variables);
    const context = templateContext(messages, tokens, addGenerationPrompt, variables);
    try {
      const statements = parsed.get(source) ?? parseTemplate(source.text);
      parsed.set(source, statements);
      return render(statements, context);
    } catch (cause) {
      throw templateError(source, cause);
    }
  };
}

function templatesByName(
  jinjaFile: string | undefined,
  tokenizerConfig: JsonObject,
  folderName: string,
  { additional = new Map(), legacy = {} }: TemplateFiles,
): ReadonlyMap<string, TemplateSource> {
  const templates = new Map<string, TemplateSource>();
  if (jinjaFile !== undefined) templates.set("default", { place: `${folderName}/${FILE}`, text: jinjaFile });
  for (const [name, text] of additional)
    templates.set(name, { place: `${folderName}/${FOLDER}/${name}.jinja`, text });
  if (templates.size > 0) return templates;
  const ofConfig = templatesOf(tokenizerConfig, `${folderName}/tokenizer_config.json`);
  return ofConfig.size > 0 ? ofConfig : templatesOf(legacy, `${folderName}/chat_template.json`);
}

/** What `chat_template` of a JSON file holds. */
function templatesOf(
  { chat_template: template }: JsonObject,
  file: string,
): ReadonlyMap<string, TemplateSource> {
  if (typeof template === "string") return new Map([["default", { place: file, text: template }]]);
  const templates = new Map<string, TemplateSource>();
  for (const one of Array.isArray(template) ? template : [])
    if (isObject(one) && typeof one.name === "string" && typeof one.template === "string")
      templates.set(one.name, { place: `${file} (template ${printValue(one.name)})`, text: one.template });
  return templates;
}

function chooseTemplate(
  templates: ReadonlyMap<string, TemplateSource>,
  { tools }: Readonly<Record<string, unknown>>,
): TemplateSource {
  const hasTools = tools !== undefined && tools !== null;
  const chosen = (hasTools ? templates.get("tool_use") : undefined) ?? templates.get("default");
  if (chosen) return chosen;
  const [first] = templates.values();
  throw new ConfigError(
    `rendering a chat: ${first?.place ?? "the checkpoint"} has templates named ${[...templates.keys()].map(printValue).join(", ")}, ` +
      'but none is the "default"; give the prompt as text or token ids',
  );
}

/** What apply_chat_template takes itself; as variables they would be given twice. */
const TAKEN = [
  "messages",
  "conversation",
  "add_generation_prompt",
  "chat_template",
  "continue_final_message",
];

function templateContext(
  messages: readonly TemplateMessage[],
  tokens: ReadonlyMap<string, string>,
  addGenerationPrompt: boolean,
  variables: Readonly<Record<string, unknown>>,
): ReadonlyMap<string, Value> {
  if (!Array.isArray(messages) || messages.length === 0)
    throw new RequestError("rendering a chat: expected at least one message");
  for (const name of TAKEN)
    if (Object.hasOwn(variables, name))
      throw new RequestError(`rendering a chat: ${name} cannot be a variable of the chat template`);
  for (const name of ["tools", "documents"]) checkObjects(name, variables[name]);
  const context = new Map<string, Value>([["tools", null], ["documents", null], ...tokens]);
  const put = (name: string, data: unknown) => {
    try {
      context.set(name, toValue(data));
    } catch (cause) {
      throw new RequestError(`rendering a chat: ${name} cannot be given to the template (${String(cause)})`, {
        cause,
      });
    }
  };
  for (const [name, value] of Object.entries(variables)) if (value !== undefined) put(name, value);
  put("messages", messages.map(templateMessage));
  return context.set("add_generation_prompt", addGenerationPrompt);
}

function checkObjects(name: string, value: unknown): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value) || !value.every(isObject))
    throw new RequestError(`rendering a chat: ${name} must be a list of objects, got ${showShort(value)}`);
}

function showShort(value: unknown): string {
  return Array.isArray(value) ? "a list with something else in it" : typeof value;
}

const REASONING = ["reasoning_content", "thinking", "reasoning"];

/** A message without its empty keys, its reasoning under the names that templates read. */
function templateMessage(message: unknown): JsonObject {
  if (!isObject(message))
    throw new RequestError(`rendering a chat: a message must be an object, got ${showShort(message)}`);
  const full = Object.fromEntries(
    Object.entries(message).filter(([, value]) => value !== null && value !== undefined),
  );
  const name = REASONING.find((key) => full[key] !== undefined);
  if (name === undefined) return full;
  return { thinking: full[name], ...full, reasoning_content: full[name] };
}

function templateError({ place }: TemplateSource, cause: unknown): Error {
  const options = { cause };
  if (cause instanceof TemplateRuntimeError)
    return new RequestError(
      `the chat template ${place} does not take these messages: ${cause.message}`,
      options,
    );
  if (cause instanceof TemplateSyntaxError)
    return new ConfigError(
      `the chat template ${place} cannot be used: ${cause.message}; give the prompt as text or token ids`,
      options,
    );
  const why =
    cause instanceof TemplateLimitError
      ? cause.message
      : cause instanceof RangeError
        ? "it nests too deep"
        : undefined;
  if (why !== undefined)
    return new ConfigError(
      `rendering the chat template ${place} was stopped: ${why}; give the prompt as text or token ids`,
      options,
    );
  return cause instanceof Error ? cause : new ConfigError(`the chat template ${place} failed`, options);
}
