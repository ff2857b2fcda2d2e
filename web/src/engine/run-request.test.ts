import { type Engine, type GenerationPart, type GenerationRequest, openEngine } from "lessismore";
import { afterAll, beforeAll, expect, test } from "vitest";
import { runRequest } from "./run-request.ts";

const request: GenerationRequest = {
  messages: [{ role: "user", content: "Find qw. Arithmetic is modulo 100.\nab=17\nio=ab-26\nqw=io+7" }],
  attention: "less-is-more:budget=64,layers=2+7",
  temperature: 0,
};
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ model: "models/pico-reasoner", backend: "wasm", threads: 1 });
});
afterAll(() => engine.close());

/** The engine, whose end comes after so many parts of a request; undefined: never. given: takes how many tokens a request begins with */
function ending(afterParts: number | undefined, given: number[]): Engine {
  let failure: Error | undefined;
  return Object.create(engine, {
    failure: { get: () => failure },
    generate: {
      value: (asked: GenerationRequest) => {
        given.push(asked.generated?.length ?? 0);
        const generation = engine.generate(asked);
        return {
          result: () => generation.result(),
          async *[Symbol.asyncIterator]() {
            let numParts = 0;
            for await (const part of generation) {
              if (numParts++ === afterParts) {
                failure = new Error("the device was lost");
                throw failure;
              }
              yield part;
            }
          },
        };
      },
    },
    report: { value: () => engine.report() },
  }) as Engine;
}

/** Runs the request on engines that end, one after the other. */
async function run(ends: readonly (number | undefined)[], generated?: readonly number[]) {
  const parts: GenerationPart[][] = [];
  const given: number[] = [];
  let at = 0;
  const engines = ends.map((end) => ending(end, given));
  const result = await runRequest(
    { ready: async () => engines[at] ?? engine, reopen: async () => void at++ },
    {
      onStart: async (_, numReplays) => {
        parts[numReplays] = [];
        return request;
      },
      onPart: (part) => parts.at(-1)?.push(part),
      onLost: () => {},
    },
    new AbortController().signal,
    generated,
  );
  return { result, parts, given };
}

test("a request whose engine ends twice, once before its replay has caught up, has the tokens of an uninterrupted run", async () => {
  const whole = await run([undefined]);
  expect(whole.parts).toHaveLength(1);
  const lost = await run([20, 5, undefined]);
  expect(lost.parts.map(({ length }) => length).slice(0, 2)).toEqual([20, 5]);
  const [, first = 0, second] = lost.given;
  expect(lost.given).toHaveLength(3);
  expect(first).toBeGreaterThanOrEqual(20);
  expect(second).toBe(first);
  expect(lost.result.tokenIds).toEqual(whole.result.tokenIds);
  expect(lost.result.text).toBe(whole.result.text);
  const resumed = await run([undefined], whole.result.tokenIds.slice(0, 15));
  expect(resumed.result.tokenIds).toEqual(whole.result.tokenIds);
});

test("an engine that ends again and again is given up with its error", async () => {
  await expect(run([3, 3, 3, 3, 3])).rejects.toThrow("the device was lost");
});

test("an error that is not the engine's end is thrown at once, and an abort too", async () => {
  const bad = runRequest(
    { ready: async () => engine, reopen: () => Promise.reject(new Error("reopened")) },
    { onStart: async () => ({ ...request, attention: "nothing" }), onPart: () => {}, onLost: () => {} },
    new AbortController().signal,
  );
  await expect(bad).rejects.toThrow("unknown attention");
  const never = { ready: () => new Promise<Engine>(() => {}), reopen: async () => {} };
  const stopped = AbortSignal.timeout(20);
  await expect(
    runRequest(never, { onStart: async () => request, onPart: () => {}, onLost: () => {} }, stopped),
  ).rejects.toThrow("the request was stopped");
});
