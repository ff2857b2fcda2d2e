/**
 * Selection ops alone, on scores that the test writes: index sets equal brute force exactly, on every backend.
 */
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, KeptEnds } from "../../src/backend/backend.ts";
import { sizesOf } from "../sizes.ts";
import { BACKENDS } from "./backend-table.ts";
import { expandSelection, mergeByRank, topK } from "./brute-force.ts";
import { Random } from "./random-weights.ts";
import { ascending, SelectionTrial } from "./selection-trial.ts";
import { Trial } from "./trial.ts";

const NO_ENDS: KeptEnds = { sinks: 0, recent: 0 };
const CURRENT: KeptEnds = { sinks: 0, recent: 1 };

/** Scores as f32, so that brute force sees the same ties. */
const gaussian = (random: Random, n: number) => Float32Array.from({ length: n }, () => random.gauss());

const SIZES = {
  hiddenSize: 4,
  headDim: 2,
  numKvHeads: 4,
  numQueryHeads: 8,
  maxPages: 4,
  maxBatchSequences: 4,
};

describe.each(BACKENDS)("$name", ({ open, cases }) => {
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openTrial(maxSequenceLength: number): Promise<SelectionTrial> {
    const backend = await open(...sizesOf({ ...SIZES, maxSequenceLength }));
    opened.push(backend);
    return new SelectionTrial(new Trial(backend, 1));
  }

  it("the worked example selects {1,2,5,7}; head-major {2,1,6} and sorted-unique {1,2,4} are wrong", async () => {
    const t = await openTrial(64);
    const { backend } = t.trial;
    const rows = [
      [1.1, 2.1, 3.2, 1.3, 0.3, 1.4, 1.5, 1.7],
      [2.2, 3.2, 4.5, 2.6, 2.8, 1.2, 0.8, 1.9],
      [1.2, 3.6, 6.7, 1.3, 4.2, 3.6, 5.5, 3.8],
      [1.9, 0.9, 2.1, 2.4, 2.8, 4.2, 3.6, 1.7],
    ];
    t.begin([8]);
    const [scores, set, tokens] = [t.scores([rows]), t.units(1, 3), t.tokens(1, 4)];
    backend.mergeByRank({ first: 0, count: 1 }, scores, CURRENT, set);
    const units = await t.read(set, 0, 0);
    expect(units).not.toEqual([1, 2, 6]);
    expect(units).not.toEqual([1, 2, 4]);
    expect(units).toEqual([1, 2, 5]);
    backend.expandSelection({ first: 0, count: 1 }, set, CURRENT, tokens);
    expect(await t.trial.selected(tokens, 1)).toEqual([[[1, 2, 5, 7]]]);
  });

  describe("any scores", () => {
    const score = fc.oneof(
      { weight: 4, arbitrary: fc.integer({ min: -4, max: 4 }).map((n) => n / 2) },
      { weight: 2, arbitrary: fc.float({ noNaN: true, noDefaultInfinity: true }) },
      {
        weight: 1,
        arbitrary: fc.constantFrom(Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY, 0, -0, Number.NaN),
      },
    );
    const problem = fc
      .record({
        heads: fc.integer({ min: 1, max: 8 }),
        lengths: fc.array(fc.integer({ min: 2, max: 130 }), { minLength: 1, maxLength: 4 }),
        unit: fc.constantFrom(1, 1, 1, 4, 16),
        sinks: fc.nat(5),
        recent: fc.integer({ min: 1, max: 9 }),
        share: fc.double({ min: 0, max: 1, noNaN: true }),
        pool: fc.array(score, { minLength: 1, maxLength: 60 }),
        seed: fc.nat(1e6),
      })
      .map(({ heads, lengths, unit, pool, seed, share, ...wanted }) => {
        const numUnits = lengths.map((length) => Math.ceil(length / unit));
        const fewest = Math.min(...numUnits);
        const recent = Math.min(wanted.recent, fewest);
        const sinks = Math.min(wanted.sinks, fewest - recent);
        const count = Math.round(share * (fewest - recent - sinks));
        const random = new Random(seed);
        const sequences = numUnits.map((n) =>
          Array.from({ length: heads }, () =>
            Float32Array.from({ length: n }, () => pool[random.below(pool.length)]),
          ),
        );
        return { heads, lengths, unit, ends: { sinks, recent }, count, sequences };
      });

    it("topK, mergeByRank and expandSelection equal brute force; sizes, order, sinks, recency and current token hold", async () => {
      const t = await openTrial(160);
      const { backend } = t.trial;
      await fc.assert(
        fc.asyncProperty(problem, async ({ heads, lengths, unit, ends, count, sequences }) => {
          const range = { first: 0, count: lengths.length };
          t.begin(lengths);
          const scores = t.scores(sequences, unit);
          const capacity = (count + ends.sinks + ends.recent) * unit;
          const [perHead, merged] = [t.units(heads, count, unit), t.units(1, count, unit)];
          const [perHeadTokens, mergedTokens] = [t.tokens(heads, capacity), t.tokens(1, capacity)];
          backend.topK(range, scores, ends, perHead);
          backend.mergeByRank(range, scores, ends, merged);
          backend.expandSelection(range, perHead, ends, perHeadTokens);
          backend.expandSelection(range, merged, ends, mergedTokens);
          const ofHeads = await t.trial.selected(perHeadTokens, lengths.length);
          const ofAll = await t.trial.selected(mergedTokens, lengths.length);
          for (const [s, length] of lengths.entries()) {
            for (let h = 0; h < heads; h++) {
              const best = topK(sequences[s][h], ends, count);
              expect(await t.read(perHead, s, h)).toEqual(ascending(best));
              expect(ofHeads[s][h]).toEqual(expandSelection(best, unit, length, ends));
            }
            const best = mergeByRank(sequences[s], ends, count);
            expect(await t.read(merged, s, 0)).toEqual(ascending(best));
            expect(ofAll[s][0]).toEqual(expandSelection(best, unit, length, ends));
            for (const tokens of [...ofHeads[s], ofAll[s][0]]) {
              const lastUnit = ((length - 1) % unit) + 1;
              const size = (count + ends.sinks + ends.recent - 1) * unit + lastUnit;
              expect(tokens.length).toBe(size);
              expect(tokens.every((token, i) => i === 0 || token > tokens[i - 1])).toBe(true);
              expect(tokens.at(-1)).toBe(length - 1);
              for (let p = 0; p < ends.sinks * unit; p++) expect(tokens[p]).toBe(p);
            }
          }
        }),
        { numRuns: cases === "few" ? 50 : 150, seed: 8101 },
      );
    });

    it("units of a set that are always kept count once: sets of a sequence have different sizes", async () => {
      const t = await openTrial(160);
      const { backend } = t.trial;
      const [unit, ends, lengths] = [8, { sinks: 1, recent: 1 }, [61, 160, 40]];
      const random = new Random(12);
      const rows = lengths.map((length) =>
        Array.from({ length: 4 }, () => gaussian(random, Math.ceil(length / unit))),
      );
      t.begin(lengths);
      const range = { first: 0, count: lengths.length };
      const [set, tokens] = [t.units(4, 3, unit), t.tokens(4, 5 * unit)];
      backend.topK(range, t.scores(rows, unit), NO_ENDS, set);
      backend.expandSelection(range, set, ends, tokens);
      const actual = await t.trial.selected(tokens, lengths.length);
      const expected = rows.map((heads, s) =>
        heads.map((row) => expandSelection(topK(row, NO_ENDS, 3), unit, lengths[s], ends)),
      );
      expect(actual).toEqual(expected);
      expect(new Set(actual.flatMap((sets) => sets.map((one) => one.length))).size).toBeGreaterThan(3);
    });

    it("expandSelection without a set returns the always-kept tokens", async () => {
      const t = await openTrial(160);
      const lengths = [12, 13, 100];
      t.begin(lengths);
      const tokens = t.tokens(1, 16);
      for (const ends of [
        { sinks: 4, recent: 8 },
        { sinks: 0, recent: 1 },
        { sinks: 3, recent: 0 },
      ]) {
        t.trial.backend.expandSelection({ first: 1, count: 2 }, undefined, ends, tokens);
        expect(await t.trial.selected(tokens, 2)).toEqual(
          [13, 100].map((length) => [expandSelection([], 1, length, ends)]),
        );
      }
    });

    it("a range counts scores and sets from its own first sequence", async () => {
      const t = await openTrial(160);
      const random = new Random(3);
      const rows = [[gaussian(random, 50)], [gaussian(random, 150)]];
      t.begin([10, 50, 150]);
      const [scores, set] = [t.scores(rows), t.units(1, 20)];
      t.trial.backend.topK({ first: 1, count: 2 }, scores, CURRENT, set);
      for (const s of [0, 1])
        expect(await t.read(set, s, 0)).toEqual(ascending(topK(rows[s][0], CURRENT, 20)));
    });
  });

  it.each<[string, number[], KeptEnds, number, number[]]>([
    ["all equal: the lowest positions", [1, 1, 1, 1, 1], NO_ENDS, 3, [0, 1, 2]],
    ["+0 and -0 tie", [-0, 0, -0, 0], NO_ENDS, 2, [0, 1]],
    [
      "NaN ranks last, after -Infinity",
      [Number.NaN, -Infinity, Number.NaN, -Infinity, 1],
      NO_ENDS,
      3,
      [1, 3, 4],
    ],
    [
      "NaNs by position, if the count needs them",
      [Number.NaN, 2, Number.NaN, Number.NaN],
      NO_ENDS,
      3,
      [0, 1, 2],
    ],
    ["Infinity ranks first", [5, Infinity, 7, Infinity], NO_ENDS, 2, [1, 3]],
    ["always-kept tokens are no candidates", [9, 9, 1, 2, 3, 9], { sinks: 2, recent: 1 }, 2, [3, 4]],
    ["as many as there are candidates", [9, 3, 1, 2, 9], { sinks: 1, recent: 1 }, 3, [1, 2, 3]],
    ["subnormals and signs differ", [-1e-40, 1e-40, 0, 2e-40, -1e30], NO_ENDS, 3, [1, 2, 3]],
    ["none", [1, 2, 3], NO_ENDS, 0, []],
  ])("topK and mergeByRank: %s", async (_, row, ends, count, expected) => {
    const t = await openTrial(64);
    t.begin([row.length]);
    const [scores, set, merged] = [t.scores([[row]]), t.units(1, count), t.units(1, count)];
    t.trial.backend.topK({ first: 0, count: 1 }, scores, ends, set);
    expect(await t.read(set, 0, 0)).toEqual(expected);
    t.trial.backend.mergeByRank({ first: 0, count: 1 }, scores, ends, merged);
    expect(await t.read(merged, 0, 0)).toEqual(expected);
  });

  describe("32768 units, 8 heads, 4 sinks and 252 recent tokens", () => {
    const n = 32768;
    const ends: KeptEnds = { sinks: 4, recent: 252 };
    const inputs: Readonly<Record<string, (random: Random, head: number) => ArrayLike<number>>> = {
      gaussian: (random) => gaussian(random, n),
      // adjacent positions score alike, and so do all heads, so the merge must go through many ranks
      correlated: (random, head) => {
        const shared = new Random(77);
        let level = 0;
        return Float32Array.from({ length: n }, () => {
          level = 0.99 * level + shared.gauss();
          return level + (head ? 0.05 * random.gauss() : 0);
        });
      },
      "all equal": () => new Float32Array(n).fill(0.25),
      "two-valued": (random) => Float32Array.from({ length: n }, () => (random.unit() < 0.01 ? 1 : -1)),
      descending: () => Float32Array.from({ length: n }, (_, t) => -t),
      ascending: () => Float32Array.from({ length: n }, (_, t) => t * 1e-3),
      spiky: (random) =>
        Float32Array.from({ length: n }, () =>
          random.unit() < 0.001 ? 1e6 * random.unit() : random.gauss() * 1e-6,
        ),
      quantised: (random) => Float32Array.from({ length: n }, () => Math.round(random.gauss() * 8) / 8),
      "-Infinity but for 100": (random) =>
        Float32Array.from({ length: n }, () => (random.unit() < 100 / n ? random.gauss() : -Infinity)),
    };

    const few = ["gaussian", "correlated", "all equal"];
    it.each(
      cases === "few" ? few : Object.keys(inputs),
    )("count 768 of %s scores, topK and mergeByRank exactly", async (name) => {
      const t = await openTrial(n);
      const rows = Array.from({ length: 8 }, (_, h) => inputs[name](new Random(h + 1), h));
      t.begin([n]);
      const [scores, set, merged] = [t.scores([rows]), t.units(8, 768), t.units(1, 768)];
      t.trial.backend.topK({ first: 0, count: 1 }, scores, ends, set);
      t.trial.backend.mergeByRank({ first: 0, count: 1 }, scores, ends, merged);
      for (const [h, row] of rows.entries())
        expect(await t.read(set, 0, h)).toEqual(ascending(topK(row, ends, 768)));
      expect(await t.read(merged, 0, 0)).toEqual(ascending(mergeByRank(rows, ends, 768)));
    });

    it("as many as there are candidates", async () => {
      const t = await openTrial(n);
      t.begin([n]);
      const count = n - 256;
      const [scores, set] = [t.scores([[gaussian(new Random(1), n)]]), t.units(1, count)];
      t.trial.backend.topK({ first: 0, count: 1 }, scores, ends, set);
      expect(await t.read(set, 0, 0)).toEqual(Array.from({ length: count }, (_, i) => i + 4));
    });
  });

  it("5000 of 9000 units, more than fit into workgroup memory: mergeByRank exactly", async () => {
    const n = 9000;
    const t = await openTrial(n);
    const rows = [1, 2, 3].map((seed) => gaussian(new Random(seed), n));
    t.begin([n]);
    const [scores, merged] = [t.scores([rows]), t.units(1, 5000)];
    t.trial.backend.mergeByRank({ first: 0, count: 1 }, scores, CURRENT, merged);
    expect(await t.read(merged, 0, 0)).toEqual(ascending(mergeByRank(rows, CURRENT, 5000)));
  });

  it("100,000 units: topK, mergeByRank and expandSelection exactly", async () => {
    const n = 100_000;
    const t = await openTrial(n);
    const rows = [1, 2].map((seed) => gaussian(new Random(seed), n));
    const ends: KeptEnds = { sinks: 4, recent: 508 };
    t.begin([n]);
    const { backend } = t.trial;
    const range = { first: 0, count: 1 };
    const [scores, set, merged, tokens] = [
      t.scores([rows]),
      t.units(2, 1536),
      t.units(1, 1536),
      t.tokens(1, 2048),
    ];
    backend.topK(range, scores, ends, set);
    backend.mergeByRank(range, scores, ends, merged);
    backend.expandSelection(range, merged, ends, tokens);
    for (const [h, row] of rows.entries())
      expect(await t.read(set, 0, h)).toEqual(ascending(topK(row, ends, 1536)));
    const best = mergeByRank(rows, ends, 1536);
    expect(await t.read(merged, 0, 0)).toEqual(ascending(best));
    const selected = await t.trial.selected(tokens, 1);
    expect(selected).toEqual([[expandSelection(best, 1, n, ends)]]);
    expect(selected[0][0].length).toBe(2048);
  });
});
