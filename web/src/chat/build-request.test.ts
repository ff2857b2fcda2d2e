import { expect, test } from "vitest";
import type { Message, RunSettings } from "../conversations/conversation.ts";
import { BUNDLED, hubChoice } from "../models/model-choice.ts";
import { buildRequest } from "./build-request.ts";

const settings: RunSettings = { model: "m", attention: "full", thinking: { kind: "free" }, seed: 7 };
const answer = {
  role: "assistant",
  id: "2",
  settings,
  state: "done",
  reasoning: "hm",
  answer: "four",
  tokenIds: [1],
} as const;
const before: Message[] = [
  { role: "user", id: "1", content: "two and two?" },
  answer,
  { role: "user", id: "3", content: "and three?" },
];

test("a chat model reads the conversation, without earlier reasoning and without empty answers", () => {
  const cut: Message[] = [...before.slice(0, 2), { ...answer, id: "4", answer: "" }, ...before.slice(2)];
  expect(buildRequest(hubChoice("org/name"), cut, settings)).toEqual({
    messages: [
      { role: "user", content: "two and two?" },
      { role: "assistant", content: "four" },
      { role: "user", content: "and three?" },
    ],
    attention: "full",
    seed: 7,
  });
});

test("the bundled model reads the last message alone, greedily", () => {
  const { messages, temperature } = buildRequest(BUNDLED, before, settings);
  expect(messages).toEqual([{ role: "user", content: "and three?" }]);
  expect(temperature).toBe(0);
});

test("a model without a chat template goes on with the last text", () => {
  const request = buildRequest(
    hubChoice("org/name"),
    before,
    { ...settings, thinking: { kind: "off" } },
    false,
  );
  expect(request).toEqual({ prompt: "and three?", attention: "full", seed: 7 });
});

test("thinking is off by the template and by the engine, or has its budget", () => {
  const request = (thinking: RunSettings["thinking"]) =>
    buildRequest(hubChoice("org/name"), before, { ...settings, thinking });
  expect(request({ kind: "off" })).toMatchObject({
    chatTemplateOptions: { enable_thinking: false },
    thinkingBudget: 0,
  });
  expect(request({ kind: "budget", tokens: 300 }).thinkingBudget).toBe(300);
});
