import { expect, it } from "vitest";
import { parseConversation } from "./conversation.ts";

const user = { role: "user", content: "hi" };

it("reads a list of messages, or an object with one, and keeps all keys of messages", () => {
  const messages = [
    { role: "system", content: "" },
    { role: "user", content: [{ type: "text", text: "hi" }] },
    { role: "assistant", content: null, tool_calls: [{ name: "f" }] },
    { role: "assistant", tool_calls: [{ name: "f" }], reasoning_content: "…" },
    { role: "tool", content: "3", tool_call_id: "a" },
  ];
  expect(parseConversation(messages, "c")).toEqual(messages);
  expect(parseConversation({ messages }, "c")).toEqual(messages);
});

it.each<[unknown, string]>([
  [5, "c: expected a JSON array of messages"],
  [null, "c: expected a JSON array of messages"],
  ["hi", 'got "hi"'],
  [{}, "c: messages must be a list of at least one { role, content }, got undefined"],
  [{ messages: {} }, "c: messages must be a list of at least one { role, content }, got {}"],
  [{ messages: [user], tools: [] }, 'c: unknown key "tools"'],
  [{ mesages: [user] }, 'did you mean "messages"?'],
  [[], "c: messages must be a list of at least one { role, content }, got []"],
  [[user, "hi"], 'c: messages[1] must be an object with a role and a content, got "hi"'],
  [[user, null], "c: messages[1] must be an object"],
  [[user, [user]], "c: messages[1] must be an object"],
  [[user, user, { content: "a" }], "c: messages[2].role must be a text such as"],
  [[{ role: 5, content: "a" }], 'c: messages[0].role must be a text such as "user", got 5'],
  [[{ role: "", content: "a" }], 'c: messages[0].role must be a text such as "user", got ""'],
  [[user, { role: "user" }], "c: messages[1].content must be a text, or left out beside tool_calls"],
  [
    [{ role: "assistant", content: null }],
    "c: messages[0].content must be a text, or left out beside tool_calls",
  ],
  [[{ role: "assistant", content: null, tool_calls: [] }], "c: messages[0].content must be a text"],
  [[{ role: "user", content: 7 }], "c: messages[0].content must be a text or a list of parts, got 7"],
  [
    [{ role: "user", content: { text: "a" } }],
    "c: messages[0].content must be a text or a list of parts, got {",
  ],
  [
    [{ role: "user", content: [{ type: "text" }, "a"] }],
    'c: messages[0].content[1] must be an object, got "a"',
  ],
])("refuses %j: %s", (value, message) => {
  expect(() => parseConversation(value, "c")).toThrow(message);
});
