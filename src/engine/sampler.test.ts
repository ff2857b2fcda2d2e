import { expect, test } from "vitest";
import { resolveSampling } from "./sampler.ts";

test("any safe integer is a seed: 32-bit seeds stay unchanged, others are hashed and differ from them", () => {
  const word = (seed: number) => resolveSampling({ seed }, {}).seed;
  expect([0, 7, 2 ** 32 - 1].map(word)).toEqual([0, 7, 2 ** 32 - 1]);
  const seeds = [1, -1, 2 ** 32 + 1, -(2 ** 32) + 1, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
  const words = seeds.map(word);
  expect(new Set(words).size).toBe(seeds.length);
  for (const one of words) expect(one >>> 0).toBe(one);
});

test("the request takes precedence over the checkpoint, and the checkpoint over greedy", () => {
  expect(resolveSampling({ topK: 3 }, { topK: 5, topP: 0.5 })).toMatchObject({ topK: 3, topP: 0.5, minP: 0 });
  expect(resolveSampling({}, {})).toMatchObject({ temperature: 0, topK: 0, topP: 1, repetitionPenalty: 1 });
});
