import { expect, it } from "vitest";
import { racersOf, withSpec } from "./racers.ts";
import type { Ranked } from "./search.ts";

const ranked = (budget: number, divergence = 0): Ranked => ({
  ...{ spec: `key-sketch:budget=${budget},dense-layers=2`, divergence, standardError: 0, steps: 64 },
  attendedFraction: budget / 1000,
});
const first = [64, 96, 128, 160, 192, 256, 384].map((budget) => ranked(budget));
const search = { chosen: ranked(192), finalists: [ranked(256)], first: [...first, ranked(32, 1)] };

it("races the chosen setting and near ones from cheap to dear within the reads", () => {
  const budgets = (maxRead: number) =>
    racersOf(search, { tolerance: 0.1, maxRead }).map((spec) => Number(/budget=(\d+)/.exec(spec)?.[1]));
  expect(budgets(1)).toEqual([192, 64, 96, 160, 256, 384]);
  expect(budgets(0.1)).toEqual([192, 64, 96]);
});

it("adds settings whose budget is the same in the shortest problems and grows with longer ones", () => {
  const specs = racersOf(search, { tolerance: 0.1, maxRead: 0.07 }, 2048);
  expect(specs).toEqual([
    "key-sketch:budget=192,dense-layers=2",
    "key-sketch:budget=192,share=0.09375,dense-layers=2",
    "key-sketch:budget=64,dense-layers=2",
    "key-sketch:budget=64,share=0.03125,dense-layers=2",
  ]);
  expect(withSpec(search, specs[3])).toEqual({ ...ranked(64), spec: specs[3] });
  expect(withSpec(search, undefined)).toBeUndefined();
});
