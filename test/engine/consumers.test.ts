/** Isolation between requests, and between a request and its consumer. */
import { afterEach, describe, expect, test } from "vitest";
import type { AttentionPolicy } from "../../src/attention/policy.ts";
import { AbortedError, BackendError, RequestError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { Generation, GenerationRequest } from "../../src/engine/request.ts";
import { lessIsMore, streamingLlm } from "../../src/index.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { characters, openTiny, type TinyOptions } from "./tiny-engine.ts";

const [{ open }] = BACKENDS;
const ENDS = { sinks: 1, recent: 1 };
const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const base: GenerationRequest = { tokenIds: ids.slice(0, 8), maxTokens: 9, temperature: 0 };
/** Exceeds the tokens that the engine generates ahead of a consumer. */
const long: GenerationRequest = { ...base, maxTokens: 200, temperature: 1, seed: 9 };
const LARGE = { maxSequenceLength: 384, maxPages: 96 };

const opened: GenerationEngine[] = [];
afterEach(async () => {
  for (const engine of opened.splice(0)) await engine.close();
});
async function openEngine(options: TinyOptions = {}): Promise<GenerationEngine> {
  const engine = await openTiny(open, options);
  opened.push(engine);
  return engine;
}
const sleep = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));
async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await sleep(5);
  expect(condition()).toBe(true);
}
const tokensOf = async (generation: Generation) => (await generation.result()).tokenIds;

