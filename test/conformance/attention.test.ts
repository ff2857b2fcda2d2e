/** Attention to the cache, its scores and its page scores on every backend, against brute force in f64. */
import { describe, expect, it } from "vitest";
import { hashUnit } from "../../src/base/random.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { attended, newScores, scoresOf } from "./attention-trial.ts";
import { CACHE_BACKENDS } from "./backend-table.ts";
import { attention, headScores, pageScore } from "./brute-force.ts";
import { trialsOf } from "./open-trials.ts";
import { makeInput, nmse, type PairedInput, Random, weightOf } from "./random-weights.ts";
import type { Part, Trial, TrialSequence } from "./trial.ts";

describe.each(CACHE_BACKENDS)("$name", (row) => {
  const { cases, cacheDtype } = row;
  const within = (bound: number) => allowedNmse(bound, cacheDtype);
  const openTrial = trialsOf(row);

  describe("decode attention at lengths 1, page edge ±1, 255, 256, 257, 511, 1000", () => {
    // the few end in one split, in two, and in several
    const LENGTHS = cases === "few" ? [1, 16, 17, 64, 65, 257] : [1, 15, 16, 17, 255, 256, 257, 511, 1000];
    async function decodeBatch(headDim: number, numKvHeads: number, groupSize: number): Promise<Trial> {
      const trial = await openTrial({
        headDim,
        numKvHeads,
        numQueryHeads: numKvHeads * groupSize,
        hiddenSize: 20,
        maxPages: 160,
        maxSequenceLength: 1000,
        maxBatchSequences: LENGTHS.length,
      });
      trial.withInputs();
      const parts: Part[] = [];
      for (const length of LENGTHS) parts.push(trial.part(await trial.filled(length - 1), 1));
      trial.run(parts);
      return trial;
    }
    const all = { first: 0, count: LENGTHS.length };

    const heads = [
      [18, 1, 5],
      [128, 1, 4],
      ...(cases
        ? []
        : [
            [2, 2, 1],
            [6, 2, 3],
            [24, 2, 2],
            [64, 1, 8],
          ]),
    ];
    describe.each(heads)("headDim %i, %i kv heads × %i", (headDim, numKvHeads, groupSize) => {
      it("attendAll NMSE < 1e-11; its scores equal those of scores exactly, NMSE < 1e-11", async () => {
        const trial = await decodeBatch(headDim, numKvHeads, groupSize);
        const { backend, query, output } = trial;
        const heads = backend.model.numQueryHeads;
        const emittedScores = newScores(trial, heads);
        const computed = newScores(trial, heads);
        backend.attendAll(0, all, query, output, emittedScores);
        backend.scores(0, all, query, computed);
        expect(nmse(await trial.floats(output), attended(trial).flat())).toBeLessThan(within(1e-11));
        // One figure over all lengths: a single score near 0 has no relative precision.
        const actual: number[] = [];
        const expected: number[] = [];
        for (const [s, { sequence }] of trial.parts.entries())
          for (let h = 0; h < heads; h++) {
            const a = await scoresOf(trial, emittedScores, s, h, sequence.length);
            expect([...a]).toEqual([...(await scoresOf(trial, computed, s, h, sequence.length))]);
            actual.push(...a);
            expected.push(...headScores(trial.queries[s][h], trial.keysOf(sequence, 0, h)));
          }
        expect(nmse(actual, expected)).toBeLessThan(within(1e-11));
      });

      it("attendSelected with everything selected equals attendAll, NMSE < 1e-12, for every grouping", async () => {
        const trial = await decodeBatch(headDim, numKvHeads, groupSize);
        const { backend, query, output } = trial;
        backend.attendAll(0, all, query, output);
        const expected = await trial.floats(output);
        for (const groups of new Set([1, numKvHeads, backend.model.numQueryHeads])) {
          const everything = trial.parts.map(({ sequence }) => {
            const positions = Array.from({ length: sequence.length }, (_, t) => t);
            return Array.from({ length: groups }, () => positions);
          });
          backend.write(output, new Float32Array(expected.length).fill(Number.NaN));
          backend.attendSelected(0, all, query, trial.selection(everything, 1003), output);
          const width = backend.model.numQueryHeads * headDim * LENGTHS.length;
          expect(nmse((await trial.floats(output)).slice(0, width), expected.slice(0, width))).toBeLessThan(
            within(1e-12),
          );
        }
      });

      it("attendSelected of random tokens per group, in sets of different sizes, NMSE < 1e-11", async () => {
        const trial = await decodeBatch(headDim, numKvHeads, groupSize);
        const { backend, query, output, random } = trial;
        const heads = backend.model.numQueryHeads;
        for (const groups of new Set([1, numKvHeads, heads])) {
          const positions = trial.parts.map(({ sequence: { length } }) =>
            Array.from({ length: groups }, () => random.subset(length, 1 + random.below(length))),
          );
          // a range that does not start at 0: rows of the selection count from the range's first sequence
          const range = { first: 2, count: LENGTHS.length - 2 };
          const selection = trial.selection(positions.slice(2), 1000);
          backend.attendSelected(0, range, query, selection, output);
          const width = heads * headDim;
          const actual = (await trial.floats(output)).slice(2 * width, LENGTHS.length * width);
          const expected = trial.parts.slice(2).flatMap(({ sequence }, i) =>
            trial.queries[i + 2].flatMap((head, h) => {
              const chosen = positions[i + 2][Math.floor(h / (heads / groups))];
              const keys = trial.keysOf(sequence, 0, h);
              const values = trial.valuesOf(sequence, 0, h);
              return [
                ...attention(
                  head,
                  chosen.map((t) => keys[t]),
                  chosen.map((t) => values[t]),
                ),
              ];
            }),
          );
          expect(nmse(actual, expected)).toBeLessThan(within(1e-11));
        }
      });
    });
  });

  it("attendSelected reads no unselected row: NaN and 1e30 there change nothing, exactly", async () => {
    const shape = { headDim: 10, numKvHeads: 2, numQueryHeads: 6, hiddenSize: 21 };
    const random = new Random(9);
    const rows = Array.from({ length: 100 }, () => random.row(21).fill(0, 0, 1));
    const positions = [...random.subset(99, 30), 99];
    const results: number[][] = [];
    // Channel 0 feeds 1e30 into keys and values; clean rows have 0 there.
    for (const poison of ["none", "huge", "nan"]) {
      const trial = await openTrial(shape, 3);
      const weights = makeInput(trial.backend, new Random(4));
      const withHuge = (at: keyof PairedInput) => {
        const values = Float64Array.from(weights[at]?.plain.values ?? []);
        for (let r = 0; r < 20; r++) values[r * 21] = 1e30;
        return weightOf(trial.backend, [20, 21], values);
      };
      trial.useInputs([{ ...weights, k: withHuge("k"), v: withHuge("v") }]);
      const sequence = trial.newSequence();
      rows.forEach((row, t) => {
        const x = Float64Array.from(row);
        if (!positions.includes(t)) x[0] = poison === "none" ? 0 : poison === "huge" ? 1 : Number.NaN;
        trial.run([{ sequence, rows: [x] }]);
      });
      const selection = trial.selection([[positions]], 64);
      trial.backend.attendSelected(0, { first: 0, count: 1 }, trial.query, selection, trial.output);
      results.push([...(await trial.floats(trial.output)).slice(0, 60)]);
      expect(results[0].every(Number.isFinite)).toBe(true);
    }
    expect(results[1]).toEqual(results[0]);
    expect(results[2]).toEqual(results[0]);
  });

  it("no pass reads a page past the length: NaN of an earlier sequence there changes nothing, NMSE < 1e-11", async () => {
    const trial = (await openTrial({ headDim: 18, maxPages: 12 })).withInputs();
    const { backend, query, output } = trial;
    const before = trial.newSequence();
    trial.run([
      { sequence: before, rows: Array.from({ length: 64 }, () => new Float64Array(30).fill(Number.NaN)) },
    ]);
    backend.updatePageBounds(0, { first: 0, count: 1 });
    trial.end(before);
    const all = { first: 0, count: 2 };
    const parts = [trial.part(trial.newSequence(), 36), trial.part(trial.newSequence(), 2)];
    trial.run(parts);
    backend.updatePageBounds(0, all);
    backend.attendAll(0, all, query, output);
    expect(nmse(await trial.floats(output), attended(trial).flat())).toBeLessThan(within(1e-11));
    trial.run(parts.map(({ sequence }) => trial.part(sequence, 1)));
    backend.updatePageBounds(0, all);
    const [scores, pages] = [newScores(trial, 4), newScores(trial, 4, 16)];
    backend.attendAll(0, all, query, output, scores);
    backend.pageScores(0, all, query, pages);
    expect(nmse(await trial.floats(output), attended(trial).flat())).toBeLessThan(within(1e-11));
    for (const [s, length] of [37, 3].entries()) {
      expect([...(await scoresOf(trial, scores, s, 3, length))].every(Number.isFinite)).toBe(true);
      expect([...(await scoresOf(trial, pages, s, 3, Math.ceil(length / 16)))].every(Number.isFinite)).toBe(
        true,
      );
    }
    const everything = [37, 3].map((length) => [Array.from({ length }, (_, t) => t)]);
    backend.attendSelected(0, all, query, trial.selection(everything, 40), output);
    expect(nmse(await trial.floats(output), attended(trial).flat())).toBeLessThan(within(1e-11));
  });

  it("large logits do not overflow the softmax, NMSE < 1e-9", async () => {
    const trial = await openTrial({ headDim: 8, hiddenSize: 20 });
    const weights = makeInput(trial.backend, trial.random);
    const scaled = weights.q.plain.values.map((value) => value * 300);
    const width = trial.backend.model.numQueryHeads * 8;
    trial.useInputs([{ ...weights, q: weightOf(trial.backend, [width, 20], scaled) }]);
    const sequence = await trial.filled(70);
    trial.run([trial.part(sequence, 2)]);
    trial.backend.attendAll(0, { first: 0, count: 1 }, trial.query, trial.output);
    expect(nmse(await trial.floats(trial.output), attended(trial).flat())).toBeLessThan(within(1e-9));
  });

  describe("page scores", () => {
    async function boundsTrial(): Promise<{
      trial: Trial;
      grow: (rows: number[]) => void;
      all: TrialSequence[];
    }> {
      const trial = await openTrial({
        numLayers: 2,
        headDim: 18,
        numKvHeads: 2,
        numQueryHeads: 6,
        pageSize: 8,
        maxPages: 40,
      });
      trial.withInputs();
      const all = [trial.newSequence(), trial.newSequence(), trial.newSequence()];
      const grow = (rows: number[]) => {
        trial.run(all.map((sequence, s) => trial.part(sequence, rows[s])));
        for (const layer of [0, 1]) trial.backend.updatePageBounds(layer, { first: 0, count: 3 });
      };
      return { trial, grow, all };
    }

    it("equal the bounds of the keys after chunks and decode steps, units of 1 to 3 pages, NMSE < 1e-11", async () => {
      const { trial, grow, all } = await boundsTrial();
      const layer = 1;
      for (const rows of [
        [5, 8, 17],
        [3, 1, 30],
        [1, 2, 5],
        [1, 1, 1],
        [20, 5, 1],
        [1, 1, 1],
        [1, 1, 1],
      ]) {
        grow(rows);
        if (rows.some((count) => count > 1)) continue;
        for (const unit of [8, 16, 24]) {
          const scores = newScores(trial, 6, unit);
          trial.backend.pageScores(layer, { first: 0, count: 3 }, trial.query, scores);
          for (const [s, sequence] of all.entries())
            for (let h = 0; h < 6; h++) {
              const keys = trial.keysOf(sequence, layer, h);
              const numUnits = Math.ceil(sequence.length / unit);
              const expected = Array.from({ length: numUnits }, (_, u) =>
                pageScore(trial.queries[s][h], keys.slice(u * unit, (u + 1) * unit)),
              );
              expect(nmse(await scoresOf(trial, scores, s, h, numUnits), expected)).toBeLessThan(
                within(1e-11),
              );
            }
        }
      }
    });

    it("ignore an earlier sequence's keys on a reused page, NMSE < 1e-11", async () => {
      const { trial, grow, all } = await boundsTrial();
      grow([20, 20, 20]);
      trial.end(all[1]);
      all[1] = trial.newSequence();
      grow([1, 11, 1]);
      grow([1, 1, 1]);
      const scores = newScores(trial, 6, 8);
      trial.backend.pageScores(0, { first: 1, count: 2 }, trial.query, scores);
      // queries are those of layer 1, the last one run; the bounds are of layer 0.
      for (let h = 0; h < 6; h++) {
        const keys = trial.keysOf(all[1], 0, h);
        const expected = [0, 8].map((p) => pageScore(trial.queries[1][h], keys.slice(p, p + 8)));
        expect(nmse(await scoresOf(trial, scores, 0, h, 2), expected)).toBeLessThan(within(1e-11));
      }
    });
  });

  it("randomScores equal hashUnit(seed, layer, length, position) exactly", async () => {
    const trial = (await openTrial({ numLayers: 3 })).withInputs();
    const parts: Part[] = [];
    for (const length of [0, 16, 200]) parts.push(trial.part(await trial.filled(length), 1));
    trial.run(parts);
    const scores = newScores(trial, 1);
    for (const seed of [0, 1, 123456789]) {
      trial.backend.randomScores(2, { first: 1, count: 2 }, seed, scores);
      for (const [row, length] of [17, 201].entries())
        expect([...(await scoresOf(trial, scores, row, 0, length))]).toEqual(
          Array.from({ length }, (_, t) => hashUnit(seed, 2, length, t)),
        );
    }
  });
});
