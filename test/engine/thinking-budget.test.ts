/** Budgets of reasoning: where the engine closes it, by which tokens, and that nothing else changes the output. */
import { afterEach, describe, expect, test } from "vitest";
import type { TokenConstraint } from "../../src/constraint/constraint.ts";
import type { LoadedEngine } from "../../src/engine/engine-api.ts";
import type { GenerationRequest, GenerationResult } from "../../src/engine/request.ts";
import type { Tokenizer } from "../../src/load/tokenizer.ts";
import { bundledModelFolder, openEngine } from "../../src/node/index.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { CHAT, CHAT_THINKING, openScripted, type Script } from "./scripted-model.ts";
import { characters, openTiny, type TinyOptions } from "./tiny-engine.ts";

const opened: LoadedEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

const MARKERS = ["<think>", "</think>"];
const END = "<|im_end|>";
const thinks: Script = {
  template: CHAT_THINKING,
  added: MARKERS,
  says: ["\n", "Okay", " Step:", " is", " so", "</think>", "\n\n", "Answer", ":", " 42", END],
};
const opens: Script = {
  added: MARKERS,
  says: ["\n", "<think>", "Okay", " it", " is", "</think>", "\n\n", "Answer", END],
};

async function say(script: Script, request: GenerationRequest): Promise<GenerationResult> {
  const engine = await openScripted(script);
  try {
    const generation = engine.generate({
      messages: [{ role: "user", content: "hi" }],
      ...{ maxTokens: 30, ...request },
    });
    const streamed = { reasoning: "", answer: "" };
    for await (const { kind, text } of generation) streamed[kind] += text;
    const result = await generation.result();
    expect(streamed).toEqual({ reasoning: result.reasoning, answer: result.answer });
    expect(result.usage.completionTokens).toBe(result.tokenIds.length);
    return result;
  } finally {
    await engine.close();
  }
}

/** Writes reasoning between markers without white space. */
const TIGHT = CHAT.replace(
  "m.content",
  "(('<think>' + m.reasoning_content + '</think>') if m.reasoning_content else '') + m.content",
).replace("assistant\\n", "assistant\\n<think>");

describe("the engine closes the reasoning:", () => {
  const cut = (isCut: boolean, reasoningTokens: number) => ({
    ...{
      thinking: { isCut },
      usage: expect.objectContaining({ reasoningTokens }),
      finishReason: "stop" as const,
    },
  });
  test.each<[string, Script, Partial<GenerationRequest>, Partial<GenerationResult>]>([
    [
      "after two tokens, and the model answers",
      thinks,
      { thinkingBudget: 2 },
      { ...cut(true, 2), reasoning: "Okay Step:", text: "Okay Step:\n</think>\n\nAnswer: 42" },
    ],
    [
      "at once, for a budget of 0 in reasoning that the prompt opens",
      thinks,
      { thinkingBudget: 0 },
      { ...cut(true, 0), reasoning: "", text: "\n</think>\n\nAnswer: 42", answer: "Answer: 42" },
    ],
    [
      "not at all, if the model closes it within the budget",
      thinks,
      { thinkingBudget: 5 },
      { ...cut(false, 4), reasoning: "Okay Step: is so", text: "Okay Step: is so</think>\n\nAnswer: 42" },
    ],
    [
      "behind the marker that the model wrote, as its format does, for a budget of 0",
      opens,
      { thinkingBudget: 0 },
      { ...cut(true, 0), reasoning: "", text: "<think>\n\n</think>\n\nAnswer" },
    ],
    [
      "after one token behind that marker",
      opens,
      { thinkingBudget: 1 },
      { ...cut(true, 1), reasoning: "Okay", text: "<think>Okay\n</think>\n\nAnswer" },
    ],
    [
      "without doubling a line break that the reasoning ends with",
      { ...thinks, says: ["\n", "Okay\n", " so", "</think>", "\n\n", "Answer", END] },
      { thinkingBudget: 1 },
      { ...cut(true, 1), reasoning: "Okay", text: "Okay\n</think>\n\nAnswer" },
    ],
    [
      "as the template writes it, if it writes reasoning",
      { added: MARKERS, template: TIGHT, says: ["<think>", "Okay", " so", "</think>", "Answer", END] },
      { thinkingBudget: 1 },
      { ...cut(true, 1), reasoning: "Okay", text: "Okay</think>Answer" },
    ],
    [
      "never, in an output without reasoning",
      { added: MARKERS, says: ["\n", "Answer", END] },
      { thinkingBudget: 0 },
      { ...cut(false, 0), text: "Answer", notes: [] },
    ],
    [
      "with markers of several tokens",
      { template: CHAT_THINKING, says: ["\n", "Okay", " so", "</think>", "\n\n", "Answer", END] },
      { thinkingBudget: 1, chatTemplateOptions: {} },
      { ...cut(true, 1), reasoning: "Okay", text: "Okay\n</think>\n\nAnswer" },
    ],
    [
      "and a stop text equal to the marker ends the request there",
      thinks,
      { thinkingBudget: 2, stop: "</think>" },
      { ...cut(true, 2), reasoning: "Okay Step:", answer: "" },
    ],
    [
      "and minTokens counts the tokens that it wrote",
      thinks,
      { thinkingBudget: 2, minTokens: 6, stop: "Answer" },
      { ...cut(true, 2), text: "Okay Step:\n</think>\n\n" },
    ],
  ])("%s", async (_, script, request, expected) => {
    expect(await say(script, request)).toMatchObject(expected);
  });

  test.each([
    [1, 0, 1],
    [2, 0, 2],
    [3, 2, 1],
    [4, 2, 2],
    [6, 2, 3],
  ])("maxTokens %i holds with a budget of %i: %i of the closing tokens", async (maxTokens, thinkingBudget, forced) => {
    const result = await say(thinks, { maxTokens, thinkingBudget });
    expect(result).toMatchObject({ finishReason: "length", thinking: { isCut: true } });
    expect(result.tokenIds).toHaveLength(maxTokens);
    const [before, closing] = [result.usage.reasoningTokens, ["\n", "</think>", "\n\n"].slice(0, forced)];
    expect(before).toBe(thinkingBudget);
    expect(result.text.startsWith(["Okay", " Step:"].slice(0, before).join("") + closing.join(""))).toBe(
      true,
    );
    for (const ms of Object.values(result.timings)) expect(ms).toBeGreaterThanOrEqual(0);
    for (const ms of Object.values(result.timings)) expect(ms).toBeLessThan(60_000);
  });

  test("a result without a budget has no word on it, and counts its reasoning", async () => {
    const result = await say(thinks, {});
    expect("thinking" in result).toBe(false);
    expect(result.usage).toEqual(expect.objectContaining({ reasoningTokens: 4, completionTokens: 10 }));
  });

  test("a model without markers gets a note", async () => {
    const { notes } = await say({ says: ["\n", "Answer", END] }, { thinkingBudget: 3 });
    expect(notes).toEqual([
      "thinkingBudget 3 may have no effect: neither the vocabulary nor a chat template of the model has </think>",
    ]);
  });

  test("tokens that the engine wrote have logprob 0 and no alternatives", async () => {
    const { logprobs = [], tokenIds } = await say(thinks, { thinkingBudget: 1, logprobs: 2 });
    expect(logprobs.map(({ id }) => id)).toEqual(tokenIds);
    expect(logprobs.map(({ top }) => top.length)).toEqual([2, 0, 0, 0, 2, 2, 2, 2]);
    expect(logprobs.slice(1, 4).map(({ text, logprob }) => [text, logprob])).toEqual([
      ["\n", 0],
      ["</think>", 0],
      ["\n\n", 0],
    ]);
  });
});

