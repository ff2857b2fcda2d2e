import { expect, test } from "vitest";
import { ChatSession } from "./chat-session.ts";

const said = (answer: string, reasoning = "") => ({ answer, reasoning });

function talked(): ChatSession {
  const session = new ChatSession({ thinking: "off", system: "Be brief.", attention: "full" });
  session.ask("one");
  session.answer(said("1", "count"));
  session.ask("two");
  return session;
}

test("a request has the system message, the turns so far and the settings", () => {
  expect(talked().request()).toEqual({
    messages: [
      { role: "system", content: "Be brief." },
      { role: "user", content: "one" },
      { role: "assistant", content: "1", reasoning_content: "count" },
      { role: "user", content: "two" },
    ],
    attention: "full",
    chatTemplateOptions: { enable_thinking: false },
  });
  const limited = new ChatSession({ thinking: 64 });
  limited.ask("x");
  expect(limited.request()).toMatchObject({
    chatTemplateOptions: { enable_thinking: true },
    thinkingBudget: 64,
  });
  const plain = new ChatSession({ thinking: "default" });
  plain.ask("x");
  expect(plain.request()).toEqual({ messages: [{ role: "user", content: "x" }] });
});

test("an answer can be dropped and a question taken back", () => {
  const session = talked();
  expect(session.dropAnswer()).toBe(false);
  session.answer(said("2"));
  expect(session.dropAnswer()).toBe(true);
  expect(session.takeBack()).toBe("two");
  expect(session.takeBack()).toBe("");
  expect(session.messages).toHaveLength(2);
});

test("a file gives back the conversation and its settings", () => {
  const session = talked();
  const loaded = new ChatSession({ thinking: "default", system: "gone" });
  loaded.fromText(session.toText(), "chat.json");
  expect([loaded.messages, loaded.settings]).toEqual([session.messages, session.settings]);
  const empty = new ChatSession({ thinking: 64 });
  loaded.fromText(empty.toText(), "chat.json");
  expect([loaded.messages, loaded.settings]).toEqual([[], { thinking: 64 }]);
});

test.each([
  ["[]", "expected a conversation"],
  ['{"format":"lessismore-chat-1","messages":[],"thinking":-1}', "thinking must be"],
  ['{"format":"lessismore-chat-1","messages":[],"thinking":"on","system":1}', "system must be a text"],
  ['{"format":"lessismore-chat-1","messages":[{"role":"user"}],"thinking":"on"}', "messages[0].content"],
  ["{", "JSON"],
])("the file %s is refused, and nothing changes", (text, reason) => {
  const session = talked();
  expect(() => session.fromText(text, "chat.json")).toThrow(reason);
  expect([session.messages, session.settings]).toEqual([talked().messages, talked().settings]);
});
