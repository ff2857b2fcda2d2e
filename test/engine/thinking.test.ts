/** Reasoning, answer and stop texts, of models that say a known text. */
import { describe, expect, test } from "vitest";
import type { GenerationRequest, GenerationResult } from "../../src/engine/request.ts";
import { CHAT, CHAT_THINKING, openScripted, type Script } from "./scripted-model.ts";

const MARKERS = ["<think>", "</think>"];
const hi: GenerationRequest = { messages: [{ role: "user", content: "hi" }], maxTokens: 20 };

/** The result of a request; its streamed parts must join to it. */
async function say(script: Script, request: GenerationRequest): Promise<GenerationResult> {
  const engine = await openScripted(script);
  try {
    const generation = engine.generate(request);
    const streamed = { reasoning: "", answer: "" };
    for await (const { kind, text } of generation) streamed[kind] += text;
    const result = await generation.result();
    expect(streamed).toEqual({ reasoning: result.reasoning, answer: result.answer });
    return result;
  } finally {
    await engine.close();
  }
}

const thoughtOpened: Script = {
  template: CHAT_THINKING,
  added: MARKERS,
  says: ["\n", "Okay", " Step:", " is", "</think>", "\n\n", "Answer", ":", " 42", "<|im_end|>"],
};

describe("a thought that the generation prompt opens", () => {
  test.each<[string, Partial<GenerationRequest>, Partial<GenerationResult>]>([
    [
      "is reasoning up to its marker",
      {},
      {
        reasoning: "Okay Step: is",
        answer: "Answer: 42",
        text: "Okay Step: is</think>\n\nAnswer: 42",
        finishReason: "stop",
      },
    ],
    [
      "is not ended by a stop text that stands in it",
      { stop: ["Step:"] },
      { answer: "Answer: 42", reasoning: "Okay Step: is" },
    ],
    [
      "is ended by a stop text that is the marker",
      { stop: ["</think>"] },
      { reasoning: "Okay Step: is", answer: "", text: "Okay Step: is", finishReason: "stop" },
    ],
    [
      "is ended by a stop text that begins in it and goes into the marker",
      { stop: "is</think>" },
      { reasoning: "Okay Step:", text: "Okay Step: " },
    ],
    [
      "and its marker are followed by layout that ends nothing",
      { stop: "\n\n" },
      { answer: "Answer: 42", finishReason: "stop" },
    ],
    [
      "is followed by an answer that a stop text ends, layout included",
      { stop: ["\nAnswer", "x"] },
      { answer: "", text: "Okay Step: is</think>\n" },
    ],
    ["is followed by an answer that a stop text ends", { stop: [" 42"] }, { answer: "Answer:" }],
    ["goes on to the last token", { maxTokens: 3 }, { reasoning: "Okay Step: is", finishReason: "length" }],
    ["is what the request says", { startsInReasoning: false }, { answer: "Okay Step: isAnswer: 42" }],
  ])("%s", async (_, request, expected) => {
    expect(await say(thoughtOpened, { ...hi, ...request })).toMatchObject(expected);
  });
});

const answersOnly: Script = { says: ["\n", "Answer", ":", " 42", "<|im_end|>"], added: MARKERS };

