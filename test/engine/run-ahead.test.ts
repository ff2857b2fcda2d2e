/**
 * An engine that records a step before it reads the previous step's tokens returns the same results as an engine that waits
 * for them, on every backend.
 */
import { afterEach, describe, expect, test } from "vitest";
import { AbortedError, BackendError } from "../../src/base/errors.ts";
import type { GenerationEngine } from "../../src/engine/engine.ts";
import type { GenerationRequest } from "../../src/engine/request.ts";
import { BACKENDS } from "../conformance/backend-table.ts";
import { characters, openTiny, type TinyOptions } from "./tiny-engine.ts";

const ids = Array.from({ length: 40 }, (_, i) => 3 + ((i * 37) % 300));
const base = { maxTokens: 9, temperature: 0 };
const ahead = { runsAhead: true };
const plain = { runsAhead: false };

const REQUESTS: readonly (readonly [string, GenerationRequest])[] = [
  ["greedy", { ...base, tokenIds: ids.slice(0, 20) }],
  [
    "sampled with a seed",
    { ...base, tokenIds: ids.slice(1, 20), temperature: 1, seed: 5, topK: 40, topP: 0.9 },
  ],
  ["sparse from the first step", { ...base, tokenIds: ids, attention: "less-is-more:budget=12,layers=0" }],
  [
    "sparse midway",
    { ...base, tokenIds: ids.slice(2, 14), attention: "quest:budget=16,page=4,dense-layers=1" },
  ],
  ["a repetition penalty", { ...base, tokenIds: ids.slice(0, 10), repetitionPenalty: 2 }],
  ["one token", { ...base, tokenIds: ids.slice(7, 12), maxTokens: 1 }],
  ["24 tokens", { ...base, tokenIds: ids.slice(3, 9), maxTokens: 24, temperature: 0.8, seed: 1 }],
  ["to the end of the context", { tokenIds: [...ids, ...ids, ...ids.slice(0, 9)], temperature: 0 }],
];

describe.each(BACKENDS)("$name", ({ open, cases }) => {
  const isShort = cases !== undefined;
  // fewer cases on a software adapter
  const requests = isShort
    ? REQUESTS.slice(0, 4).map(([name, one]) => [name, { ...one, maxTokens: 4 }] as const)
    : REQUESTS;
  const opened: GenerationEngine[] = [];
  afterEach(async () => {
    for (const engine of opened.splice(0)) await engine.close();
  });
  async function openEngine(options: TinyOptions): Promise<GenerationEngine> {
    const engine = await openTiny(open, options);
    opened.push(engine);
    return engine;
  }

  /** Runs a request; returns its parts and its result, without times and what it found in the cache. */
  async function outcome(engine: GenerationEngine, request: GenerationRequest) {
    const generation = engine.generate(request);
    const parts: string[] = [];
    for await (const { text, tokenIds } of generation) parts.push(`${text} ${tokenIds}`);
    const result = await generation.result();
    await new Promise((resolve) => setTimeout(resolve, 2)); // a step recorded ahead may still finish
    expect(await generation.result()).toEqual(result);
    const { timings, usage, ...rest } = result;
    expect(timings.prefillMs).toBeGreaterThan(0);
    expect(timings.decodeMs).toBeGreaterThanOrEqual(0);
    return { parts, ...rest, usage: { ...usage, cachedTokens: undefined } };
  }

  test("tokens, parts and attended fractions equal those of the waiting engine, one by one and all at once", async () => {
    const waiting = await openEngine(plain);
    const running = await openEngine(ahead);
    const expected = new Map<string, unknown>();
    for (const [name, request] of requests) {
      expected.set(name, await outcome(waiting, request));
      if (!isShort) expect(await outcome(running, request), name).toEqual(expected.get(name));
    }
    const together = await Promise.all(requests.map(([, request]) => outcome(running, request)));
    for (const [i, [name]] of requests.entries()) expect(together[i], name).toEqual(expected.get(name));
  });

  test("an end-of-sequence token and a stop text end a request at the same token, although one more step ran", async () => {
    const length = isShort ? 4 : 12;
    const request = { tokenIds: ids.slice(0, 10), maxTokens: length + 1, temperature: 1, seed: 3 };
    const { tokenIds, text } = await outcome(await openEngine(plain), request);
    const last = tokenIds[length - 1];
    expect(tokenIds.indexOf(last)).toBe(length - 1);
    const maxPages = Math.ceil((10 + length + 1) / 4);
    const outcomes: unknown[] = [];
    for (const options of isShort ? [ahead] : [plain, ahead]) {
      const engine = await openEngine({ ...options, eosTokenIds: [last], sizes: { maxPages } });
      expect(await outcome(engine, request)).toMatchObject({
        finishReason: "stop",
        tokenIds: tokenIds.slice(0, length),
        text: text.slice(0, length - 1),
      });
      // the pool holds one request, so these pages were the last one's, which the dropped step wrote to
      const stop = characters.decode(tokenIds.slice(1, 3));
      const stopped = await outcome(engine, { ...request, stop });
      expect(stopped).toMatchObject({ finishReason: "stop", tokenIds: tokenIds.slice(0, 3), text: text[0] });
      outcomes.push(stopped);
      expect(await outcome(engine, { ...request, ignoreEos: true, maxTokens: 3 })).toMatchObject({
        finishReason: "length",
        tokenIds: tokenIds.slice(0, 3),
      });
    }
    expect(outcomes.at(-1)).toEqual(outcomes[0]);
  });
});

