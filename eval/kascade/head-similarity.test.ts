import { describe, expect, it } from "vitest";
import { bindAttention } from "../../src/attention/bind-attention.ts";
import { kascade } from "../../src/index.ts";
import { calibrateKascade } from "./calibration.ts";
import {
  attentionImportance,
  averageSimilarity,
  headSimilarity,
  layerSimilarity,
  mapHeads,
  poolWeights,
  type StepWeights,
} from "./head-similarity.ts";

/** Weights of a head that attends to some positions of 8, the first the most. */
function attending(...positions: number[]): Float32Array {
  const weights = new Float32Array(8).fill(0.01);
  for (const [rank, position] of positions.entries()) weights[position] = 0.5 - 0.1 * rank;
  return weights;
}

/** By the definition: for every pair of heads, the least share over all tokens. */
function bruteForce(
  steps: readonly StepWeights[],
  budget: number,
  [a, b, headB, headA]: readonly number[],
): number {
  const shares = steps.map((step) => {
    const ranked = (weights: Float32Array) =>
      [...weights.keys()].sort((i, j) => weights[j] - weights[i] || i - j).slice(0, budget);
    const mass = (positions: number[]) => positions.reduce((sum, p) => sum + step[b][headB][p], 0);
    return mass(ranked(step[a][headA])) / mass(ranked(step[b][headB]));
  });
  return Math.min(...shares);
}

function randomSteps(count: number): StepWeights[] {
  let state = 7;
  const unit = () => {
    state = (state * 1103515245 + 12345) % 2 ** 31;
    return state / 2 ** 31;
  };
  return Array.from({ length: count }, (_, token) =>
    Array.from({ length: 4 }, () =>
      Array.from({ length: 3 }, () => {
        const raw = Float32Array.from({ length: 20 + token }, () => unit() ** 6);
        const sum = raw.reduce((x, y) => x + y);
        return raw.map((x) => x / sum);
      }),
    ),
  );
}

it("similarities equal the definition for every pair of layers and heads; a head is like itself", () => {
  const steps = randomSteps(5);
  const similarity = headSimilarity(steps, 4);
  for (let a = 0; a < 4; a++)
    for (let b = 0; b < 4; b++) {
      if (b < a) expect(similarity[a][b]).toEqual([]);
      for (let headB = 0; b >= a && headB < 3; headB++)
        for (let headA = 0; headA < 3; headA++)
          expect(similarity[a][b][headB][headA]).toBeCloseTo(bruteForce(steps, 4, [a, b, headB, headA]), 12);
    }
  for (let layer = 0; layer < 4; layer++)
    for (let head = 0; head < 3; head++) expect(similarity[layer][layer][head][head]).toBe(1);
});

it("the average of texts is that of each number; a layer takes its heads' best", () => {
  const [one, two] = [headSimilarity(randomSteps(2), 4), headSimilarity(randomSteps(3), 6)];
  const mean = averageSimilarity([one, two]);
  expect(mean[1][3][2][0]).toBeCloseTo((one[1][3][2][0] + two[1][3][2][0]) / 2, 12);
  const expected = mean[1][3].reduce((sum, row) => sum + Math.max(...row), 0) / 3;
  expect(layerSimilarity(mean)[1][3]).toBeCloseTo(expected, 12);
});

describe("head maps", () => {
  // layer 1 swaps the heads of layer 0; in layer 3 both heads are like head 1 of layer 2
  const step: StepWeights = [
    [attending(0, 1), attending(4, 5)],
    [attending(4, 5), attending(0, 1)],
    [attending(2, 3), attending(6, 7)],
    [attending(6, 7), attending(7, 6)],
  ];
  const similarity = headSimilarity([step], 2);

  it("name the most similar head of the last anchor; layers whose heads keep their own have none", () => {
    expect(mapHeads(similarity, [0, 2])).toEqual({ 1: [1, 0], 3: [1, 1] });
    expect(mapHeads(similarity, [0, 1, 2, 3])).toEqual({});
    expect(mapHeads(similarity, [2])).toEqual({ 3: [1, 1] });
  });

  it("keep a head's own set on a tie", () => {
    const tied = headSimilarity(
      [
        [
          [attending(0, 1), attending(0, 1)],
          [attending(0, 1), attending(1, 0)],
        ],
      ],
      2,
    );
    expect(mapHeads(tied, [0])).toEqual({});
  });

  it("with the anchors are settings of the policy, from JSON and in a spec", () => {
    const calibration = calibrateKascade(similarity, [1, 1, 1, 1], 2);
    expect(calibration).toEqual({ selectionLayers: [0, 2], headMaps: { 1: [1, 0], 3: [1, 1] } });
    const policy = kascade({ tokenBudget: 2, ...JSON.parse(JSON.stringify(calibration)) });
    const model = {
      ...{ numLayers: 4, numQueryHeads: 2, numKvHeads: 2, headDim: 8, pageSize: 16 },
      ...{ defaultSelectionLayers: [1], defaultSelectionLayersFrom: "guess" as const },
    };
    expect(bindAttention(policy, model).settings).toEqual({
      budget: 2,
      anchors: [0, 2],
      maps: ["1:1-0", "3:1-1"],
    });
  });
});

it("weights are pooled over the query heads of each kv head", () => {
  const rows = [
    [0.5, 0.5],
    [1, 0],
    [0, 1],
    [0.25, 0.75],
  ].map((row) => Float32Array.from(row));
  expect(poolWeights(rows, 2).map((row) => [...row])).toEqual([
    [0.75, 0.25],
    [0.125, 0.875],
  ]);
  expect(() => poolWeights(rows, 3)).toThrow(/4 query heads do not share 3 kv heads/);
});

it("importance is one minus the cosine: 0 for the same direction, 1 for a right angle, 2 for the opposite", () => {
  expect(attentionImportance([1, 2], [2, 4])).toBeCloseTo(0, 12);
  expect(attentionImportance([1, 0], [0, 3])).toBe(1);
  expect(attentionImportance([1, 2], [-1, -2])).toBeCloseTo(2, 12);
});

it("no tokens, and tokens of other sizes, are refused", () => {
  expect(() => headSimilarity([], 4)).toThrow(/at least one token/);
  const [step] = randomSteps(1);
  expect(() => headSimilarity([step, step.slice(1)], 4)).toThrow(/the same layers and heads/);
  expect(() => averageSimilarity([])).toThrow(/at least one text/);
});