describe("only the generation prompt decides where the output starts", () => {
  test.each<[string, Script, GenerationRequest]>([
    [
      "a question about the marker",
      answersOnly,
      { messages: [{ role: "user", content: "What does the <think> tag mean?" }] },
    ],
    [
      "a question that ends in the marker",
      answersOnly,
      { messages: [{ role: "user", content: "Close this: <think>" }] },
    ],
    [
      "an earlier thought without its end",
      answersOnly,
      {
        messages: [
          { role: "user", content: "hi" },
          { role: "assistant", content: "<think>hm" },
          { role: "user", content: "go on" },
        ],
      },
    ],
    [
      "a template that always ends in the same way",
      { ...answersOnly, template: CHAT.replace("if add_generation_prompt", "if true") },
      { messages: [{ role: "user", content: "the <think> tag" }] },
    ],
    ["a raw prompt with an open thought", answersOnly, { prompt: "<think>\nhm\n" }],
  ])("%s", async (_, script, request) => {
    expect(await say(script, { maxTokens: 20, ...request })).toMatchObject({
      answer: "Answer: 42",
      reasoning: "",
    });
  });

  const call = { id: "1", type: "function", function: { name: "f", arguments: {} } };
  const asked = CHAT_THINKING.replace("m.content", "(m.content or '')");
  const always = asked.replace("if add_generation_prompt", "if true");
  const systemFirst = `{%- for m in messages if m.role == 'system' %}{{- m.content }}{% endfor %}${asked}`;
  test.each<[string, string, GenerationRequest["messages"]]>([
    ["a text", asked, [{ role: "user", content: "hi" }]],
    ["an empty text", asked, [{ role: "user", content: "" }]],
    [
      "an empty result of a tool",
      asked,
      [
        { role: "user", content: "x" },
        { role: "tool", content: "" },
      ],
    ],
    ["no content beside calls", asked, [{ role: "assistant", content: null, tool_calls: [call] }]],
    [
      "a system message that moves to the front",
      systemFirst,
      [
        { role: "user", content: "a </think> b" },
        { role: "system", content: "be brief" },
      ],
    ],
    ["a text, the thought always opened", always, [{ role: "user", content: "hi" }]],
    ["an empty text, the thought always opened", always, [{ role: "user", content: "" }]],
    [
      "no content, the thought always opened",
      always,
      [{ role: "assistant", content: null, tool_calls: [call] }],
    ],
  ])("a thought that the template opens after %s", async (_, template, messages) => {
    expect(await say({ ...thoughtOpened, template }, { ...hi, messages: messages ?? [] })).toMatchObject({
      reasoning: "Okay Step: is",
      answer: "Answer: 42",
    });
  });

  test("a template that always opens a thought", async () => {
    const template = CHAT_THINKING.replace("if add_generation_prompt", "if true");
    expect(await say({ ...thoughtOpened, template }, hi)).toMatchObject({
      reasoning: "Okay Step: is",
      answer: "Answer: 42",
    });
  });

  test("a thought that the generation prompt opens and closes, as Qwen3 without thinking: layout is not the answer's", async () => {
    const template = CHAT.replace("assistant\\n", "assistant\\n<think>\\n\\n</think>\\n\\n");
    const says = ["\n\n", " ", "Answer", "<|im_end|>"];
    expect(await say({ template, added: MARKERS, says }, hi)).toMatchObject({
      answer: "Answer",
      text: " Answer",
    });
  });

  test("a raw prompt starts in the reasoning where the request says so", async () => {
    const request = { prompt: "<think>\n", startsInReasoning: true, maxTokens: 20 };
    expect(await say(thoughtOpened, request)).toMatchObject({
      reasoning: "Okay Step: is",
      answer: "Answer: 42",
    });
  });
});

describe("markers are found in the text, whatever tokens spell them", () => {
  const spelt = ["\n", "<think", ">\n", "Okay", " is", "</", "think", ">\n\n", "Answer", " 42", "<|im_end|>"];
  test.each<[string, readonly string[], Partial<GenerationResult>]>([
    ["over several tokens", spelt, { reasoning: "Okay is", answer: "Answer 42" }],
    [
      "byte by byte",
      ["\n", "<", "t", "h", "i", "n", "k", ">", "ok", "</th", "ink>", "A", "<|im_end|>"],
      { reasoning: "ok", answer: "A" },
    ],
    [
      "in one token with text on both sides",
      ["\n", "<think>a", "b</think>c", "<|im_end|>"],
      { reasoning: "ab", answer: "c" },
    ],
    [
      "two in one token",
      ["\n", "<think></think>", "\n\n", "c", "<|im_end|>"],
      { reasoning: "", answer: "c" },
    ],
    [
      "after white space at the start",
      ["\n", " \n", "<think>", "a", "</think>", "c", "<|im_end|>"],
      { reasoning: "a", answer: "c" },
    ],
    [
      "twice",
      ["\n", "<think>", "a", "</think>", "b\n", "<think>\n", "c", "\n</think>\n", "d", "<|im_end|>"],
      { reasoning: "ac", answer: "b\nd" },
    ],
    [
      "what only begins like one is text",
      ["\n", "a <", "think", " b</", "thin", "<|im_end|>"],
      { reasoning: "", answer: "a <think b</thin" },
    ],
    [
      "prose about a closing marker is text",
      ["\n", "The `</", "think", ">` tag", "<|im_end|>"],
      { reasoning: "", answer: "The `</think>` tag" },
    ],
    [
      "prose about the marker is text",
      ["\n", "The `<", "think", ">` tag", "<|im_end|>"],
      { reasoning: "", answer: "The `<think>` tag" },
    ],
  ])("%s", async (_, says, expected) => {
    const result = await say({ says }, hi);
    expect(result).toMatchObject({ ...expected, text: says.slice(1, -1).join("") });
  });
});

describe("white space is trimmed only beside a marker that was there", () => {
  test.each<[string, readonly string[], string]>([
    ["a space at the start of a continuation", [" is", " blue", ".", "<|im_end|>"], " blue."],
    ["the indent of code", [":\n", "    return", " x", "\n\n", "<|im_end|>"], "    return x\n\n"],
    ["nothing but white space", ["x", "\n", "  ", "<|im_end|>"], "\n  "],
    [
      "U+FEFF and U+3000",
      ["x", "<think>", "a", "</think>", "\n", "\ufeff\u3000", "b", "<|im_end|>"],
      "\ufeff\u3000b",
    ],
  ])("%s", async (_, says, answer) => {
    const result = await say({ says }, { prompt: says[0] ?? "", maxTokens: 20 });
    expect(result.answer).toBe(answer);
  });
});
