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

/** A message as chat templates see it. Other keys: `tool_calls`, `reasoning_content`, `tool_call_id`, `name` … */
export interface TemplateMessage {
  readonly role: string;
  /** A text, or a list of parts ({ type: "text", text }). May be absent from a message with tool calls. */
  readonly content?: string | null | readonly object[];
  readonly [key: string]: unknown;
}

export interface RenderOptions {
  /** Appends the opening of the assistant's turn. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Other variables of the template, as JSON values: `enable_thinking`, `tools`, `documents`, `date_string` … */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/**
 * Renders messages to a prompt, byte for byte as `apply_chat_template` of transformers does.
 * @throws RequestError when the template refuses the messages.
 * @throws ConfigError when the template is unusable: invalid Jinja, several templates without a default, or a render
 * beyond its limits.
 */
export type ChatTemplate = (messages: readonly TemplateMessage[], options?: RenderOptions) => string;

/** The template of a checkpoint. */
export interface CheckpointTemplate extends ChatTemplate {
  /** The text of each template. */
  readonly texts: readonly string[];
}

interface TemplateSource {
  /** The file, for messages. */
  readonly place: string;
  readonly text: string;
}

const FILE = "chat_template.jinja";
const FOLDER = "additional_chat_templates";
/** Templates that transformers chooses by itself: `tool_use` when the request has tools, else `default`. */
const NAMED = ["default", "tool_use"];

/** Files that hold templates or special tokens, besides chat_template.jinja and tokenizer_config.json. */
export interface TemplateFiles {
  /** Templates of the folder additional_chat_templates, by name. */
  readonly additional?: ReadonlyMap<string, string>;
  /** special_tokens_map.json. */
  readonly specialTokensMap?: JsonObject;
  /** chat_template.json. */
  readonly legacy?: JsonObject;
  /** Names the source of the config's templates in messages. Default tokenizer_config.json. */
  readonly configName?: string;
}

/** Reads a checkpoint's template files and creates its template. @throws ModelFileError */
export async function openChatTemplate(
  folder: FileFolder,
  tokenizerConfig: JsonObject,
): Promise<CheckpointTemplate | undefined> {
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
 * Creates the template of a checkpoint, or undefined when it has none. Sources in order: chat_template.jinja with
 * additional_chat_templates, `chat_template` of tokenizer_config.json (a text, or a list of named texts), and
 * chat_template.json. Of several templates, "tool_use" serves requests with tools and "default" all others.
 * The first render parses the template, so that a broken template does not keep a checkpoint from opening. A template
 * sees the variables of transformers: `messages` (without null keys, reasoning under each of its names), `tools` and
 * `documents` (None when absent), `add_generation_prompt`, and the special tokens by name.
 *
 * Departures from Python: a whole JavaScript number is an int (1.0 in JSON prints as 1); `escape` returns a plain text;
 * `include`, `import`, `extends`, `self`, `lipsum` and the filters filesizeformat, pprint, random, striptags, urlize,
 * wordwrap and xmlattr are refused; an unknown filter is an error only when it is reached; `jinja/budget.ts` limits a
 * render.
 */
export function createChatTemplate(
  jinjaFile: string | undefined,
  tokenizerConfig: JsonObject,
  folderName: string,
  files: TemplateFiles = {},
): CheckpointTemplate | undefined {
  const templates = templatesByName(jinjaFile, tokenizerConfig, folderName, files);
  if (templates.size === 0) return undefined;
  const tokens = templateTokens(tokenizerConfig, files.specialTokensMap ?? {});
  const parsed = new Map<TemplateSource, readonly Statement[]>();
  const renderChat: ChatTemplate = (messages, { addGenerationPrompt = true, variables = {} } = {}) => {
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
  return Object.assign(renderChat, { texts: [...templates.values()].map(({ text }) => text) });
}

function templatesByName(
  jinjaFile: string | undefined,
  tokenizerConfig: JsonObject,
  folderName: string,
  { additional = new Map(), legacy = {}, configName = `${folderName}/tokenizer_config.json` }: TemplateFiles,
): ReadonlyMap<string, TemplateSource> {
  const templates = new Map<string, TemplateSource>();
  if (jinjaFile !== undefined) templates.set("default", { place: `${folderName}/${FILE}`, text: jinjaFile });
  for (const [name, text] of additional)
    templates.set(name, { place: `${folderName}/${FOLDER}/${name}.jinja`, text });
  if (templates.size > 0) return templates;
  const ofConfig = templatesOf(tokenizerConfig, configName);
  return ofConfig.size > 0 ? ofConfig : templatesOf(legacy, `${folderName}/chat_template.json`);
}

/** Reads the templates under `chat_template` of a JSON file. */
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

/** Parameters of apply_chat_template; as variables they would be given twice. */
const RESERVED = [
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
  for (const name of RESERVED)
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

/** Removes the empty keys of a message and copies its reasoning to the names that templates read. */
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
      // without its folder: a server tells clients this
      `the chat template ${place.slice(place.lastIndexOf("/") + 1)} does not take these messages: ${cause.message}`,
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
