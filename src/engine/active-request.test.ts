import { expect, test } from "vitest";
import { characters } from "../../test/engine/tiny-engine.ts";
import { full } from "../attention/policies/full.ts";
import { AbortedError } from "../base/errors.ts";
import { THINK_TAGS } from "../load/reasoning-markers.ts";
import { ActiveRequest } from "./active-request.ts";
import { OutputStream } from "./output-stream.ts";

/** Maximum unread parts. */
const MAX_UNREAD = 64;
const MAX_TOKENS = 3 * MAX_UNREAD;

/** Opens a request that nobody reads yet; `wakes` counts its calls of the engine. */
function open({ maxTokens = MAX_TOKENS, signal }: { maxTokens?: number; signal?: AbortSignal } = {}) {
  let wakes = 0;
  const start = { markers: THINK_TAGS, kind: "answer", isAfterMarker: false } as const;
  const generation = new ActiveRequest(
    "request 1",
    {
      ...{ prompt: [1, 2, 3], maxTokens, policy: full(), policyKey: "full", eosTokenIds: [], stops: [] },
      prefix: { root: "", reusesDecoded: false },
      sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 },
      ...{ start, signal, notes: [] },
    },
    new OutputStream(characters, start, []),
    { wake: () => wakes++, whyWaiting: () => "a page", numSteps: () => 0 },
  );
  generation.start(1);
  return { generation, wakes: () => wakes };
}

/** Delivers tokens; each is a part of one character. */
function deliver(generation: ActiveRequest, count: number): void {
  for (let i = 0; i < count && !generation.isDone; i++) {
    generation.expect(0);
    generation.accept(10 + (i % 50), 2);
  }
}

test.each<[string, number, number, boolean]>([
  ["no parts", 0, 0, false],
  ["one part less than the maximum is unread", MAX_UNREAD - 1, 0, false],
  ["the maximum is unread", MAX_UNREAD, 0, true],
  ["one of the maximum was read", MAX_UNREAD, 1, false],
  ["tokens in flight exceed the maximum", MAX_UNREAD + 1, 0, true],
  ["two of the maximum plus one were read", MAX_UNREAD + 1, 2, false],
])("the pause of a request follows its unread parts: %s", async (_, delivered, read, isPaused) => {
  const { generation } = open();
  deliver(generation, delivered);
  const iterator = generation[Symbol.asyncIterator]();
  for (let i = 0; i < read; i++) await iterator.next();
  expect(generation.isPaused).toBe(isPaused);
  expect(generation.canBeSuspended).toBe(isPaused);
});

test("a paused request with a token in flight cannot be suspended until the token arrives", () => {
  const { generation } = open();
  deliver(generation, MAX_UNREAD);
  generation.expect(2);
  expect([generation.isPaused, generation.canBeSuspended, generation.inFlightRow]).toEqual([true, false, 2]);
  generation.accept(10, 3);
  expect([generation.canBeSuspended, generation.inFlightRow]).toEqual([true, undefined]);
});

test("the read that ends a pause wakes the engine, and no other does", async () => {
  const { generation, wakes } = open();
  deliver(generation, MAX_UNREAD);
  const iterator = generation[Symbol.asyncIterator]();
  expect(wakes()).toBe(0);
  await iterator.next();
  expect(wakes()).toBe(1);
  await iterator.next();
  expect(wakes()).toBe(1);
});

test("a call of result ends a pause, and a later reader gets every part", async () => {
  const { generation, wakes } = open();
  deliver(generation, MAX_UNREAD);
  const result = generation.result();
  expect([generation.isPaused, wakes()]).toEqual([false, 1]);
  deliver(generation, MAX_TOKENS);
  expect((await result).usage.completionTokens).toBe(MAX_TOKENS);
  const tokens: number[] = [];
  let text = "";
  for await (const part of generation) {
    tokens.push(...part.tokenIds);
    text += part.text;
  }
  expect([tokens, text]).toEqual([(await result).tokenIds, (await result).text]);
});

test("a waiting consumer gets each part at once, and then the end", async () => {
  const { generation } = open({ maxTokens: 2 });
  const iterator = generation[Symbol.asyncIterator]();
  const [first, second, end] = [iterator.next(), iterator.next(), iterator.next()];
  deliver(generation, 2);
  expect((await first).value?.tokenIds).toEqual([10]);
  expect((await second).value?.tokenIds).toEqual([11]);
  expect(await end).toEqual({ done: true, value: undefined });
});

test("the consumer of a paused request gets an abort after the earlier parts", async () => {
  const controller = new AbortController();
  const { generation, wakes } = open({ signal: controller.signal });
  deliver(generation, MAX_UNREAD);
  controller.abort();
  expect([generation.isDone, generation.canBeSuspended, wakes()]).toEqual([true, false, 1]);
  let parts = 0;
  const read = async () => {
    for await (const _ of generation) parts++;
  };
  await expect(read()).rejects.toThrow(AbortedError);
  expect(parts).toBe(MAX_UNREAD);
});

test("a request that does not run holds no pages, and mayStillTake throws", () => {
  const { generation } = open();
  expect(generation.numPages).toBe(0);
  for (const use of [() => generation.mayStillTake, () => generation.takePage()])
    expect(use).toThrow("request 1 holds no pages: it does not run");
});