describe("a failure is limited to its requests", () => {
  /** Returns streaming attention with some members replaced. */
  function failing(change: Partial<AttentionPolicy>): AttentionPolicy {
    return { ...streamingLlm({ tokenBudget: 8 }), name: "mine", ...change };
  }
  const boom = () => {
    throw new Error("boom");
  };

  test.each<[string, AttentionPolicy, string]>([
    ["select throws", failing({ select: boom }), "attention mine failed: boom"],
    ["select returns undefined", failing({ select: () => undefined as never }), "attention mine failed:"],
    ["select returns an empty object", failing({ select: () => ({}) as never }), "attention mine failed:"],
    ["layerRole throws", failing({ layerRole: boom }), "attention mine failed: boom"],
    [
      "layerRole returns undefined",
      failing({ layerRole: () => undefined as never }),
      "attention mine failed:",
    ],
    [
      "select requests more tokens than are cached",
      failing({
        select: (step) =>
          step.expandSelection(step.topK(step.scores(), 5000, { sinks: 0, recent: 1 }), {
            sinks: 0,
            recent: 1,
          }),
      }),
      "attention mine failed:",
    ],
    [
      "a role is misspelt",
      failing({ layerRole: () => ({ attends: "All", selects: true }) as never }),
      "layerRole(0) must give",
    ],
    ["a role is a string", failing({ layerRole: () => "all" as never }), 'got "all"'],
    ...[-1, Number.NaN, 20.5, "20", undefined, 1e9].map((count): [string, AttentionPolicy, string] => [
      `topK count is ${String(count)}`,
      failing({
        select: (step) => step.expandSelection(step.topK(step.scores(), count as number, ENDS), ENDS),
      }),
      "topK: a count must be a whole number",
    ]),
    ...[-1, Number.NaN, 2.5, 2 ** 33].map((sinks): [string, AttentionPolicy, string] => [
      `number of sinks is ${sinks}`,
      failing({ select: (step) => step.expandSelection(undefined, { sinks, recent: 2 }) }),
      "expandSelection: ends.sinks must be a whole number",
    ]),
    [
      "mergeByRank count is negative",
      failing({ select: (step) => step.expandSelection(step.mergeByRank(step.scores(), -5, ENDS), ENDS) }),
      "mergeByRank: a count",
    ],
    [
      "scores have a made-up number of heads",
      failing({
        select: (step) => step.expandSelection(step.topK({ ...step.scores(), heads: 99 }, 2, ENDS), ENDS),
      }),
      "expected what an earlier call of this selection step gave",
    ],
    [
      "page size is 0",
      failing({ select: (step) => step.expandSelection(step.topK(step.pageScores(0), 2, ENDS), ENDS) }),
      "pageScores: a page size",
    ],
    [
      "select gives a selection of its own",
      failing({ select: (step) => ({ ...step.expandSelection(undefined, ENDS) }) }),
      "select must return what expandSelection of its selector gave",
    ],
  ])("a policy whose %s fails its two requests, and no others", async (_, attention, message) => {
    const engine = await openEngine();
    const healthy = { ...base, tokenIds: ids, attention: "less-is-more:budget=12,layers=0" };
    const expected = await tokensOf(engine.generate(healthy));
    const requests = [healthy, { ...base, attention }, { ...healthy, attention }, healthy, healthy];
    const outcomes = await Promise.allSettled(requests.map((one) => tokensOf(engine.generate(one))));
    for (const i of [0, 3, 4]) expect(outcomes[i]).toEqual({ status: "fulfilled", value: expected });
    for (const i of [1, 2])
      expect(outcomes[i]).toMatchObject({
        status: "rejected",
        reason: { message: expect.stringContaining(message) },
      });
    expect(await tokensOf(engine.generate(healthy))).toEqual(expected);
  });

  test("a policy with one budget per layer creates tensors only in its first step", async () => {
    let made = 0;
    const onCall = (call: string) => {
      if (call === "createTensor") made++;
    };
    const engine = await openEngine({ onCall, sizes: LARGE });
    const role = { attends: "selected", selects: true } as const;
    const attention = failing({
      layerRole: () => role,
      select: (step) => step.expandSelection(step.topK(step.scores(), step.layer === 0 ? 40 : 5, ENDS), ENDS),
      tokenBudget: 48,
    });
    const request = { ...base, tokenIds: [...ids, ...ids], attention };
    await engine.generate({ ...request, maxTokens: 2 }).result();
    const before = made;
    expect(await tokensOf(engine.generate({ ...request, maxTokens: 60 }))).toHaveLength(60);
    expect(made).toBe(before);
  });

  test("a tokenizer that cannot decode a token fails only the request that sampled it", async () => {
    const engine = await openEngine();
    const sampled = { ...base, temperature: 1, seed: 3 };
    const expected = await tokensOf(engine.generate(sampled));
    expect(expected.indexOf(expected[4] ?? 0)).toBe(4);
    const decode = (tokens: ArrayLike<number>) =>
      Array.from(tokens).includes(expected[4] ?? 0) ? boom() : characters.decode(tokens);
    const decodeStream = () => ({ push: (id: number) => decode([id]), end: () => "" });
    const other = await openEngine({ tokenizer: { ...characters, decode, decodeStream } });
    const [broken, healthy] = await Promise.allSettled([
      other.generate(sampled).result(),
      other.generate({ ...sampled, maxTokens: 4 }).result(),
    ]);
    expect(broken).toMatchObject({ reason: { code: "request", message: "request 1 failed: boom" } });
    expect(healthy).toMatchObject({ value: { tokenIds: expected.slice(0, 4) } });
  });

  test("a BackendError fails all requests and every later call", async () => {
    let steps = 0;
    const engine = await openEngine({
      onCall: (call) => {
        if (call === "beginStep" && ++steps === 3) throw new BackendError("the device is gone");
      },
    });
    const [one, two] = [engine.generate(base), engine.generate(base)];
    await expect(one.result()).rejects.toThrow("the device is gone");
    await expect(two.result()).rejects.toThrow("the device is gone");
    await expect(engine.generate(base).result()).rejects.toThrow("the device is gone");
    const read = async () => {
      for await (const _ of engine.generate(base)) throw new Error("there is no part");
    };
    await expect(read()).rejects.toThrow("the device is gone");
    await expect(engine.logits([1, 2])).rejects.toThrow("the device is gone");
  });

  test("another error in a step becomes a BackendError of all requests", async () => {
    const engine = await openEngine({
      onCall: (call) => {
        if (call === "logits") throw new TypeError("no such thing");
      },
    });
    await expect(engine.generate(base).result()).rejects.toThrow(BackendError);
    await expect(engine.generate(base).result()).rejects.toThrow(
      "a step failed: no such thing; close the engine and open a new one",
    );
  });
});

