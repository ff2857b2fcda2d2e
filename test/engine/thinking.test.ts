/** Splits of reasoning and answer, and stop texts, with models that generate a known text. */
import { describe, expect, test } from "vitest";
import type { GenerationRequest, GenerationResult } from "../../src/engine/request.ts";
import { CHAT, CHAT_THINKING, openScripted, type Script } from "./scripted-model.ts";

const MARKERS = ["<think>", "</think>"];
const hi: GenerationRequest = { messages: [{ role: "user", content: "hi" }], maxTokens: 20 };

/** Runs a request; checks that its streamed parts join to the result. */
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

const opensReasoning: Script = {
  template: CHAT_THINKING,
  added: MARKERS,
  says: ["\n", "Okay", " Step:", " is", "</think>", "\n\n", "Answer", ":", " 42", "<|im_end|>"],
};

describe("reasoning that the generation prompt opens", () => {
  test.each<[string, Partial<GenerationRequest>, Partial<GenerationResult>]>([
    [
      "ends at its marker",
      {},
      {
        reasoning: "Okay Step: is",
        answer: "Answer: 42",
        text: "Okay Step: is</think>\n\nAnswer: 42",
        finishReason: "stop",
      },
    ],
    [
      "continues past a stop text inside it",
      { stop: ["Step:"] },
      { answer: "Answer: 42", reasoning: "Okay Step: is" },
    ],
    [
      "ends the request at a stop text equal to the marker",
      { stop: ["</think>"] },
      { reasoning: "Okay Step: is", answer: "", text: "Okay Step: is", finishReason: "stop" },
    ],
    [
      "ends the request at a stop text that reaches into the marker",
      { stop: "is</think>" },
      { reasoning: "Okay Step:", text: "Okay Step: " },
    ],
    [
      "may precede white space equal to a stop text, which is ignored",
      { stop: "\n\n" },
      { answer: "Answer: 42", finishReason: "stop" },
    ],
    [
      "precedes an answer that ends at a stop text with leading white space",
      { stop: ["\nAnswer", "x"] },
      { answer: "", text: "Okay Step: is</think>\n" },
    ],
    ["precedes an answer that ends at a stop text", { stop: [" 42"] }, { answer: "Answer:" }],
    ["may last to the last token", { maxTokens: 3 }, { reasoning: "Okay Step: is", finishReason: "length" }],
    [
      "is the answer if the request sets startsInReasoning: false",
      { startsInReasoning: false },
      { answer: "Okay Step: isAnswer: 42" },
    ],
  ])("%s", async (_, request, expected) => {
    expect(await say(opensReasoning, { ...hi, ...request })).toMatchObject(expected);
  });
});

const answersOnly: Script = { says: ["\n", "Answer", ":", " 42", "<|im_end|>"], added: MARKERS };

describe("the generation prompt decides where the output starts:", () => {
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
      "unclosed reasoning in an earlier message",
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
      "a question about the marker, in a template that always appends the assistant's turn",
      { ...answersOnly, template: CHAT.replace("if add_generation_prompt", "if true") },
      { messages: [{ role: "user", content: "the <think> tag" }] },
    ],
    ["a raw prompt with open reasoning", answersOnly, { prompt: "<think>\nhm\n" }],
  ])("in the answer, despite %s", async (_, script, request) => {
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
    ["tool calls without content", asked, [{ role: "assistant", content: null, tool_calls: [call] }]],
    [
      "a system message that moves to the front",
      systemFirst,
      [
        { role: "user", content: "a </think> b" },
        { role: "system", content: "be brief" },
      ],
    ],
    ["a text, always opened", always, [{ role: "user", content: "hi" }]],
    ["an empty text, always opened", always, [{ role: "user", content: "" }]],
    ["no content, always opened", always, [{ role: "assistant", content: null, tool_calls: [call] }]],
  ])("in the reasoning that the template opens after %s", async (_, template, messages) => {
    expect(await say({ ...opensReasoning, template }, { ...hi, messages: messages ?? [] })).toMatchObject({
      reasoning: "Okay Step: is",
      answer: "Answer: 42",
    });
  });

  test("in the reasoning, with a template that always opens it", async () => {
    const template = CHAT_THINKING.replace("if add_generation_prompt", "if true");
    expect(await say({ ...opensReasoning, template }, hi)).toMatchObject({
      reasoning: "Okay Step: is",
      answer: "Answer: 42",
    });
  });

  test("in the answer, after reasoning that the prompt opens and closes, as Qwen3 without thinking", async () => {
    const template = CHAT.replace("assistant\\n", "assistant\\n<think>\\n\\n</think>\\n\\n");
    const says = ["\n\n", " ", "Answer", "<|im_end|>"];
    expect(await say({ template, added: MARKERS, says }, hi)).toMatchObject({
      answer: "Answer",
      text: " Answer",
    });
  });

  test("in the reasoning, for a raw prompt with startsInReasoning: true", async () => {
    const request = { prompt: "<think>\n", startsInReasoning: true, maxTokens: 20 };
    expect(await say(opensReasoning, request)).toMatchObject({
      reasoning: "Okay Step: is",
      answer: "Answer: 42",
    });
  });
});

describe("markers are found in the text for every tokenization:", () => {
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
      "a prefix of a marker is text",
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

describe("white space is trimmed only beside a marker, so the answer keeps", () => {
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

describe("a model of Mistral's vocabulary marks its reasoning with [THINK]:", () => {
  const mistral = CHAT.replaceAll("<|im_end|>", "</s>");
  const says = [
    ...["\n", "[THINK]", "Okay", " is", " <think>", "[/THINK]", "\n\n", "Answer", " 42", "<|im_end|>"],
  ];
  const expected = { reasoning: "Okay is <think>", answer: "Answer 42" };

  test.each<[string, Script]>([
    ["as tokens that no template names", { says, added: ["[THINK]", "[/THINK]"], template: mistral }],
    ["as special tokens", { says, special: ["[THINK]", "[/THINK]"], template: mistral }],
    [
      "as text that the template names",
      {
        says: [
          "\n",
          "[TH",
          "INK]",
          "Okay",
          " is",
          " <think>",
          "[/",
          "THINK",
          "]\n",
          "Answer",
          " 42",
          "<|im_end|>",
        ],
        template: `${mistral}{# [THINK] [/THINK] #}`,
      },
    ],
  ])("%s", async (_, script) => {
    expect(await say(script, hi)).toMatchObject(expected);
  });

  test("a prompt may open it", async () => {
    const template = CHAT.replace("assistant\\n", "assistant\\n[THINK]\\n");
    const opened: Script = { says: ["\n", ...says.slice(2)], special: ["[THINK]", "[/THINK]"], template };
    expect(await say(opened, hi)).toMatchObject(expected);
    const raw = { prompt: "[THINK]\n", startsInReasoning: true, maxTokens: 20 };
    expect(await say(opened, raw)).toMatchObject(expected);
  });

  test("a <think> of such a model is text", async () => {
    const script = { says: ["\n", "<think>", "a", "<|im_end|>"], special: ["[THINK]", "[/THINK]"] };
    expect(await say(script, hi)).toMatchObject({ reasoning: "", answer: "<think>a" });
  });
});
