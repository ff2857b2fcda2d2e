/** A short request that comes while a long prompt is computed, in steps of the engine, on a backend that answers within the step. */
import { expect, test } from "vitest";
import { createReferenceBackend } from "../../src/backend/reference/reference-backend.ts";
import type { Generation } from "../../src/engine/request.ts";
import { openTiny, type TinyOptions } from "./tiny-engine.ts";

const SIZES = { maxPages: 300, maxSequenceLength: 640, maxBatchRows: 128 };
const greedy = { temperature: 0, ignoreEos: true } as const;
const prompt = (length: number, seed: number) =>
  Array.from({ length }, (_, i) => 3 + ((i * 53 + seed * 17) % 300));
const LONG = prompt(600, 1);

/** An engine whose chunks have 24 rows: far below the limits of time. `at` runs in the middle of the step of that number. */
async function openChunked(at: (step: number) => void, more: TinyOptions = {}) {
  let step = 0;
  return openTiny(createReferenceBackend, {
    ...{ prefillRows: 24, maxStallMs: 1_000_000, sizes: SIZES, ...more },
    onCall: (name) => {
      if (name === "beginStep") at(++step);
    },
  });
}

test("a short request has its first token in the step after the one in which it came, and changes nothing of the long one", async () => {
  const alone = await openChunked(() => {});
  const { tokenIds: longTokens, timings } = await alone
    .generate({ ...greedy, tokenIds: LONG, maxTokens: 4 })
    .result();
  const short = { ...greedy, tokenIds: prompt(37, 2), maxTokens: 1 };
  const { tokenIds: shortTokens, timings: first } = await alone.generate(short).result();
  await alone.close();
  // 16 rows, then 24 a step
  expect(timings.firstTokenSteps).toBe(26);
  expect(first.firstTokenSteps).toBe(2);

  let beside: Generation | undefined;
  const engine = await openChunked((step) => {
    if (step === 10) beside = engine.generate(short);
  });
  const long = engine.generate({ ...greedy, tokenIds: LONG, maxTokens: 4 });
  const [{ tokenIds, timings: longTimes }] = await Promise.all([long.result()]);
  const result = await (beside as Generation).result();
  expect(result.timings.firstTokenSteps).toBe(2);
  expect(result.tokenIds).toEqual(shortTokens);
  expect(tokenIds).toEqual(longTokens);
  expect(longTimes.firstTokenSteps).toBeLessThanOrEqual(27);
  await engine.close();
});

test("a long prompt ends in bounded steps while short ones never stop coming", async () => {
  const shorts: Generation[] = [];
  let isLongDone = false;
  const engine = await openChunked(
    (step) => {
      if (!isLongDone && step > 2)
        shorts.push(engine.generate({ ...greedy, tokenIds: prompt(30, step), maxTokens: 1 }));
    },
    { sizes: { ...SIZES, maxBatchSequences: 8 } },
  );
  const long = engine.generate({ ...greedy, tokenIds: LONG, maxTokens: 1 });
  const { timings } = await long.result();
  isLongDone = true;
  // at least 8 of 600 rows a step
  expect(timings.firstTokenSteps).toBeLessThanOrEqual(76);
  expect(shorts.length).toBeGreaterThan(10);
  const waits = await Promise.all(shorts.map(async (one) => (await one.result()).timings.firstTokenSteps));
  expect(Math.min(...waits)).toBe(2);
  await engine.close();
});

test("the engine counts its steps, those with a part of a prompt, and the tokens of these", async () => {
  const engine = await openChunked(() => {});
  await engine.generate({ ...greedy, tokenIds: prompt(100, 3), maxTokens: 5 }).result();
  // 16, 24, 24, 24, 12 rows, then four decode steps
  expect(engine.stats().steps).toEqual({ total: 9, prefill: 5, prefillTokens: 100 });
  await engine.close();
});
