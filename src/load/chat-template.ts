import { Template } from "@huggingface/jinja";
import { ModelFileError, RequestError } from "../base/errors.ts";
import { isJsonObject, type JsonObject } from "./json-file.ts";

export interface TemplateMessage {
  readonly role: string;
  readonly content?: string | null | readonly object[];
  readonly [key: string]: unknown;
}

export interface RenderOptions {
  /** End with the opening of the assistant's turn. Default true. */
  readonly addGenerationPrompt?: boolean;
  /** Variables besides messages: `enable_thinking`, `tools`, `documents` and any other. */
  readonly variables?: Readonly<Record<string, unknown>>;
}

/**
 * Messages as the model was trained to see them.
 * @throws RequestError when the template refuses the messages.
 */
export type ChatTemplate = (messages: readonly TemplateMessage[], options?: RenderOptions) => string;

/**
 * The checkpoint's template: chat_template.jinja, else `chat_template` of tokenizer_config.json (a text or a list of
 * named texts, of which "default" or the first), or undefined when there is none.
 * @throws ModelFileError when the template does not parse.
 */
export function createChatTemplate(
  jinjaFile: string | undefined,
  tokenizerConfig: JsonObject,
  folderName: string,
): ChatTemplate | undefined {
  const source = jinjaFile ?? fromConfig(tokenizerConfig);
  if (source === undefined) return undefined;
  const tokens: Record<string, string> = {};
  for (const key of ["bos_token", "eos_token", "unk_token", "pad_token"]) {
    const text = tokenText(tokenizerConfig[key]);
    if (text !== undefined) tokens[key] = text;
  }
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw new ModelFileError(`reading ${folderName}: its chat template does not parse (${String(cause)})`, {
      cause,
    });
  }
  return (messages, { addGenerationPrompt = true, variables = {} } = {}) => {
    try {
      return template.render({
        ...tokens,
        ...variables,
        add_generation_prompt: addGenerationPrompt,
        messages,
      });
    } catch (cause) {
      throw new RequestError(
        `the chat template of ${folderName} does not take these messages: ${String(cause)}`,
        { cause },
      );
    }
  };
}

function fromConfig(config: JsonObject): string | undefined {
  const { chat_template: template } = config;
  if (typeof template === "string") return template;
  if (!Array.isArray(template)) return undefined;
  const named = template.filter(isJsonObject);
  const chosen = named.find((one) => one.name === "default") ?? named[0];
  return typeof chosen?.template === "string" ? chosen.template : undefined;
}

/** Special tokens stand in tokenizer_config.json as text or as an object with `content`. */
function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isJsonObject(value) && typeof value.content === "string" ? value.content : undefined;
}
