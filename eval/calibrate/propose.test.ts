import fc from "fast-check";
import { expect, it } from "vitest";
import { expectedRecall, proposeLayers } from "./propose.ts";
import type { LayerRecall } from "./recall.ts";

/** All ascending sets of `size` of the indices below `count`. */
function setsOf(count: number, size: number, from = 0): number[][] {
  if (size === 0) return [[]];
  return Array.from({ length: Math.max(0, count - from) }, (_, i) => from + i).flatMap((first) =>
    setsOf(count, size - 1, first + 1).map((others) => [first, ...others]),
  );
}

const recalls = fc.integer({ min: 1, max: 7 }).chain((count) =>
  fc.array(fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { minLength: count, maxLength: count }), {
    ...{ minLength: count, maxLength: count },
  }),
);

it("proposes for each cost the sets that enumeration finds best", () => {
  fc.assert(
    fc.property(recalls, fc.integer({ min: 1, max: 3 }), (shares, mostLayers) => {
      // Of a model whose other layers have windows: numbers are not indices.
      const recall: LayerRecall = { layers: shares.map((_, i) => 2 * i + 1), shares };
      const mostDense = 4;
      const found = proposeLayers(recall, { mostLayers, mostDense, count: 1 });
      const best = new Map<number, number>();
      for (let size = 1; size <= mostLayers; size++)
        for (const set of setsOf(shares.length, size)) {
          const cost = (set[0] ?? 0) + size;
          if (cost > mostDense) continue;
          const value = expectedRecall(
            recall,
            set.map((i) => 2 * i + 1),
          );
          best.set(cost, Math.max(best.get(cost) ?? 0, value));
        }
      expect(found.map(({ recall: value }) => value)).toEqual(
        [...best].sort(([a], [b]) => a - b).map(([, value]) => expect.closeTo(value, 9)),
      );
      for (const { layers, recall: value } of found)
        expect(expectedRecall(recall, layers)).toBeCloseTo(value, 9);
    }),
  );
});

it("expects all of what dense and selecting layers attend to, and of the others what the last selection holds", () => {
  const shares = [
    [0.9, 0.5, 0.4, 0.3],
    [0, 0.9, 0.6, 0.2],
    [0, 0, 0.9, 0.7],
    [0, 0, 0, 0.9],
  ];
  const recall = { layers: [0, 1, 2, 3], shares };
  expect(expectedRecall(recall, [1])).toBeCloseTo((1 + 1 + 0.6 + 0.2) / 4);
  expect(expectedRecall(recall, [0, 2])).toBeCloseTo((1 + 0.5 + 1 + 0.7) / 4);
  expect(
    proposeLayers(recall, { mostLayers: 2, mostDense: 2, count: 1 }).map(({ layers }) => layers),
  ).toEqual([[0], [0, 2]]);
});

it("keeps several sets of one cost, best first", () => {
  const shares = Array.from({ length: 5 }, (_, a) =>
    Array.from({ length: 5 }, (_, b) => (b < a ? 0 : 0.1 * a)),
  );
  const proposals = proposeLayers(
    { layers: [0, 1, 2, 3, 4], shares },
    { mostLayers: 2, mostDense: 2, count: 2 },
  );
  expect(proposals.map(({ layers }) => layers.join("+"))).toEqual(["0", "0+2", "0+1"]);
});