/** Tokens 6 and 8 are the markers; the closing is 5, 6, 7. */
const tokenizer: Tokenizer = {
  ...characters,
  encode: (text) => (text.includes("</think>") ? [5, 6, 7] : characters.encode(text)),
  decodeStream: () => {
    const stream = characters.decodeStream();
    const texts = new Map([
      [6, "</think>"],
      [8, "<think>"],
    ]);
    return { push: (id) => texts.get(id) ?? stream.push(id), end: () => stream.end() };
  },
  tokenId: (token) => ({ "</think>": 6, "<think>": 8 })[token],
};
const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const sampled = { temperature: 0.9, seed: 7, topK: 50 };
/** The model itself neither opens nor closes. */
const base = { maxTokens: 18, temperature: 0, startsInReasoning: true, logitBias: { 6: -100, 8: -100 } };
const QUEST = "quest:budget=16,page=4,dense-layers=1";

describe.each(BACKENDS)("$name", ({ open, cases }) => {
  const isShort = cases !== undefined;
  async function openTinyEngine(options: TinyOptions): Promise<LoadedEngine> {
    const engine = await openTiny(open, { tokenizer, ...options });
    opened.push(engine);
    return engine;
  }
  async function outcome(engine: LoadedEngine, request: GenerationRequest) {
    const { timings, notes, ...rest } = await engine.generate(request).result();
    return rest;
  }

  test("the answer is that of a prompt which has the reasoning and its end", async () => {
    const engine = await openTinyEngine({});
    for (const thinkingBudget of isShort ? [3] : [0, 1, 3, 7]) {
      const prompt = ids.slice(0, 12);
      const { tokenIds, thinking } = await engine
        .generate({ ...base, tokenIds: prompt, thinkingBudget })
        .result();
      expect(thinking).toEqual({ isCut: true });
      const end = thinkingBudget + 3;
      expect(tokenIds.slice(thinkingBudget, end)).toEqual([5, 6, 7]);
      const rest = await engine
        .generate({ ...base, tokenIds: [...prompt, ...tokenIds.slice(0, end)], maxTokens: 18 - end })
        .result();
      expect(tokenIds.slice(end)).toEqual(rest.tokenIds);
    }
  });

  test.each(
    isShort ? [true] : [false, true],
  )("a batch and preemptions change nothing of requests with budgets; runs ahead: %s", async (runsAhead) => {
    const ways: readonly Partial<GenerationRequest>[] = [
      { thinkingBudget: 2 },
      { ...sampled, thinkingBudget: 0 },
      { ...sampled, thinkingBudget: 5, attention: QUEST },
      { thinkingBudget: 4, frequencyPenalty: 1, logprobs: 1 },
      {},
      { thinkingBudget: 9, attention: "less-is-more:budget=12,layers=0" },
      { thinkingBudget: 3, maxTokens: 5 },
    ];
    const requests = (isShort ? ways.slice(0, 4) : ways).map((way, i) => ({
      ...{ ...base, tokenIds: ids.slice(i, i + 14) },
      ...way,
      ...(isShort && { logprobs: 0, maxTokens: 9 }),
    }));
    const sizes = { maxBatchSequences: 8 };
    const waiting = await openTinyEngine({ runsAhead: false, sizes });
    const alone: Awaited<ReturnType<typeof outcome>>[] = [];
    for (const request of requests) alone.push(await outcome(waiting, request));
    expect(alone.map(({ thinking }) => thinking?.isCut)).toContain(true);
    const engines = [await openTinyEngine({ runsAhead, sizes })];
    if (!isShort)
      engines.push(
        await openTinyEngine({ runsAhead, sizes: { ...sizes, maxPages: 11 }, pool: { firstPages: 3 } }),
      );
    for (const engine of engines) {
      const together = await Promise.all(requests.map((request) => outcome(engine, request)));
      for (const [i, { logprobs, ...rest }] of together.entries()) {
        const { logprobs: _, ...expected } = alone[i] ?? {};
        expect(rest, `request ${i + 1}`).toEqual(expected);
        expect(logprobs?.length).toBe(alone[i]?.logprobs?.length);
      }
    }
  });
});

