import { expect, it } from "vitest";
import { Random } from "./random.ts";

it("draws the same numbers for the same seed, and others for another", () => {
  const draw = (seed: number) => {
    const random = new Random(seed);
    return Array.from({ length: 8 }, () => random.unit());
  };
  expect(draw(3)).toEqual(draw(3));
  expect(draw(3)).not.toEqual(draw(4));
  expect(draw(2 ** 40)).not.toEqual(draw(0));
  expect(draw(-1)).not.toEqual(draw(1));
});

it("refuses seeds that are not integers", () => {
  for (const seed of [1.5, Number.NaN, Number.POSITIVE_INFINITY])
    expect(() => new Random(seed)).toThrow(RangeError);
});

it("draws integers uniformly, both bounds included: each of 10 within 5 % of a tenth", () => {
  const random = new Random(1);
  const counts = new Array<number>(10).fill(0);
  for (let i = 0; i < 100_000; i++) {
    const value = random.integer(0, 9);
    counts[value] = (counts[value] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count / 10_000 - 1)).toBeLessThan(0.05);
});

it("samples distinct items and shuffles to a permutation, without changing its argument", () => {
  const random = new Random(2);
  const items = [1, 2, 3, 4, 5];
  expect(new Set(random.sample(items, 3)).size).toBe(3);
  expect(random.shuffled(items).sort()).toEqual([1, 2, 3, 4, 5]);
  expect(items).toEqual([1, 2, 3, 4, 5]);
  expect(() => random.sample(items, 6)).toThrow(RangeError);
  expect(() => random.choice([])).toThrow(RangeError);
});
