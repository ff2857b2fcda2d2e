import { expect, test } from "vitest";
import { distributionOf, median, percentile } from "./statistics.ts";

test("a distribution of 1 to 200, in any order", () => {
  const values = Array.from({ length: 200 }, (_, i) => 1 + ((i * 37) % 200));
  expect(distributionOf(values)).toEqual({ mean: 100.5, p50: 100, p99: 198, max: 200 });
});

test("percentiles are values that were measured; of few, p99 is the largest", () => {
  expect(percentile([3, 1, 2], 0.99)).toBe(3);
  expect(percentile([3, 1, 2], 0)).toBe(1);
  expect([median([4, 1, 3, 2]), median([5]), median([])]).toEqual([2, 5, Number.NaN]);
});
