/**
 * Ops that narrow a selection: pooled scores, scores of candidates, mapped heads. Values and sets equal brute force on every
 * backend.
 */
import fc from "fast-check";
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, Pooling } from "../../src/backend/backend.ts";
import { sizesOf } from "../sizes.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { newScores, scoresOf } from "./attention-trial.ts";
import { BACKENDS, BACKENDS_AND_ROUNDED, CACHE_BACKENDS } from "./backend-table.ts";
import { expandSelection, headScores, pageScore, poolScores, topK } from "./brute-force.ts";
import { trialsOf } from "./open-trials.ts";
import { makeInput, nmse, Random, weightOf } from "./random-weights.ts";
import { SelectionTrial } from "./selection-trial.ts";
import { type Part, Trial } from "./trial.ts";

const NO_ENDS = { sinks: 0, recent: 0 };
const CURRENT = { sinks: 0, recent: 1 };
const HOWS: readonly Pooling[] = ["softmax-mean", "max"];
const LEAST_NORMAL = 2 ** -126;

/** Rounds to f32. A subnormal becomes 0: WGSL lets a GPU flush it, and some do. */
function toNormal(value: number): number {
  return Math.abs(value) < LEAST_NORMAL ? 0 : Math.fround(value);
}

describe.each(BACKENDS)("$name", ({ open, cases }) => {
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openTrial(maxSequenceLength: number): Promise<SelectionTrial> {
    const shape = { hiddenSize: 4, headDim: 2, numKvHeads: 4, numQueryHeads: 8, maxBatchSequences: 4 };
    const backend = await open(...sizesOf({ ...shape, maxPages: 4, maxSequenceLength }));
    opened.push(backend);
    return new SelectionTrial(new Trial(backend, 1));
  }

  /** Pools on the backend: [sequence][head] scores. */
  async function pool(
    t: SelectionTrial,
    range: { readonly first: number; readonly count: number },
    sequences: readonly (readonly ArrayLike<number>[])[],
    { unit = 1, how, heads }: { readonly unit?: number; readonly how: Pooling; readonly heads: number },
  ): Promise<Float32Array[][]> {
    const scores = t.scores(sequences, unit);
    const out = newScores(t.trial, heads, unit);
    const untouched = new Float32Array(out.values.shape.reduce((a, b) => a * b)).fill(7);
    t.trial.backend.write(out.values, untouched);
    t.trial.backend.poolScores(range, scores, how, out);
    const rows: Float32Array[][] = [];
    for (const [s, given] of sequences.entries()) {
      rows.push([]);
      for (let h = 0; h < heads; h++) {
        const row = await scoresOf(t.trial, out, s, h, given[0].length + 1);
        expect(row[row.length - 1]).toBe(7);
        rows[s].push(row.slice(0, -1));
      }
    }
    return rows;
  }

  function expectPooled(actual: ArrayLike<number>, rows: readonly ArrayLike<number>[], how: Pooling): void {
    const expected = poolScores(rows, how);
    for (const [unit, value] of expected.entries()) {
      // either zero
      if (how === "max" || value === Number.NEGATIVE_INFINITY) expect(actual[unit] + 0).toBe(value + 0);
      // exp is 0 below -87 on some backends
      else expect(Math.abs(actual[unit] - value)).toBeLessThan(3e-5 * value + 1e-37);
    }
  }

  it("poolScores of any scores: maxima exactly, softmax means within 3e-5, masked units stay masked", async () => {
    const t = await openTrial(160);
    const score = fc.oneof(
      { weight: 6, arbitrary: fc.double({ min: -30, max: 30, noNaN: true }).map(toNormal) },
      { weight: 2, arbitrary: fc.constant(Number.NEGATIVE_INFINITY) },
      { weight: 1, arbitrary: fc.double({ min: -1e30, max: 1e4, noNaN: true }).map(toNormal) },
    );
    const problem = fc.record({
      shape: fc.constantFrom([8, 4], [8, 1], [8, 8], [6, 2], [3, 1], [1, 1]),
      lengths: fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 1, maxLength: 3 }),
      unit: fc.constantFrom(1, 1, 4, 16),
      how: fc.constantFrom(...HOWS),
      pool: fc.array(score, { minLength: 1, maxLength: 40 }),
      seed: fc.nat(1e6),
    });
    await fc.assert(
      fc.asyncProperty(problem, async ({ shape: [heads, pooled], lengths, unit, how, pool: from, seed }) => {
        const random = new Random(seed);
        const sequences = lengths.map((length) =>
          Array.from({ length: heads }, () =>
            Float32Array.from({ length: Math.ceil(length / unit) }, () => from[random.below(from.length)]),
          ),
        );
        // the range begins at the second sequence
        t.begin([5, ...lengths]);
        const range = { first: 1, count: lengths.length };
        const actual = await pool(t, range, sequences, { unit, how, heads: pooled });
        const run = heads / pooled;
        for (const [s, rows] of sequences.entries())
          for (let h = 0; h < pooled; h++)
            expectPooled(actual[s][h], rows.slice(h * run, (h + 1) * run), how);
      }),
      { numRuns: cases === "few" ? 40 : 120, seed: 41 },
    );
  });

  it("poolScores of 9000 units, more than a block or a workgroup takes at once, within 3e-5", async () => {
    const n = 9000;
    const t = await openTrial(n);
    const random = new Random(4);
    const rows = Array.from({ length: 8 }, () => Float32Array.from({ length: n }, () => 4 * random.gauss()));
    t.begin([n]);
    for (const how of HOWS)
      for (const heads of [4, 1]) {
        const [actual] = await pool(t, { first: 0, count: 1 }, [rows], { how, heads });
        const run = 8 / heads;
        for (let h = 0; h < heads; h++) expectPooled(actual[h], rows.slice(h * run, (h + 1) * run), how);
      }
  });

  it("a head whose scores are all masked has no weight in the mean", async () => {
    const t = await openTrial(64);
    t.begin([5]);
    const masked = new Float32Array(5).fill(Number.NEGATIVE_INFINITY);
    const [[row]] = await pool(t, { first: 0, count: 1 }, [[masked, [0, 0, 0, -Infinity, -Infinity]]], {
      how: "softmax-mean",
      heads: 1,
    });
    expect([...row]).toEqual([1 / 6, 1 / 6, 1 / 6, -Infinity, -Infinity].map(Math.fround));
  });

  it("poolScores refuses heads that are no divisor, and other units", async () => {
    const t = await openTrial(64);
    t.begin([16]);
    const scores = t.scores([Array.from({ length: 8 }, () => new Float32Array(16))]);
    const range = { first: 0, count: 1 };
    const { backend } = t.trial;
    expect(() => backend.poolScores(range, scores, "max", newScores(t.trial, 3))).toThrow(/8 heads.*got 3/);
    expect(() => backend.poolScores(range, scores, "max", newScores(t.trial, 4, 16))).toThrow(
      /units of 1 tokens into units of 16/,
    );
  });

  it("unitsAbove gives the units above a threshold exactly, and unit 0 in other places; a set without room is refused", async () => {
    const t = await openTrial(160);
    const { backend } = t.trial;
    t.begin([9, 150, 33]);
    const random = new Random(4);
    const rows = [150, 33].map((length) =>
      Array.from({ length: 3 }, () =>
        Float32Array.from({ length: Math.ceil(length / 8) }, (_, i) => (i === 2 ? 0.25 : random.gauss())),
      ),
    );
    const scores = t.scores(rows, 8);
    const set = t.units(3, 20, 8);
    const range = { first: 1, count: 2 };
    for (const threshold of [-10, 0.25, 10]) {
      backend.write(set.units, new Uint32Array(set.units.shape.reduce((a, b) => a * b)).fill(77));
      backend.unitsAbove(range, scores, threshold, set);
      for (const [s, heads] of rows.entries())
        for (const [h, row] of heads.entries()) {
          const expected = Array.from({ length: 20 }, (_, unit) =>
            Number(row[unit]) > threshold ? unit : 0,
          );
          expect(await t.read(set, s, h)).toEqual(expected.sort((a, b) => a - b));
        }
    }
    expect(() => backend.unitsAbove(range, scores, 0, t.units(3, 18, 8))).toThrow(
      "choosing from 19 units into a set with room for 18",
    );
  });

  it("mapHeads gives each kv head the set of the head that the map names, exactly; wrong maps are refused", async () => {
    const t = await openTrial(64);
    const { backend } = t.trial;
    t.begin([9, 20, 30]);
    const random = new Random(8);
    const positions = [20, 30].map((length) => [1, 7, 3, 5].map((count) => random.subset(length, count)));
    const selection = t.trial.selection(positions, 16);
    const out = t.tokens(4, 32);
    const range = { first: 1, count: 2 };
    for (const map of [
      [3, 0, 0, 2],
      [0, 1, 2, 3],
      [1, 1, 1, 1],
    ]) {
      backend.mapHeads(range, selection, map, out);
      expect(await t.trial.selected(out, 2)).toEqual(positions.map((sets) => map.map((head) => sets[head])));
    }
    for (const map of [
      [0, 1, 2],
      [0, 1, 2, 4],
      [0, 1, 2, -1],
      [0, 1, 2, 0.5],
    ])
      expect(() => backend.mapHeads(range, selection, map, out)).toThrow(/expected 4 kv heads from 0 to 3/);
    expect(() => backend.mapHeads(range, t.tokens(1, 16), [0, 1, 2, 3], out)).toThrow(/got 1 and 4/);
  });
});

