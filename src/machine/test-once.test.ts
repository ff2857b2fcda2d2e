import { expect, test } from "vitest";
import type { SelfTest } from "./test-candidate.ts";
import { testOnce } from "./test-once.ts";

const RESULT: SelfTest = { rows: [], elapsedMs: 1 };

/** Counts the runs of a device's test. */
function counted(outcome: () => Promise<SelfTest> = async () => RESULT) {
  const counts = { runs: 0 };
  const run = () => {
    counts.runs++;
    return outcome();
  };
  return { counts, run };
}

test("a device is tested once, also for two concurrent callers", async () => {
  const { counts, run } = counted();
  const device = { source: {}, key: "a card" };
  await Promise.all([testOnce(device, run), testOnce(device, run)]);
  expect(await testOnce({ ...device }, run)).toBe(RESULT);
  expect(counts.runs).toBe(1);
});

test("the second of two equal cards is tested too, by its other source", async () => {
  const { counts, run } = counted();
  await testOnce({ source: {}, key: "a card" }, run);
  await testOnce({ source: {}, key: "a card" }, run);
  expect(counts.runs).toBe(2);
});

test("another card of a source, or another dtype of the cache, is tested too", async () => {
  const { counts, run } = counted();
  const source = {};
  for (const key of ["a card|f16", "a card|f32", "another card|f16"]) await testOnce({ source, key }, run);
  expect(counts.runs).toBe(3);
});

test("a test that failed to run is repeated", async () => {
  const device = { source: {}, key: "a card" };
  const failing = counted(async () => {
    throw new RangeError("no device today");
  });
  await expect(testOnce(device, failing.run)).rejects.toThrow("no device today");
  const { counts, run } = counted();
  expect(await testOnce(device, run)).toBe(RESULT);
  expect([failing.counts.runs, counts.runs]).toEqual([1, 1]);
});
