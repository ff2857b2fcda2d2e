import { suggest } from "../base/check-options.ts";
import { printValue } from "../base/print-value.ts";
import type { ChatMessage } from "../engine/request.ts";

const EXPECTED = 'a JSON array of messages, [{"role": "user", "content": "…"}], or { "messages": […] }';

/**
 * The messages of a conversation in JSON. Keys that templates know besides (`tool_calls`, `name`, …) go along.
 * name: what messages of errors call it
 * @throws Error that names the message by its index, and the key.
 */
export function parseConversation(value: unknown, name: string): readonly ChatMessage[] {
  const list = Array.isArray(value) ? value : messagesOf(value, name);
  if (list.length === 0) throw new Error(`${name}: messages must hold at least one message, got []`);
  return list.map((message: unknown, i) => checkMessage(message, `${name}: messages[${i}]`));
}

function messagesOf(value: unknown, name: string): readonly unknown[] {
  if (!isObject(value)) throw new Error(`${name}: expected ${EXPECTED}, got ${printValue(value)}`);
  for (const key of Object.keys(value))
    if (key !== "messages")
      throw new Error(
        `${name}: unknown key "${key}"; ${suggest(key, ["messages"])} ` +
          "(variables of the template: --chat-template-option)",
      );
  const { messages } = value;
  if (!Array.isArray(messages))
    throw new Error(`${name}: messages must be a list of messages, got ${printValue(messages)}`);
  return messages;
}

function checkMessage(message: unknown, at: string): ChatMessage {
  if (!isObject(message))
    throw new Error(`${at} must be an object with a role and a content, got ${printValue(message)}`);
  const { role, content, tool_calls: calls } = message;
  if (typeof role !== "string" || role === "")
    throw new Error(`${at}.role must be a text such as "user", got ${printValue(role)}`);
  if (content === undefined || content === null) {
    if (!Array.isArray(calls) || calls.length === 0)
      throw new Error(`${at}.content must be a text, got ${printValue(content)} and no tool_calls`);
  } else if (Array.isArray(content)) {
    const wrong = content.findIndex((part: unknown) => !isObject(part));
    if (wrong >= 0)
      throw new Error(`${at}.content[${wrong}] must be an object, got ${printValue(content[wrong])}`);
  } else if (typeof content !== "string")
    throw new Error(`${at}.content must be a text, got ${printValue(content)}`);
  return { ...message, role } as ChatMessage;
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
