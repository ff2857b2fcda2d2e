import { describe, expect, test } from "vitest";
import { RequestError } from "../base/errors.ts";
import { lessIsMore } from "../index.ts";
import type { GenerationRequest } from "./request.ts";
import { checkRequest } from "./request-schema.ts";

const check = (request: unknown) => checkRequest(request as GenerationRequest);

describe("an invalid request is a RequestError that names the value", () => {
  const circular: Record<string, unknown> = { role: 5 };
  circular.self = circular;
  test.each<[string, unknown, string]>([
    ["nothing", undefined, "expected an object of options, got undefined"],
    ["null", null, "got null"],
    ["a text", "hello", 'got "hello"'],
    ["a list", [{ role: "user", content: "x" }], "expected an object"],
    ["a misspelt key", { prompt: "x", maxTokns: 1 }, 'unknown option "maxTokns"; did you mean "maxTokens"?'],
    ["another case", { prompt: "x", maxtokens: 1 }, 'did you mean "maxTokens"?'],
    ["a name in snake case", { prompt: "x", top_p: 1 }, 'did you mean "topP"?'],
    ["an unknown key", { prompt: "x", beams: 1 }, "known are messages, prompt, tokenIds"],
    ["no source", {}, "give exactly one of messages, prompt and tokenIds; got none"],
    ["two sources", { prompt: "x", tokenIds: [1] }, "got 2"],
    ["no messages", { messages: [] }, "messages must be a list of at least one { role, content }, got []"],
    [
      "messages that are a text",
      { messages: "hi" },
      'messages must be a list of at least one { role, content }, got "hi"',
    ],
    [
      "a message without content",
      { messages: [{ role: "user" }] },
      "messages[0].content must be a text, or left out beside tool_calls",
    ],
    [
      "content null without calls",
      { messages: [{ role: "user", content: null }] },
      'got {"role":"user","content":null}',
    ],
    [
      "a role that is no text",
      { messages: [{ role: "user", content: "" }, circular] },
      "messages[1].role must be",
    ],
    ["a list as message", { messages: [[]] }, "messages[0] must be"],
    ["a number as prompt", { prompt: 5 }, "prompt must be a text, got 5"],
    ["null as prompt", { prompt: null }, "prompt must be a text, got null"],
    ["a text as token ids", { tokenIds: "" }, 'tokenIds must be a list of token ids, got ""'],
    ["null as token ids", { tokenIds: null }, "tokenIds must be a list of token ids, got null"],
    ["a number as token ids", { tokenIds: 0 }, "tokenIds must be a list of token ids, got 0"],
    ["token ids without a length", { tokenIds: {} }, "tokenIds must be a list"],
    ["a number as attention", { prompt: "x", attention: 5 }, "attention must be a policy"],
    ["an empty object as attention", { prompt: "x", attention: {} }, "got {}"],
    ["true as attention", { prompt: "x", attention: true }, "got true"],
    ["a factory as attention", { prompt: "x", attention: lessIsMore }, "got a function"],
    [
      "attention that lacks layerRole",
      { prompt: "x", attention: { name: "a", settings: {}, tokenBudget: 5 } },
      "attention must be",
    ],
    ["a number as stop", { prompt: "x", stop: 5 }, "stop must be a text that is not empty, got 5"],
    [
      "a stop that is a number",
      { prompt: "x", stop: ["a", 5] },
      "stop[1] must be a text that is not empty, got 5",
    ],
    ["an empty stop", { prompt: "x", stop: "" }, 'got ""'],
    [
      "an empty stop among others",
      { prompt: "x", stop: ["x", ""] },
      'stop[1] must be a text that is not empty, got ""',
    ],
    ["an object as signal", { prompt: "x", signal: {} }, "signal must be an AbortSignal"],
    [
      "a signal that cannot be let go of",
      { prompt: "x", signal: { aborted: false, addEventListener() {} } },
      "signal must be an AbortSignal",
    ],
    [
      "template options in a Map",
      {
        messages: [{ role: "user", content: "" }],
        chatTemplateOptions: new Map([["enable_thinking", false]]),
      },
      "chatTemplateOptions must be an object of template variables, got Map {}",
    ],
    [
      "template options that the engine gives",
      { messages: [{ role: "user", content: "" }], chatTemplateOptions: { add_generation_prompt: false } },
      "free of messages and add_generation_prompt",
    ],
    ["300 stops", { prompt: "x", stop: Array(300).fill("a") }, "stop must be at most 256 texts"],
    [
      "ignoreEos that is a word",
      { prompt: "x", ignoreEos: "yes" },
      'ignoreEos must be true or false, got "yes"',
    ],
    ["no tokens", { prompt: "x", maxTokens: 0 }, "maxTokens must be a whole number of at least 1, got 0"],
    ["half a token", { prompt: "x", maxTokens: 1.5 }, "got 1.5"],
    ["a text of tokens", { prompt: "x", maxTokens: "5" }, 'got "5"'],
    ["temperature below 0", { prompt: "x", temperature: -1 }, "temperature must be 0 or more, got -1"],
    ["temperature NaN", { prompt: "x", temperature: Number.NaN }, "temperature must be 0 or more, got NaN"],
    ["temperature of infinity", { prompt: "x", temperature: Number.POSITIVE_INFINITY }, "got Infinity"],
    ["temperature as text", { prompt: "x", temperature: "1" }, 'got "1"'],
    ["topK of a half", { prompt: "x", topK: 1.5 }, "topK must be a whole number, 0 for all, got 1.5"],
    ["topK below 0", { prompt: "x", topK: -1 }, "got -1"],
    ["topP of 0", { prompt: "x", topP: 0 }, "topP must be in (0, 1], got 0"],
    ["topP above 1", { prompt: "x", topP: 1.1 }, "got 1.1"],
    ["minP below 0", { prompt: "x", minP: -0.1 }, "minP must be in [0, 1], got -0.1"],
    [
      "repetitionPenalty of 0",
      { prompt: "x", repetitionPenalty: 0 },
      "repetitionPenalty must be from 0.001 to 1000, got 0",
    ],
    [
      "a presence penalty above 2",
      { prompt: "x", presencePenalty: 2.1 },
      "presencePenalty must be a number from -2 to 2, got 2.1",
    ],
    ["a frequency penalty of NaN", { prompt: "x", frequencyPenalty: Number.NaN }, "frequencyPenalty must be"],
    [
      "a bias of a word",
      { prompt: "x", logitBias: { yes: 1 } },
      "logitBias must be an object of at most 4096 token ids with numbers from -100 to 100",
    ],
    [
      "a bias above 100",
      { prompt: "x", logitBias: { 5: 101 } },
      "logitBias must be an object of at most 4096 token ids",
    ],
    [
      "a bias of a text",
      { prompt: "x", logitBias: { 5: "1" } },
      "logitBias must be an object of at most 4096 token ids",
    ],
    [
      "5000 biases",
      { prompt: "x", logitBias: Object.fromEntries(Array.from({ length: 5000 }, (_, id) => [id, 1])) },
      "logitBias must be an object of at most 4096 token ids",
    ],
    [
      "a list as bias",
      { prompt: "x", logitBias: [1] },
      "logitBias must be an object of at most 4096 token ids",
    ],
    [
      "a stop token below 0",
      { prompt: "x", stopTokenIds: [3, -1] },
      "stopTokenIds[1] must be a token id, got -1",
    ],
    [
      "a number as stop tokens",
      { prompt: "x", stopTokenIds: 3 },
      "stopTokenIds must be a list of at most 1024",
    ],
    [
      "2000 stop tokens",
      { prompt: "x", stopTokenIds: Array(2000).fill(1) },
      "a list of at most 1024 token ids",
    ],
    [
      "more minimum tokens than maximum tokens",
      { prompt: "x", minTokens: 4, maxTokens: 3 },
      "minTokens must be at most maxTokens 3, got 4",
    ],
    [
      "a constraint without a mask",
      { prompt: "x", constraint: { accept() {} } },
      "constraint must be a constraint",
    ],
    ["a seed of a half", { prompt: "x", seed: 0.5 }, "seed must be a whole number, got 0.5"],
    ["a seed past 53 bits", { prompt: "x", seed: 2 ** 53 }, "got 9007199254740992"],
    [
      "template options for a prompt",
      { prompt: "x", chatTemplateOptions: {} },
      "chatTemplateOptions are for messages",
    ],
    [
      "template options that are a list",
      { messages: [{ role: "user", content: "" }], chatTemplateOptions: [] },
      "chatTemplateOptions must be",
    ],
  ])("%s", (_, request, message) => {
    expect(() => check(request)).toThrow(RequestError);
    expect(() => check(request)).toThrow(message);
  });
});

test("messages may have tool calls without content, lists of parts, and tool names", () => {
  const messages = [
    { role: "system", content: "" },
    { role: "assistant", content: null, tool_calls: [{ function: { name: "f", arguments: {} } }] },
    { role: "tool", content: "5", tool_call_id: "1", name: "f" },
    { role: "user", content: [{ type: "text", text: "x" }] },
  ];
  expect(check({ messages, chatTemplateOptions: { enable_thinking: false } }).messages).toEqual(messages);
});

test("values are copied: later changes by the caller do not affect the request", () => {
  const stop = ["a"];
  const checked = check({ prompt: "x", stop });
  stop.push("b");
  expect(checked.stop).toEqual(["a"]);
  expect(check({ prompt: "x", stop: "a", maxTokens: undefined })).toMatchObject({ stop: ["a"] });
});