describe("a consumer that does not read", () => {
  test("loses place and pages to waiting requests, and receives the same tokens when it reads on", async () => {
    const engine = await openEngine({ sizes: { ...LARGE, maxBatchSequences: 1 } });
    const expected = await tokensOf(engine.generate(long));
    const sparse = { ...long, attention: lessIsMore({ tokenBudget: 24, selectionLayers: [0] }) };
    const expectedSparse = await tokensOf(engine.generate(sparse));
    const unread = engine.generate(long);
    const unreadSparse = engine.generate(sparse);
    await until(() => unread.progress.generatedTokens >= 64);
    expect((await engine.generate(base).result()).usage.completionTokens).toBe(9);
    expect(unread.progress).toMatchObject({ phase: "waiting", waitsFor: "its consumer to continue reading" });
    // two readers share one place: admission suspends each for the other, again and again
    const read = async (generation: Generation) => {
      const tokens: number[] = [];
      for await (const part of generation) tokens.push(...part.tokenIds);
      return tokens;
    };
    expect(await Promise.all([read(unread), read(unreadSparse)])).toEqual([expected, expectedSparse]);
  });

  test("does not block later requests, even if seven unread ones fill all places", async () => {
    const engine = await openEngine({ sizes: { ...LARGE, maxBatchSequences: 2 } });
    for (let i = 0; i < 7; i++) engine.generate(long);
    for (let i = 0; i < 3; i++) expect(await tokensOf(engine.generate(base))).toHaveLength(9);
  });

  test("ends its request by closing the iterator before the first part", async () => {
    const engine = await openEngine({ sizes: LARGE });
    const generation = engine.generate(long);
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.return?.();
    expect(await iterator.next()).toEqual({ done: true, value: undefined });
    await expect(generation.result()).rejects.toThrow(AbortedError);
  });

  test("gets parts and result in any order", async () => {
    const engine = await openEngine({ sizes: LARGE });
    const expected = await engine.generate(long).result();
    const parts = async (generation: Generation) => {
      let text = "";
      for await (const part of generation) text += part.text;
      return text;
    };
    const after = engine.generate(long);
    expect((await after.result()).text).toBe(expected.text);
    expect(await parts(after)).toBe(expected.text);
    const beside = engine.generate(long);
    const [text, result] = await Promise.all([parts(beside), beside.result()]);
    expect([text, result.text]).toEqual([expected.text, expected.text]);
    const before = engine.generate(long);
    expect(await parts(before)).toBe(expected.text);
    expect((await before.result()).tokenIds).toEqual(expected.tokenIds);
  });

  test("ends its request by leaving the loop, unless it asked for the result", async () => {
    const engine = await openEngine({ sizes: LARGE });
    const left = engine.generate(long);
    for await (const _ of left) break;
    await expect(left.result()).rejects.toThrow("its consumer stopped iterating");
    const wanted = engine.generate(long);
    const result = wanted.result();
    for await (const _ of wanted) break;
    expect((await result).usage.completionTokens).toBe(200);
  });

  test("ends a suspended request by its signal, as does closing the engine", async () => {
    const engine = await openEngine({ sizes: { ...LARGE, maxBatchSequences: 1 } });
    const controller = new AbortController();
    const aborted = engine.generate({ ...long, signal: controller.signal });
    const closed = engine.generate(long);
    await until(() => aborted.progress.phase === "waiting" && closed.progress.generatedTokens >= 64);
    controller.abort();
    await expect(aborted.result()).rejects.toThrow(AbortedError);
    await engine.generate(base).result();
    expect(closed.progress.phase).toBe("waiting");
    await engine.close();
    await expect(closed.result()).rejects.toThrow(AbortedError);
  });
});

describe("waiting", () => {
  test("logits wait for pages that a request holds", async () => {
    const engine = await openEngine({ sizes: { maxSequenceLength: 384, maxPages: 96 } });
    const logits = await engine.logits(ids);
    const running = engine.generate({ ...long, maxTokens: 370 });
    const draining = running.result();
    await until(() => running.progress.phase === "decode");
    const [late, result] = await Promise.all([engine.logits(ids), draining]);
    expect(late).toEqual(logits);
    expect(result.usage.completionTokens).toBe(370);
  });

  test("logits accept a prompt of exactly the context's length and refuse one token more", async () => {
    const engine = await openEngine({ sizes: { maxSequenceLength: 96, maxPages: 24 } });
    const sequence = Array.from({ length: 96 }, (_, i) => 3 + ((i * 11) % 300));
    const all = await engine.logits(sequence);
    expect(all.length).toBe(96 * 320);
    const first = await engine.logits(sequence.slice(0, 95));
    expect(all.subarray(0, first.length)).toEqual(first);
    await expect(engine.logits([...sequence, 3])).rejects.toThrow(RequestError);
    await expect(engine.logits([])).rejects.toThrow("the prompt is empty");
  });

  test("progress names the reason why a request waits", async () => {
    const engine = await openEngine({ sizes: { ...LARGE, maxBatchSequences: 1 } });
    const running = engine.generate({ ...long, maxTokens: 300 });
    const done = running.result();
    await until(() => running.progress.phase === "decode");
    const waiting = engine.generate(base);
    expect(waiting.progress).toMatchObject({ phase: "waiting", promptTokens: 8, cachedTokens: 0 });
    await until(() => waiting.progress.waitsFor !== "its kernels to be prepared");
    expect(waiting.progress.waitsFor).toMatch(/1 of 1 requests run, .* pages are held by request 1 \(\d+\)/);
    await done;
    await waiting.result();
    expect(waiting.progress).toMatchObject({ phase: "done", generatedTokens: 9 });
  });
});
