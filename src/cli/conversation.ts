import { suggest } from "../base/check-options.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { ChatMessage } from "../engine/request.ts";
import { checkMessages } from "../engine/request-schema.ts";

const EXPECTED = 'a JSON array of messages, [{"role": "user", "content": "…"}], or { "messages": […] }';

/**
 * Reads the messages of a conversation from JSON. Other keys, which templates may know (`tool_calls`, `name`, …), are kept.
 * name: for error messages
 * @throws RequestError that names the message by its index, and the key.
 */
export function parseConversation(value: unknown, name: string): readonly ChatMessage[] {
  return checkMessages(Array.isArray(value) ? value : messagesOf(value, name), name);
}

function messagesOf(value: unknown, name: string): unknown {
  if (!isObject(value)) throw new Error(`${name}: expected ${EXPECTED}, got ${printValue(value)}`);
  for (const key of Object.keys(value))
    if (key !== "messages")
      throw new Error(
        `${name}: unknown key "${key}"; ${suggest(key, ["messages"])} ` +
          "(variables of the template: --chat-template-option)",
      );
  return value.messages;
}