describe("on the reference backend, running ahead", () => {
  const [{ open }] = BACKENDS;
  /** Opens an engine; `calls` lists the backend's beginStep and sample calls and token reads in order. */
  async function opened(options: TinyOptions = {}): Promise<{ engine: GenerationEngine; calls: string[] }> {
    const calls: string[] = [];
    const onCall = (call: string) => {
      if (["beginStep", "sample", "tokens"].includes(call)) calls.push(call);
      options.onCall?.(call);
    };
    return { engine: await openTiny(open, { ...ahead, ...options, onCall }), calls };
  }

  test("the engine records exactly one step before it asks for the last one's tokens", async () => {
    const { engine, calls } = await opened();
    const request = { ...base, tokenIds: ids.slice(0, 20), maxTokens: 4 };
    await engine.generate(request).result();
    const step = ["beginStep", "sample"];
    const next = [...step, "tokens"];
    expect(calls).toEqual([...step, ...next, ...next, ...next, ...next, "tokens"]);
    calls.length = 0;
    await engine.generate({ ...request, repetitionPenalty: 1.2, cacheSalt: "its own" }).result();
    // the first chunk samples nothing, so no step waits for its tokens
    expect(calls).toEqual([...step, ...next, "tokens", ...next, ...next, ...next]);
    await engine.close();
  });

  test("a request runs one step per chunk and token, and none past maxTokens", async () => {
    const { engine, calls } = await opened();
    await engine.generate({ ...base, tokenIds: ids.slice(0, 20), maxTokens: 6 }).result();
    // two chunks of 16 rows, then five tokens: the sixth is not fed back
    expect(calls.filter((call) => call === "beginStep")).toHaveLength(7);
    await engine.close();
  });

  test("a consumer that stops reading pauses the engine, and receives all tokens when it reads on", async () => {
    const { engine, calls } = await opened({ sizes: { maxSequenceLength: 384, maxPages: 96 } });
    const request = { tokenIds: ids.slice(0, 8), maxTokens: 200, temperature: 1, seed: 9 };
    const expected = await engine.generate(request).result();
    calls.length = 0;
    const generation = engine.generate(request)[Symbol.asyncIterator]();
    const first = await generation.next();
    let before = 0;
    while (calls.length > before) {
      before = calls.length;
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    expect(before).toBeLessThan(3 * 80); // of 3 * 200 calls
    const tokens = [...(first.value?.tokenIds ?? [])];
    for await (const part of { [Symbol.asyncIterator]: () => generation }) tokens.push(...part.tokenIds);
    expect(tokens).toEqual(expected.tokenIds);
    await engine.close();
  });

  test("a failing step and an abort end requests, after delivery of tokens sampled before the failure", async () => {
    let steps = 0;
    const failAt = 6;
    const { engine } = await opened({
      onCall: (call) => {
        if (call === "beginStep" && ++steps === failAt) throw new BackendError("the device is gone");
      },
    });
    const generation = engine.generate({ ...base, tokenIds: ids.slice(0, 10) });
    const tokens: number[] = [];
    const read = async () => {
      for await (const part of generation) tokens.push(...part.tokenIds);
    };
    await expect(read()).rejects.toThrow("the device is gone");
    expect(tokens).toHaveLength(failAt - 1);
    await expect(generation.result()).rejects.toThrow(BackendError);
    await engine.close();

    const { engine: other } = await opened();
    const controller = new AbortController();
    const aborted = other.generate({ ...base, tokenIds: ids, maxTokens: 30, signal: controller.signal });
    const beside = other.generate({ ...base, tokenIds: ids, maxTokens: 30 });
    const abort = async () => {
      for await (const _ of aborted) controller.abort();
    };
    await expect(abort()).rejects.toThrow(AbortedError);
    expect((await beside.result()).tokenIds).toHaveLength(30);
    await other.close();
  });

  test("concurrent logits and requests all finish, for 24 interleavings", async () => {
    const { engine } = await opened();
    const request = { ...base, tokenIds: ids.slice(0, 3), maxTokens: 2 };
    const { tokenIds } = await engine.generate(request).result();
    const logits = await engine.logits(ids.slice(0, 5));
    for (let turns = 0; turns < 24; turns++) {
      const [result, same] = await Promise.all([
        engine.generate(request).result(),
        engine.logits(ids.slice(0, 5)),
      ]);
      expect(result.tokenIds).toEqual(tokenIds);
      expect(same).toEqual(logits);
      for (let i = 0; i < turns; i++) await undefined; // shift the next call relative to the engine's turn
    }
    await engine.close();
  }, 20_000);

  test("a sampled token outside the vocabulary fails only its request, with a BackendError", async () => {
    let samples = 0;
    const changeTokens = (tokens: Uint32Array) => (++samples === 3 ? tokens.with(0, 320) : tokens);
    const { engine } = await opened({ changeTokens });
    const request = { ...base, tokenIds: ids.slice(0, 6), maxTokens: 6 };
    const [bad, good] = await Promise.allSettled([
      engine.generate(request).result(),
      engine.generate(request).result(),
    ]);
    expect(bad).toMatchObject({
      reason: {
        code: "backend",
        message: expect.stringContaining("sampled token 320 of a vocabulary of 320"),
      },
    });
    expect(good).toMatchObject({ value: { usage: { completionTokens: 6 } } });
    await engine.close();
  });

  test("close ends running requests with samples in flight", async () => {
    const { engine } = await opened();
    const generation = engine.generate({ ...base, tokenIds: ids, maxTokens: 40 });
    const iterator = generation[Symbol.asyncIterator]();
    await iterator.next();
    await engine.close();
    await expect(generation.result()).rejects.toThrow(AbortedError);
  });
});
