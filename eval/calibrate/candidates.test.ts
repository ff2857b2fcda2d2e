import { expect, it } from "vitest";
import { parseAttention } from "../../src/node/index.ts";
import { type CandidateOptions, firstCandidates, nearCandidates } from "./candidates.ts";
import type { LayerRecall } from "./recall.ts";

const globalLayers = Array.from({ length: 12 }, (_, layer) => layer);
const lim: CandidateOptions = { policy: "less-is-more", tokenBudget: 64, globalLayers, numLayers: 12 };
/** Layer 7 knows what later layers want; the others know half of it. */
const recall: LayerRecall = {
  layers: globalLayers,
  shares: globalLayers.map((a) => globalLayers.map((b) => (b < a ? 0 : a === 7 ? 0.9 : 0.5))),
};
const specsOf = (candidates: readonly { spec: string }[]) =>
  candidates.map(({ spec }) => spec.replace(/^.*layers=/, ""));

it("begins with pairs by recall, then sets of one to four layers by cost", () => {
  const candidates = firstCandidates(lim, recall);
  const sets = specsOf(candidates);
  expect(sets[0]).toBe("2+7");
  expect(sets.slice(0, 8).every((set) => /^2\+\d+$/.test(set))).toBe(true);
  expect(sets).toContain("0+7");
  expect(new Set(sets.map((set) => set.split("+").length))).toEqual(new Set([1, 2, 3, 4]));
  expect(new Set(sets).size).toBe(sets.length);
  for (const { layers = [], recall: expected } of candidates) {
    expect((layers[0] ?? 0) + layers.length).toBeLessThanOrEqual(7);
    expect(expected).toBeGreaterThan(0);
  }
});

it("looks around the best: first layers, the lowest layer, both sets together, recency shares", () => {
  const [a, b] = [
    { spec: "less-is-more:budget=64,layers=2+7", layers: [2, 7] },
    { spec: "", layers: [2, 9] },
  ];
  const near = nearCandidates(lim, [a, b], recall);
  expect(specsOf(near)).toEqual(["1+7", "3+7", "0+2+7", "2+7+9", "2+7,recency=0.1", "2+7,recency=0.5"]);
  for (const { spec } of near) expect(() => parseAttention(spec)).not.toThrow();
});

it.each([
  [[0], ["0"]],
  [[0, 1], ["0"]],
  [
    [0, 1, 2],
    ["0", "0+1", "0+2"],
  ],
  [[5], ["5"]],
])("of layers %j proposes sets that leave a layer to reuse them", (layers, sets) => {
  const options = { ...lim, globalLayers: layers, numLayers: 6 };
  const shares = layers.map((_, a) => layers.map((_, b) => (b < a ? 0 : 0.5)));
  const found = specsOf(firstCandidates(options, { layers, shares }));
  expect([...found].sort()).toEqual(sets);
});

it("names anchors and head maps of kascade by the model's layers", () => {
  const options: CandidateOptions = { ...lim, policy: "kascade", globalLayers: [1, 3, 5], numLayers: 6 };
  // Head 0 of later layers is nearest to head 1 of the anchor.
  const heads = [0, 1, 2].map((a) =>
    [0, 1, 2].map((b) =>
      b < a
        ? []
        : b === a
          ? [
              [1, 0],
              [0, 1],
            ]
          : [
              [0, 1],
              [0, 1],
            ],
    ),
  );
  const shares = [
    [1, 1, 1],
    [0, 1, 1],
    [0, 0, 1],
  ];
  const [first] = firstCandidates(options, { layers: [1, 3, 5], shares, heads });
  expect(first?.spec).toBe("kascade:budget=64,anchors=1,maps=3:1-1+5:1-1");
  expect(() => parseAttention(first?.spec ?? "")).not.toThrow();
});

it("varies budget and dense layers of key-sketch, and no more dense layers than the model has", () => {
  const options: CandidateOptions = { ...lim, policy: "key-sketch", tokenBudget: 256, numLayers: 1 };
  const specs = firstCandidates(options, undefined).map(({ spec }) => spec);
  expect(specs).toContain("key-sketch:budget=96,dense-layers=0");
  expect(specs.every((spec) => spec.endsWith("dense-layers=0"))).toBe(true);
  expect(firstCandidates({ ...options, numLayers: 9 }, undefined)).toHaveLength(18);
});

it("refuses a model of sliding windows alone", () => {
  expect(() => firstCandidates({ ...lim, globalLayers: [] }, undefined)).toThrow("sliding window");
});
