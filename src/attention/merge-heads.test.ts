import fc from "fast-check";
import { expect, it, test } from "vitest";
import { mergeByRank, topK } from "../../test/conformance/brute-force.ts";
import { headsOfMerge } from "./merge-heads.ts";

/** The merge as its definition says: the head and the rank that name each unit first. */
function bruteForce(scores: readonly Float32Array[], count: number) {
  const ends = { sinks: 0, recent: 0 };
  const ranked = scores.map((values) => topK([...values], ends, count));
  const headOf = new Map<number, number>();
  let depth = 0;
  for (let rank = 0; headOf.size < count; rank++)
    for (const [head, units] of ranked.entries()) {
      const unit = units[rank] as number;
      if (headOf.size === count || headOf.has(unit)) continue;
      headOf.set(unit, head);
      depth = rank + 1;
    }
  return { headOf, depth };
}

test("heads and depth equal the definition of the merge, with ties, NaN, infinities and both zeros", () => {
  const score = fc.oneof(
    fc.constantFrom(0, -0, 1, -1, Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY),
    fc.float(),
  );
  const cases = fc.integer({ min: 1, max: 24 }).chain((units) =>
    fc.record({
      heads: fc.array(fc.array(score, { minLength: units, maxLength: units }), {
        minLength: 1,
        maxLength: 5,
      }),
      count: fc.integer({ min: 0, max: units }),
    }),
  );
  fc.assert(
    fc.property(cases, ({ heads, count }) => {
      const scores = heads.map((values) => Float32Array.from(values));
      const kept = mergeByRank(
        scores.map((values) => [...values]),
        { sinks: 0, recent: 0 },
        count,
      );
      const { headOf, depth } = headsOfMerge(scores, Uint32Array.from(kept));
      const expected = bruteForce(scores, count);
      expect([...headOf].sort(([a], [b]) => a - b)).toEqual([...expected.headOf].sort(([a], [b]) => a - b));
      expect(depth).toBe(expected.depth);
    }),
    { numRuns: 2000 },
  );
});

it("of a merge of nothing is nothing", () => {
  expect(headsOfMerge([Float32Array.of(1, 2)], new Uint32Array(0))).toEqual({ headOf: new Map(), depth: 0 });
});
