/** Messages of OpenAI's API, and the messages of templates that they become. */
import * as v from "valibot";
import { isObject } from "../base/is-object.ts";
import type { ChatMessage } from "../engine/request.ts";
import { badField } from "./http-error.ts";
import { readInnerJson } from "./read-json.ts";

const LIST = "a list of at least one message";
const MESSAGE = "an object with a role and a content";
const ROLE = 'a text such as "user"';
/** Only role and content are checked: a template reads what else it knows (`tool_calls`, `name`, `reasoning_content`, …). */
const message = v.looseObject(
  {
    role: v.pipe(v.string(ROLE), v.minLength(1, ROLE)),
    content: v.nullish(v.union([v.string(), v.array(v.unknown())], "a text or a list of parts")),
  },
  (issue) => (issue.input === undefined ? ROLE : MESSAGE),
);

export const MESSAGES = v.pipe(v.array(message, LIST), v.minLength(1, LIST));

type GivenMessage = v.InferOutput<typeof message>;

/**
 * Turns a message of OpenAI's API into one for templates. `developer` is its newer name of `system`. Parts of text become one
 * text, and arguments of tool calls values, as in vLLM, since few templates read the other forms. An answer without content is an
 * empty one, as in vLLM: servers give it for a reasoning that was cut, and clients send it back.
 */
export function toMessage({ role, content, ...rest }: GivenMessage, index: number): ChatMessage {
  const { tool_calls: calls } = rest;
  const isEmptyAnswer = role === "assistant" && (content ?? null) === null && !hasCalls(calls);
  return {
    ...rest,
    role: role === "developer" ? "system" : role,
    ...(Array.isArray(calls) && {
      tool_calls: calls.map((call, i) => withParsedArguments(call, `messages[${index}].tool_calls[${i}]`)),
    }),
    ...(content !== undefined && { content: Array.isArray(content) ? joinParts(content, index) : content }),
    ...(isEmptyAnswer && { content: "" }),
  };
}

const hasCalls = (calls: unknown): boolean => Array.isArray(calls) && calls.length > 0;

function joinParts(parts: readonly unknown[], index: number): string {
  const texts = parts.map((part, i) => {
    const at = `messages[${index}].content[${i}]`;
    if (!isObject(part) || typeof part.type !== "string")
      throw badField(at, `${at} must be an object with a type, such as { "type": "text", "text": "…" }`);
    if (part.type !== "text")
      throw badField(
        `${at}.type`,
        `${at} has the type ${JSON.stringify(part.type.slice(0, 40))}; this model reads parts of the type "text" alone`,
      );
    if (typeof part.text !== "string") throw badField(`${at}.text`, `${at}.text must be a text`);
    return part.text;
  });
  return texts.join("\n");
}

function withParsedArguments(call: unknown, at: string): unknown {
  if (!isObject(call) || !isObject(call.function) || typeof call.function.arguments !== "string") return call;
  const value = readInnerJson(call.function.arguments, `${at}.function.arguments`);
  // the template gets what is no object as the text that the model once wrote
  return isObject(value) ? { ...call, function: { ...call.function, arguments: value } } : call;
}
