import { expect, test } from "vitest";
import { arrivals, randomOf } from "./mix.ts";
import { freshPrompt, promptOf } from "./prompts.ts";

test("arrivals are a Poisson process: their mean rate, spread gaps, the same for the same seed", () => {
  const times = arrivals(5, 2000, randomOf(3));
  expect(times).toEqual(arrivals(5, 2000, randomOf(3)));
  expect(times).not.toEqual(arrivals(5, 2000, randomOf(4)));
  expect(times.length / 2000).toBeCloseTo(5, 0);
  const gaps = times.slice(1).map((at, i) => at - (times[i] ?? 0));
  const mean = gaps.reduce((a, b) => a + b) / gaps.length;
  const spread = Math.sqrt(gaps.reduce((sum, gap) => sum + (gap - mean) ** 2, 0) / gaps.length);
  // of exponential gaps the mean and the standard deviation are equal
  expect(spread / mean).toBeGreaterThan(0.95);
  expect(spread / mean).toBeLessThan(1.05);
  expect(arrivals(0.001, 1, randomOf(1))).toEqual([0]);
});

test("prompts have the tokens asked for, of ids that every vocabulary has, and no two begin alike", () => {
  const begins = new Set<string>();
  for (let number = 0; number < 40_000; number += 7) {
    const prompt = promptOf(4, number);
    expect(prompt).toHaveLength(4);
    for (const id of prompt) expect(id >= 32 && id < 232).toBe(true);
    begins.add(prompt.slice(0, 2).join());
  }
  expect(begins.size).toBe(Math.ceil(40_000 / 7));
  expect(freshPrompt(9)).not.toEqual(freshPrompt(9));
});
