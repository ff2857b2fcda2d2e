import { Template } from "@huggingface/jinja";
import { ModelFileError, RequestError } from "../base/errors.ts";
import { isJsonObject, type JsonObject } from "./json-file.ts";

/** Renders messages as the model was trained to see them. */
export type ChatTemplate = (
  messages: readonly { readonly role: string; readonly content: string }[],
  options?: Readonly<Record<string, unknown>>,
) => string;

/**
 * The checkpoint's template: chat_template.jinja, else `chat_template` of tokenizer_config.json (a text or a list of
 * named texts), or undefined when there is none.
 * @throws ModelFileError when the template does not parse.
 */
export function createChatTemplate(
  jinjaFile: string | undefined,
  tokenizerConfig: JsonObject,
  folderName: string,
): ChatTemplate | undefined {
  const source = jinjaFile ?? fromConfig(tokenizerConfig);
  if (source === undefined) return undefined;
  let template: Template;
  try {
    template = new Template(source);
  } catch (cause) {
    throw new ModelFileError(`reading ${folderName}: its chat template does not parse (${String(cause)})`, { cause });
  }
  const variables = { bos_token: tokenText(tokenizerConfig.bos_token), eos_token: tokenText(tokenizerConfig.eos_token) };
  return (messages, options) => {
    try {
      return template.render({ ...variables, add_generation_prompt: true, messages, ...options });
    } catch (cause) {
      throw new RequestError(`rendering the chat template of ${folderName}: ${String(cause)}`, { cause });
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
function tokenText(value: unknown): string {
  if (typeof value === "string") return value;
  return isJsonObject(value) && typeof value.content === "string" ? value.content : "";
}
