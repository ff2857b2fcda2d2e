import fc from "fast-check";
import { expect, it } from "vitest";
import { chooseAnchors, type LayerSimilarity } from "./choose-anchors.ts";

/** All ascending choices of `count` layers that begin with 0. */
function choices(numLayers: number, count: number): number[][] {
  if (count === 1) return [[0]];
  return choices(numLayers, count - 1).flatMap((before) => {
    const first = (before.at(-1) ?? 0) + 1;
    return Array.from({ length: numLayers - first }, (_, i) => [...before, first + i]);
  });
}

function scoreOf(
  similarity: LayerSimilarity,
  importance: readonly number[],
  anchors: readonly number[],
): number {
  let score = 0;
  for (const [layer, weight] of importance.entries()) {
    const anchor = Math.max(...anchors.filter((one) => one <= layer));
    score += similarity[anchor][layer] * weight;
  }
  return score;
}

const problem = fc.integer({ min: 1, max: 8 }).chain((numLayers) =>
  fc.record({
    similarity: fc.array(
      fc.array(fc.integer({ min: 0, max: 20 }), { minLength: numLayers, maxLength: numLayers }),
      { minLength: numLayers, maxLength: numLayers },
    ),
    importance: fc.array(fc.integer({ min: 0, max: 5 }), { minLength: numLayers, maxLength: numLayers }),
    count: fc.integer({ min: 1, max: numLayers }),
  }),
);

it("the score is the largest of all choices, and that of the anchors given", () => {
  fc.assert(
    fc.property(problem, ({ similarity, importance, count }) => {
      const { anchors, score } = chooseAnchors(similarity, importance, count);
      const all = choices(importance.length, count).map((one) => scoreOf(similarity, importance, one));
      expect(score).toBe(Math.max(...all));
      expect(anchors).toHaveLength(count);
      expect(anchors[0]).toBe(0);
      expect(anchors.every((layer, i) => i === 0 || layer > anchors[i - 1])).toBe(true);
      expect(scoreOf(similarity, importance, anchors)).toBe(score);
    }),
    { numRuns: 500, seed: 41 },
  );
});

it("of equal choices the lowest last anchor counts", () => {
  const same = Array.from({ length: 6 }, () => [1, 1, 1, 1, 1, 1]);
  expect(chooseAnchors(same, [1, 1, 1, 1, 1, 1], 3).anchors).toEqual([0, 1, 2]);
});

it("entries below the diagonal are not read", () => {
  const similarity = [
    [1, 0.9, 0.1, 0.1],
    [Number.NaN, 1, 0.2, 0.2],
    [Number.NaN, Number.NaN, 1, 0.9],
    [Number.NaN, Number.NaN, Number.NaN, 1],
  ];
  expect(chooseAnchors(similarity, [1, 1, 1, 1], 2)).toEqual({ anchors: [0, 2], score: 3.8 });
});

it.each([
  [[[1]], [1], 0],
  [[[1]], [1], 2],
  [[[1]], [1, 1], 1],
  [[[1, 1], [1]], [1, 1], 1],
])("similarity %j, importance %j, %i anchors are refused", (similarity, importance, count) => {
  expect(() => chooseAnchors(similarity, importance, count)).toThrow(RangeError);
});