test("a constraint begins behind the reasoning that the engine closed, with a batch and alone", async () => {
  const [{ open }] = BACKENDS;
  const seen: number[][] = [];
  const answers = (): TokenConstraint => {
    const taken: number[] = [];
    seen.push(taken);
    return {
      fillMask: (mask) => mask.fill(0).fill((1 << 9) | (1 << 11), 0, 1),
      accept: (id) => taken.push(id) > 0,
      isComplete: true,
      clone: answers,
    };
  };
  for (const runsAhead of [false, true]) {
    seen.length = 0;
    const engine = await openTiny(open, { tokenizer, runsAhead, eosTokenIds: [11] });
    opened.push(engine);
    const request = { ...base, tokenIds: ids.slice(0, 10), thinkingBudget: 3 };
    const [plain, constrained] = await Promise.all([
      engine.generate(request).result(),
      engine.generate({ ...request, constraint: answers() }).result(),
    ]);
    expect(constrained.tokenIds.slice(0, 6)).toEqual(plain.tokenIds.slice(0, 6));
    const answer = constrained.tokenIds.slice(6);
    expect(answer.every((id) => id === 9 || id === 11)).toBe(true);
    expect(answer.length).toBeGreaterThan(0);
    expect(seen.filter((taken) => taken.length > 0)).toEqual(
      answer[0] === 11 ? [] : [answer.filter((id) => id !== 11)],
    );
  }
});

test("an engine that runs ahead drops the sample that would follow other tokens, and records no step more", async () => {
  const [{ open }] = BACKENDS;
  let steps = 0;
  const onCall = (call: string) => {
    if (call === "beginStep") steps++;
  };
  const request = { ...base, tokenIds: ids.slice(0, 10), maxTokens: 9, thinkingBudget: 2 };
  const numSteps: number[] = [];
  for (const runsAhead of [false, true]) {
    const engine = await openTiny(open, { tokenizer, runsAhead, onCall });
    steps = 0;
    expect((await engine.generate(request).result()).tokenIds).toHaveLength(9);
    numSteps.push(steps);
    await engine.close();
  }
  // the prompt and eight tokens fed back; the dropped sample's step fed a token that counts
  expect(numSteps).toEqual([9, 9]);
});

test("a real model ends its reasoning at the budget and still answers in its own format", async () => {
  const engine = await openEngine({
    ...{ model: bundledModelFolder(), backend: "wasm", threads: 1, contextLength: 512 },
  });
  opened.push(engine);
  const content = "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7\nab=qw+3\ncd=ab+io";
  const request = { messages: [{ role: "user", content }], temperature: 0, maxTokens: 200 };
  const free = await engine.generate(request).result();
  expect(free.usage.reasoningTokens).toBeGreaterThan(8);
  const cut = await engine.generate({ ...request, thinkingBudget: 4 }).result();
  expect(cut).toMatchObject({ thinking: { isCut: true }, finishReason: "stop" });
  expect(cut.usage.reasoningTokens).toBe(4);
  expect(cut.tokenIds.slice(0, 4)).toEqual(free.tokenIds.slice(0, 4));
  expect(cut.text).toContain("\n</think>\n\n");
  expect(cut.answer).toMatch(/^The answer is \\boxed\{.*\}\.$/);
});
