/** Logprobs of requests: the model's own distribution, on every backend. */
import { afterEach, describe, expect, test } from "vitest";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest, GenerationResult, TokenLogprob } from "../../src/engine/request.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { openScripted } from "./scripted-model.ts";
import { characters, openTiny, type TinyOptions } from "./tiny-engine.ts";

const VOCABULARY = 320;
const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const base = { tokenIds: ids.slice(0, 12), maxTokens: 8 };

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});

/** All numbers of logprobs, and no ids of alternatives, of which two may be as likely. */
const numbersOf = (logprobs: readonly TokenLogprob[] = []) =>
  logprobs.flatMap(({ logprob, top }) => [logprob, ...top.map((one) => one.logprob)]);

/** The logarithm of each token's probability by softmax. */
function logSoftmax(logits: Float32Array): number[] {
  const largest = logits.reduce((a, b) => Math.max(a, b));
  const mass = logits.reduce((sum, value) => sum + Math.exp(value - largest), 0);
  return Array.from(logits, (value) => value - largest - Math.log(mass));
}

describe.each(BACKENDS)("$name", ({ open, cases }) => {
  const isShort = cases !== undefined;
  async function openEngine(options: TinyOptions = {}): Promise<GenerationEngine> {
    const engine = await openTiny(open, options);
    opened.push(engine);
    return engine;
  }

  const WAYS: readonly Partial<GenerationRequest>[] = [
    { temperature: 0, logprobs: 5 },
    // all that changes what is sampled
    {
      ...{ temperature: 1.5, topK: 50, seed: 4, logprobs: 3 },
      ...{ presencePenalty: 1, repetitionPenalty: 1.3, logitBias: { 4: 3, 5: -100 } },
    },
    { temperature: 1, seed: 2, logprobs: 0 },
    { temperature: 0, logprobs: 20, logitBias: { 9: 100 } },
  ];

  test("logprobs are the log-softmax of the model's logits, whatever changes the sample, and the best tokens beside it", async () => {
    const engine = await openEngine();
    for (const way of isShort ? WAYS.slice(0, 2) : WAYS) {
      const { tokenIds, logprobs = [], text } = await engine.generate({ ...base, ...way }).result();
      expect(logprobs.map(({ id }) => id)).toEqual(tokenIds);
      expect(logprobs.map((one) => one.text).join("")).toBe(text);
      const logits = await engine.logits([...base.tokenIds, ...tokenIds]);
      for (const [i, { id, logprob, top }] of logprobs.entries()) {
        const first = (base.tokenIds.length + i - 1) * VOCABULARY;
        const expected = logSoftmax(logits.subarray(first, first + VOCABULARY));
        // prefill and decode round differently
        expect(Math.abs(logprob - (expected[id] ?? 0)), `token ${i}`).toBeLessThan(2e-3);
        expect(top).toHaveLength(way.logprobs ?? 0);
        const best = expected.toSorted((a, b) => b - a);
        for (const [rank, one] of top.entries()) {
          expect(Math.abs(one.logprob - (expected[one.id] ?? 0))).toBeLessThan(2e-3);
          expect(Math.abs(one.logprob - (best[rank] ?? 0))).toBeLessThan(2e-3);
          expect(one.text).toBe(characters.decode([one.id]));
        }
      }
    }
  });

  test("a batch, running ahead and the request for logprobs change neither tokens nor logprobs", async () => {
    const requests = [WAYS[0], WAYS[1], { temperature: 1, seed: 3 }, { temperature: 0, logprobs: 1 }].map(
      (way, i) => ({ ...base, ...way, tokenIds: ids.slice(i, i + 12) }),
    );
    const waiting = await openEngine({ runsAhead: false });
    const alone: GenerationResult[] = [];
    for (const request of requests) {
      const result = await waiting.generate(request).result();
      const { logprobs: _, ...plain } = request as GenerationRequest;
      if (!isShort) expect((await waiting.generate(plain).result()).tokenIds).toEqual(result.tokenIds);
      alone.push(result);
    }
    const ahead = await openEngine({ runsAhead: true });
    const together = await Promise.all(requests.map((request) => ahead.generate(request).result()));
    for (const [i, { tokenIds, logprobs }] of together.entries()) {
      expect(tokenIds).toEqual(alone[i]?.tokenIds);
      // products of several rows may sum in another order
      const [numbers, expected] = [numbersOf(logprobs), numbersOf(alone[i]?.logprobs)];
      expect(numbers).toHaveLength(expected.length);
      for (const [n, value] of numbers.entries())
        expect(Math.abs(value - (expected[n] ?? 0))).toBeLessThan(1e-4);
    }
  });
});

describe("on the reference backend", () => {
  const [{ open }] = BACKENDS;

  test("logprobs equal those of score", async () => {
    const engine = await openTiny(open);
    opened.push(engine);
    for (const attention of ["full", "less-is-more:budget=12,layers=0"]) {
      const { tokenIds, logprobs = [] } = await engine
        .generate({ ...base, temperature: 0, attention, logprobs: 0 })
        .result();
      const [score] = await engine.scoreEach({
        ...{ tokenIds: [...base.tokenIds, ...tokenIds], from: base.tokenIds.length },
        attentions: [attention],
      });
      for (const [i, { logprob }] of logprobs.entries())
        expect(logprob).toBeCloseTo(score?.logProbs[i] ?? 0, 6);
    }
  });

  test("parts have the logprobs of their tokens, the result those of all tokens, markers and end included", async () => {
    const says = ["\n", "<think>", "so", " it", "</think>", "\n\n", "A", " b", " c", "<|im_end|>"];
    const engine = await openScripted({ says, added: ["<think>", "</think>"] });
    const generation = engine.generate({ prompt: "\n", logprobs: 2 });
    const streamed: TokenLogprob[] = [];
    for await (const { tokenIds, logprobs = [] } of generation) {
      expect(logprobs.map(({ id }) => id)).toEqual(tokenIds);
      streamed.push(...logprobs);
    }
    const { tokenIds, logprobs = [] } = await generation.result();
    expect(logprobs.map(({ id }) => id)).toEqual(tokenIds);
    expect(logprobs.map(({ text }) => text)).toEqual(says.slice(1));
    const parted = ["so", " it", "\n\n", "A", " b", " c"];
    expect(streamed.map(({ text }) => text)).toEqual(parted);
    for (const one of streamed) expect(logprobs).toContainEqual(one);
    const plain = await engine.generate({ prompt: "\n" }).result();
    expect("logprobs" in plain).toBe(false);
    for await (const part of engine.generate({ prompt: "\n" })) expect("logprobs" in part).toBe(false);
    await engine.close();
  });

  test("more than 20 alternatives are refused", async () => {
    const engine = await openTiny(open);
    opened.push(engine);
    expect(() => engine.generate({ ...base, logprobs: 21 })).toThrow(
      "logprobs must be a whole number from 0 to 20, got 21",
    );
  });
});
