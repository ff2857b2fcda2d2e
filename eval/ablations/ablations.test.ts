import { expect, it } from "vitest";
import type { Attempt } from "../attempts/attempt.ts";
import { formatMarkdown, makeRows } from "./rows.ts";
import { type FACTORS, makeVariants, readBase, type Variant } from "./variants.ts";

const BASE = "less-is-more:budget=64,recency=0.25,sinks=4,layers=1+3";

const variantsOf = (factor: (typeof FACTORS)[number], base = BASE): readonly Variant[] =>
  makeVariants({ base: readBase(base), factors: [factor], candidates: [0, 1, 2, 3, 5], length: 200 });

it.each([
  ["layers", ["1", "1+2", "1+3", "1+5"]],
  ["recency", ["0", "0.1", "0.2", "0.25", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]],
  // a quarter of 64 has no room for 32 sinks
  ["sinks", ["0", "1", "2", "4", "8", "16"]],
  ["sets", ["all", "kv", "head"]],
  // 256 tokens hold the whole problem
  ["budget", ["16", "32", "64", "128"]],
] as const)("%s takes its values, the base once among them", (factor, values) => {
  const variants = variantsOf(factor);
  expect(variants.map(({ value }) => value)).toEqual(values);
  expect(variants.filter(({ isBase }) => isBase).map(({ attention }) => attention)).toEqual([BASE]);
  expect(new Set(variants.map(({ attention }) => attention)).size).toBe(values.length);
});

it("a variant changes one setting and keeps the others", () => {
  const base = "less-is-more:budget=64,recency=0.5,sinks=2,layers=1+3,sets=kv";
  const at = (factor: (typeof FACTORS)[number], value: string) =>
    variantsOf(factor, base).find((variant) => variant.value === value)?.attention;
  expect(at("layers", "1+5")).toBe("less-is-more:budget=64,recency=0.5,sinks=2,layers=1+5,sets=kv");
  expect(at("recency", "0.7")).toBe("less-is-more:budget=64,recency=0.7,sinks=2,layers=1+3,sets=kv");
  expect(at("sinks", "16")).toBe("less-is-more:budget=64,recency=0.5,sinks=16,layers=1+3,sets=kv");
  expect(at("sets", "all")).toBe("less-is-more:budget=64,recency=0.5,sinks=2,layers=1+3");
  expect(at("budget", "128")).toBe("less-is-more:budget=128,recency=0.5,sinks=2,layers=1+3,sets=kv");
});

it("a base of three layers is a value of its own", () => {
  const values = variantsOf("layers", "less-is-more:budget=64,recency=0.25,sinks=4,layers=1+3+5").map(
    ({ value, isBase }) => [value, isBase],
  );
  expect(values).toEqual([
    ["1", false],
    ["1+2", false],
    ["1+3", false],
    ["1+5", false],
    ["1+3+5", true],
  ]);
});

it.each(["full", "quest:budget=64", "less-is-more:budget=64"])("%s is no base", (label) => {
  expect(() => readBase(label)).toThrow(`ablations change the settings of less-is-more, got `);
});

/** Two problems of 10 and 30 scored tokens. */
function attemptsOf(attention: string, losses: readonly [number, number], wrong: readonly [number, number]) {
  return losses.map(
    (score, i): Attempt => ({
      ...{ settingsHash: attention, task: "t-chain", length: 200, problemId: String(i), attempt: 0, seed: 1 },
      ...{ attention, metric: "loss", score, scoredTokens: i === 0 ? 10 : 30, target: "", extracted: null },
      ...{ wrongTokens: wrong[i] ?? 0, rule: "forced tokens", promptTokens: 5, completionTokens: 30 },
      ...{ finishReason: "scored", attendedFraction: 0.5, response: "" },
    }),
  );
}

it("a row has the loss, its difference from full and from the base on the same problems, and wrong tokens", () => {
  const variants = variantsOf("sets");
  const [all = "", kv = ""] = variants.map(({ attention }) => attention);
  const attempts = [
    ...attemptsOf("full", [0.1, 0.2], [0, 1]),
    ...attemptsOf(all, [0.5, 0.4], [2, 5]),
    ...attemptsOf(kv, [0.3, 0.2], [1, 1]),
  ];
  const rows = makeRows(variants, attempts, BASE);
  expect(rows.map(({ factor, value }) => [factor, value])).toEqual([
    ["full", ""],
    ["sets", "all"],
    ["sets", "kv"],
  ]);
  const [full, base, ours] = rows;
  // losses are means over tokens: (10 × 0.3 + 30 × 0.2) / 40
  expect(ours?.score.value).toBeCloseTo(0.225, 12);
  expect(ours?.overFull?.value).toBeCloseTo(0.05, 12);
  expect(ours?.overBase?.value).toBeCloseTo(-0.2, 12);
  expect(ours?.wrongTokens?.value).toBe(1);
  expect(base?.wrongTokens?.value).toBe(3.5);
  expect(base?.overFull?.value).toBeCloseTo(0.25, 12);
  expect([base?.overBase, full?.overFull]).toEqual([undefined, undefined]);
  const lines = formatMarkdown(rows).split("\n");
  expect(lines).toHaveLength(2 + rows.length);
  expect(lines[3]).toContain("| sets | all (base) | t-chain | 200 | 2 | 0.4250 (0.4000 to 0.5000)");
  expect(lines[4]).toContain("−0.2000");
});