describe.each(CACHE_BACKENDS)("scores of candidates, $name", (row) => {
  const { cases, cacheDtype } = row;
  const openTrial = trialsOf(row);
  const within = allowedNmse(1e-11, cacheDtype);
  // one split, two, and several
  const LENGTHS = cases === "few" ? [1, 17, 257] : [1, 16, 17, 255, 257, 700];
  const SHAPES = [
    { headDim: 18, numKvHeads: 2, numQueryHeads: 6 },
    ...(cases === "few" ? [] : [{ headDim: 64, numKvHeads: 3, numQueryHeads: 9 }]),
  ];

  async function decodeBatch(shape: (typeof SHAPES)[number]): Promise<Trial> {
    const sizes = { hiddenSize: 20, maxPages: 120, maxSequenceLength: 1000 };
    const trial = await openTrial({ ...sizes, ...shape, maxBatchSequences: LENGTHS.length });
    trial.withInputs();
    const parts: Part[] = [];
    for (const length of LENGTHS) parts.push(trial.part(await trial.filled(length - 1), 1));
    trial.run(parts);
    return trial;
  }

  it.each(
    SHAPES,
  )("of $numQueryHeads heads of $headDim, a set for all, each kv head or each head: NMSE < 1e-11, -Infinity elsewhere", async (shape) => {
    const trial = await decodeBatch(shape);
    const { backend, query, random } = trial;
    const { numQueryHeads: heads, numKvHeads } = shape;
    for (const groups of [1, numKvHeads, heads]) {
      const positions = trial.parts.map(({ sequence: { length } }) =>
        Array.from({ length: groups }, () => random.subset(length, 1 + random.below(length))),
      );
      const out = newScores(trial, heads);
      // rows of the candidates and of the scores count from the range's first sequence
      const range = { first: 1, count: LENGTHS.length - 1 };
      backend.write(out.values, new Float32Array(out.values.shape.reduce((a, b) => a * b)).fill(9));
      backend.selectedScores(0, range, query, trial.selection(positions.slice(1), 1000), out);
      const actual: number[] = [];
      const expected: number[] = [];
      for (const [i, { sequence }] of trial.parts.slice(1).entries())
        for (let h = 0; h < heads; h++) {
          const chosen = new Set(positions[i + 1][Math.floor((h * groups) / heads)]);
          const all = headScores(trial.queries[i + 1][h], trial.keysOf(sequence, 0, h));
          const scores = await scoresOf(trial, out, i, h, sequence.length + 1);
          expect(scores[sequence.length]).toBe(9);
          for (let t = 0; t < sequence.length; t++)
            if (chosen.has(t)) {
              actual.push(scores[t]);
              expected.push(all[t]);
            } else expect(scores[t]).toBe(Number.NEGATIVE_INFINITY);
        }
      expect(nmse(actual, expected)).toBeLessThan(within);
    }
  });

  it("reads no other key: NaN there changes nothing, exactly", async () => {
    const shape = { headDim: 10, numKvHeads: 2, numQueryHeads: 6, hiddenSize: 21 };
    const random = new Random(9);
    const rows = Array.from({ length: 60 }, () => random.row(21).fill(0, 0, 1));
    const positions = [...random.subset(59, 20), 59];
    const results: number[][] = [];
    for (const poison of [0, Number.NaN]) {
      const trial = await openTrial(shape, 3);
      const weights = makeInput(trial.backend, new Random(4));
      const values = Float64Array.from(weights.k.plain.values);
      for (let r = 0; r < 20; r++) values[r * 21] = 1;
      trial.useInputs([{ ...weights, k: weightOf(trial.backend, [20, 21], values) }]);
      const sequence = trial.newSequence();
      rows.forEach((row, t) => {
        const x = Float64Array.from(row);
        if (!positions.includes(t)) x[0] = poison;
        trial.run([{ sequence, rows: [x] }]);
      });
      const out = newScores(trial, 6);
      const range = { first: 0, count: 1 };
      trial.backend.selectedScores(0, range, trial.query, trial.selection([[positions]], 64), out);
      const scores: number[] = [];
      for (let h = 0; h < 6; h++) scores.push(...(await scoresOf(trial, out, 0, h, 60)));
      expect(scores.filter(Number.isFinite).length).toBe(6 * positions.length);
      results.push(scores);
    }
    expect(results[1]).toEqual(results[0]);
  });
});

describe.each(BACKENDS_AND_ROUNDED)("$name", (row) => {
  const openTrial = trialsOf(row);

  it("page bounds, then exact keys of the best pages, one set per kv head: brute force's sets exactly", async () => {
    const trial = (
      await openTrial({ headDim: 18, numKvHeads: 2, numQueryHeads: 6, pageSize: 8, maxPages: 80 })
    ).withInputs();
    const { backend, query } = trial;
    const sequences = [trial.newSequence(), trial.newSequence()];
    const all = { first: 0, count: 2 };
    for (const rows of [
      [40, 9],
      [22, 40],
      [22, 40],
      [1, 1],
    ]) {
      trial.run(sequences.map((sequence, s) => trial.part(sequence, rows[s])));
      backend.updatePageBounds(0, all);
    }
    const t = new SelectionTrial(trial);
    const [pages, kvPages] = [newScores(trial, 6, 8), newScores(trial, 2, 8)];
    const [bestPages, candidates] = [t.units(2, 4, 8), t.tokens(2, 48)];
    const [scores, kvScores] = [newScores(trial, 6), newScores(trial, 2)];
    const [best, tokens] = [t.units(2, 11), t.tokens(2, 16)];
    backend.pageScores(0, all, query, pages);
    backend.poolScores(all, pages, "max", kvPages);
    backend.topK(all, kvPages, CURRENT, bestPages);
    backend.expandSelection(all, bestPages, CURRENT, candidates);
    backend.selectedScores(0, all, query, candidates, scores);
    backend.poolScores(all, scores, "softmax-mean", kvScores);
    backend.topK(all, kvScores, NO_ENDS, best);
    backend.expandSelection(all, best, NO_ENDS, tokens);
    const selected = await trial.selected(tokens, 2);
    for (const [s, sequence] of sequences.entries())
      for (const kv of [0, 1]) {
        const heads = [0, 1, 2].map((i) => 3 * kv + i);
        const { length } = sequence;
        const bounds = heads.map((h) =>
          Array.from({ length: Math.ceil(length / 8) }, (_, p) =>
            pageScore(trial.queries[s][h], trial.keysOf(sequence, 0, h).slice(8 * p, 8 * p + 8)),
          ),
        );
        const near = expandSelection(topK(poolScores(bounds, "max"), CURRENT, 4), 8, length, CURRENT);
        const masked = heads.map((h) =>
          headScores(trial.queries[s][h], trial.keysOf(sequence, 0, h)).map((score, position) =>
            near.includes(position) ? score : Number.NEGATIVE_INFINITY,
          ),
        );
        const expected = topK(poolScores(masked, "softmax-mean"), NO_ENDS, 11).sort((a, b) => a - b);
        expect(selected[s][kv]).toEqual(expected);
      }
  });
});
