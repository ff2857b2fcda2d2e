/**
 * Every op of the backend interface, on every backend, against brute force in f64. Bounds are
 * some 40 times what plain f32 sums in sequence measure (at most 2.4e-13).
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, Scores } from "../../src/backend/backend.ts";
import type { WeightDtype } from "../../src/base/dtype.ts";
import { ShapeError } from "../../src/base/errors.ts";
import { hashUnit } from "../../src/base/random.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { allowedNmse, BACKENDS } from "./backend-table.ts";
import { attention, headScores, matvec, pageScore, rmsNorm, silu } from "./brute-force.ts";
import {
  makeInput,
  makeWeight,
  nmse,
  type PairedInput,
  type Part,
  Random,
  Trial,
  type TrialSequence,
  weightOf,
} from "./trial.ts";

interface ModelCase {
  readonly name: string;
  readonly sizes: Partial<Sizes>;
  readonly dtype: WeightDtype;
  readonly bias: boolean;
  readonly headNorm: boolean;
}

function modelCase(
  dims: readonly [headDim: number, kvHeads: number, groupSize: number],
  widths: readonly [hiddenSize: number, intermediateSize: number, vocabSize: number],
  dtype: WeightDtype,
  options: { readonly bias?: boolean; readonly headNorm?: boolean } = {},
): ModelCase {
  const [headDim, numKvHeads, groupSize] = dims;
  const [hiddenSize, intermediateSize, vocabSize] = widths;
  const { bias = false, headNorm = false } = options;
  const name =
    `headDim ${headDim}, ${numKvHeads} kv heads × ${groupSize}, hidden ${hiddenSize}, ${dtype}` +
    `${bias ? ", bias" : ""}${headNorm ? ", q/k norm" : ""}`;
  const numQueryHeads = numKvHeads * groupSize;
  const sizes = { headDim, numKvHeads, numQueryHeads, hiddenSize, intermediateSize, vocabSize };
  return { name, sizes, dtype, bias, headNorm };
}

const MODELS: readonly ModelCase[] = [
  modelCase([2, 3, 1], [7, 13, 19], "f32"),
  modelCase([6, 2, 2], [30, 45, 51], "f16", { headNorm: true }),
  modelCase([18, 1, 8], [37, 70, 101], "bf16", { bias: true, headNorm: true }),
  modelCase([24, 2, 3], [50, 66, 97], "f32", { bias: true }),
  modelCase([64, 2, 4], [130, 200, 203], "bf16", { headNorm: true }),
  modelCase([128, 1, 5], [96, 129, 64], "f16", { bias: true }),
  modelCase([64, 2, 1], [256, 320, 300], "f32", { headNorm: true }),
];

/** "few": nothing aligned, and heads of 128; "some": f32 weights in whole rows besides. */
const MODELS_OF = {
  all: MODELS,
  some: [MODELS[2], MODELS[5], MODELS[6]],
  few: [MODELS[2], MODELS[5]],
} as const;

describe.each(BACKENDS)("$name", ({ open, cases, cacheDtype }) => {
  const within = (bound: number) => allowedNmse(bound, cacheDtype);
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openTrial(sizes: Partial<Sizes>, seed = 1): Promise<Trial> {
    const backend = await open(...sizesOf(sizes));
    opened.push(backend);
    return new Trial(backend, seed, cacheDtype);
  }

  /** Decode steps and chunks of 2, 3, 5 and 33 rows in one batch, all but two with earlier context. */
  async function mixedBatch(trial: Trial): Promise<Part[]> {
    const cached = [20, 15, 0, 47, 31, 0, 16];
    const rows = [1, 2, 3, 5, 33, 1, 1];
    const parts: Part[] = [];
    for (const [s, length] of cached.entries()) parts.push(trial.part(await trial.filled(length), rows[s]));
    return parts;
  }

  /** attendAll by brute force: [row][query head × headDim]. */
  function attended(trial: Trial, layer = 0): number[][] {
    return trial.parts.flatMap(({ sequence, rows }, s) =>
      rows.map((_, i) => {
        const visible = sequence.length - rows.length + i + 1;
        return trial.queries[trial.batch.firstRows[s] + i].flatMap((query, h) => [
          ...attention(
            query,
            trial.keysOf(sequence, layer, h).slice(0, visible),
            trial.valuesOf(sequence, layer, h).slice(0, visible),
          ),
        ]);
      }),
    );
  }

  function newScores(trial: Trial, heads: number, unit = 1): Scores {
    const { maxBatchSequences, maxSequenceLength } = trial.backend.capacity;
    const capacity = Math.ceil(maxSequenceLength / unit) + 3;
    return { values: trial.tensor("f32", maxBatchSequences, heads, capacity), heads, unit };
  }

  /** The valid scores of one sequence row and head. */
  async function scoresOf(trial: Trial, scores: Scores, row: number, head: number, units: number) {
    const values = await trial.floats(scores.values);
    const start = (row * scores.heads + head) * scores.values.shape[2];
    return values.slice(start, start + units);
  }

  describe.each(
    MODELS_OF[cases ?? "all"].map((model) => [model.name, model] as const),
  )("a layer of %s", (_, model) => {
    const { dtype, bias, headNorm } = model;

    it("embed returns the rows exactly", async () => {
      const trial = await openTrial(model.sizes);
      const { vocabSize, hiddenSize } = trial.backend.model;
      const table = makeWeight(
        trial.backend,
        matrixSpec("embedding", dtype, [vocabSize, hiddenSize]),
        trial.random,
      );
      trial.begin([trial.part(trial.newSequence(), 5), trial.part(trial.newSequence(), 1)]);
      trial.backend.embed(table.ref, trial.x);
      const x = await trial.floats(trial.x);
      for (let row = 0; row < 6; row++) {
        const id = trial.batch.tokenIds[row];
        const expected = table.plain.values.slice(id * hiddenSize, (id + 1) * hiddenSize);
        expect([...x.subarray(row * hiddenSize, (row + 1) * hiddenSize)]).toEqual([...expected]);
      }
    });

    it("attentionInput and attendAll, decode and chunks mixed, NMSE < 1e-11", async () => {
      const trial = (await openTrial(model.sizes)).withInputs({ dtype, bias, headNorm });
      trial.run(await mixedBatch(trial));
      const query = await trial.floats(trial.query);
      expect(
        nmse(
          query,
          trial.queries.flatMap((heads) => heads.flatMap((head) => [...head])),
        ),
      ).toBeLessThan(within(1e-11));
      trial.backend.attendAll(0, { first: 0, count: trial.parts.length }, trial.query, trial.output);
      expect(nmse(await trial.floats(trial.output), attended(trial).flat())).toBeLessThan(within(1e-11));
    });

    it("attentionInput and attendAll of 1, 3 and 8 decode rows, NMSE < 1e-11", async () => {
      const trial = (await openTrial(model.sizes)).withInputs({ dtype, bias, headNorm });
      for (const rows of [1, 3, 8]) {
        const parts: Part[] = [];
        for (let s = 0; s < rows; s++) parts.push(trial.part(await trial.filled(s), 1));
        trial.run(parts);
        const width = trial.backend.model.numQueryHeads * trial.backend.model.headDim;
        const query = (await trial.floats(trial.query)).slice(0, rows * width);
        expect(
          nmse(
            query,
            trial.queries.flatMap((heads) => heads.flatMap((head) => [...head])),
          ),
        ).toBeLessThan(within(1e-11));
        trial.backend.attendAll(0, { first: 0, count: rows }, trial.query, trial.output);
        const output = (await trial.floats(trial.output)).slice(0, rows * width);
        expect(nmse(output, attended(trial).flat())).toBeLessThan(within(1e-11));
      }
    });

    it("attentionOutput adds o(attended), NMSE < 1e-11", async () => {
      const trial = await openTrial(model.sizes);
      const { hiddenSize, numQueryHeads, headDim } = trial.backend.model;
      const width = numQueryHeads * headDim;
      const o = makeWeight(trial.backend, matrixSpec("o", dtype, [hiddenSize, width]), trial.random);
      const oBias = bias
        ? makeWeight(trial.backend, vectorSpec("o.bias", dtype, hiddenSize), trial.random)
        : undefined;
      for (const rows of [1, 2, 3, 5, 33]) {
        const part = trial.part(trial.newSequence(), rows);
        trial.begin([part]);
        const input = Array.from({ length: rows }, () => trial.random.row(width));
        trial.backend.write(trial.output, Float32Array.from(input.flatMap((row) => [...row])));
        trial.backend.attentionOutput(
          { o: o.ref, ...(oBias && { oBias: oBias.ref }) },
          trial.output,
          trial.x,
        );
        const expected = part.rows.flatMap((x, i) =>
          [...matvec(o.plain, input[i], oBias?.plain)].map((value, c) => value + x[c]),
        );
        expect(nmse(await trial.floats(trial.x), expected)).toBeLessThan(within(1e-11));
      }
    });

    it("feedForward and logits, NMSE < 1e-11", async () => {
      const trial = await openTrial(model.sizes);
      const { hiddenSize, intermediateSize, vocabSize, rmsNormEps } = trial.backend.model;
      const make = (name: string, rows: number, cols: number) =>
        makeWeight(trial.backend, matrixSpec(name, dtype, [rows, cols]), trial.random);
      const norm = makeWeight(trial.backend, vectorSpec("norm", dtype, hiddenSize), trial.random);
      const gate = make("gate", intermediateSize, hiddenSize);
      const up = make("up", intermediateSize, hiddenSize);
      const down = make("down", hiddenSize, intermediateSize);
      const head = make("head", vocabSize, hiddenSize);
      const logits = trial.tensor("f32", trial.backend.capacity.maxBatchSequences, vocabSize);
      for (const rows of [1, 2, 3, 5, 33]) {
        const part = trial.part(trial.newSequence(), rows);
        trial.begin([part]);
        const weights = { norm: norm.ref, gate: gate.ref, up: up.ref, down: down.ref };
        trial.backend.feedForward(weights, trial.x);
        const after = part.rows.map((x) => {
          const normed = rmsNorm(x, norm.plain.values, rmsNormEps);
          const lifted = matvec(up.plain, normed);
          const inner = matvec(gate.plain, normed).map((g, i) => silu(g) * lifted[i]);
          return matvec(down.plain, inner).map((value, c) => value + x[c]);
        });
        expect(
          nmse(
            await trial.floats(trial.x),
            after.flatMap((row) => [...row]),
          ),
        ).toBeLessThan(within(1e-11));
        // Out of order and repeated rows; the array is the caller's and may be written to at once.
        const wanted = Uint32Array.from([rows - 1, 0, Math.floor(rows / 2), 99]);
        trial.backend.logits(norm.ref, head.ref, trial.x, wanted, 3, logits);
        wanted.fill(0);
        const expected = [rows - 1, 0, Math.floor(rows / 2)].flatMap((row) => [
          ...matvec(head.plain, rmsNorm(after[row], norm.plain.values, rmsNormEps)),
        ]);
        expect(nmse(await trial.floats(logits), expected)).toBeLessThan(within(1e-11));
      }
    });
  });

  describe("weights", () => {
    it.each([
      "f32",
      "f16",
      "bf16",
    ] as const)("%s written in slices equal those written at once, exactly", async (dtype) => {
      const trial = await openTrial({ vocabSize: 51, hiddenSize: 30 });
      const { backend } = trial;
      const whole = makeWeight(backend, matrixSpec("whole", dtype, [51, 30]), trial.random);
      const sliced = backend.createWeight(matrixSpec("sliced", dtype, [51, 30]));
      const rowBytes = whole.bytes.length / 51;
      // out of order, at odd addresses, with the buffer reused after each write
      for (const [first, end] of [
        [40, 51],
        [0, 8],
        [16, 40],
        [8, 16],
      ]) {
        const bytes = new Uint8Array((end - first) * rowBytes + 1).subarray(1);
        bytes.set(whole.bytes.subarray(first * rowBytes, end * rowBytes));
        backend.writeWeight(sliced, first, bytes);
        bytes.fill(0);
      }
      trial.begin([trial.part(trial.newSequence(), 3)]);
      const norm = makeWeight(backend, vectorSpec("norm", "f32", 30), trial.random);
      const results: number[][] = [];
      for (const ref of [whole.ref, sliced]) {
        const logits = trial.tensor("f32", 3, 51);
        backend.logits(norm.ref, ref, trial.x, Uint32Array.from([0, 1, 2]), 3, logits);
        results.push([...(await trial.floats(logits))]);
      }
      expect(results[1]).toEqual(results[0]);
    });

    it.each([
      "f32",
      "f16",
      "bf16",
    ] as const)("a %s matrix of one row is a matrix: embedded exactly, multiplied with NMSE < 1e-11", async (dtype) => {
      const trial = await openTrial({ vocabSize: 1, hiddenSize: 32 });
      const { backend, random, x } = trial;
      const row = makeWeight(backend, matrixSpec("one row", dtype, [1, 32]), random);
      const norm = makeWeight(backend, vectorSpec("norm", "f32", 32), random);
      trial.begin([trial.part(trial.newSequence(), 2)]);
      backend.embed(row.ref, x);
      const { values } = row.plain;
      expect((await trial.floats(x)).slice(0, 64)).toEqual(Float32Array.of(...values, ...values));
      const logits = trial.tensor("f32", 2, 1);
      backend.logits(norm.ref, row.ref, x, Uint32Array.of(1, 0), 2, logits);
      const [logit = Number.NaN] = matvec(
        row.plain,
        rmsNorm(values, norm.plain.values, backend.model.rmsNormEps),
      );
      expect(nmse(await trial.floats(logits), [logit, logit])).toBeLessThan(1e-11);
    });

    it("a vector in a matrix's place is a ShapeError, and a matrix in a vector's", async () => {
      const trial = await openTrial({ vocabSize: 1, hiddenSize: 32 });
      const { backend, random, x } = trial;
      const matrix = makeWeight(backend, matrixSpec("a matrix", "f32", [1, 32]), random).ref;
      const vector = makeWeight(backend, vectorSpec("a vector", "f32", 32), random).ref;
      const logits = trial.tensor("f32", 1, 1);
      trial.begin([trial.part(trial.newSequence(), 1)]);
      expect(() => backend.embed(vector, x)).toThrow(ShapeError);
      for (const [norm, output] of [
        [vector, vector],
        [matrix, matrix],
      ])
        expect(() => backend.logits(norm, output, x, Uint32Array.of(0), 1, logits)).toThrow(ShapeError);
    });
  });

  describe("batches", () => {
    it("ranges write only their own rows and equal the whole batch, exactly", async () => {
      const trial = (await openTrial({ numLayers: 2 })).withInputs();
      trial.run(await mixedBatch(trial));
      const { backend, query } = trial;
      const width = backend.model.numQueryHeads * backend.model.headDim;
      backend.attendAll(1, { first: 0, count: 7 }, query, trial.output);
      const whole = await trial.floats(trial.output);
      const poison = new Float32Array(whole.length).fill(7);
      backend.write(trial.output, poison);
      backend.attendAll(1, { first: 2, count: 3 }, query, trial.output);
      const part = await trial.floats(trial.output);
      const from = trial.batch.firstRows[2] * width;
      const to = trial.batch.firstRows[5] * width;
      expect([...part.subarray(from, to)]).toEqual([...whole.subarray(from, to)]);
      expect([...part.subarray(0, from)].every((value) => value === 7)).toBe(true);
      expect([...part.subarray(to)].every((value) => value === 7)).toBe(true);
    });

    it("beginStep copies its arrays: the caller may change them at once", async () => {
      const trial = (await openTrial({})).withInputs();
      const sequence = await trial.filled(40);
      trial.begin([trial.part(sequence, 3)]);
      const { tokenIds, slots, rope, firstRows, rowCounts, lengths, pageTables } = trial.batch;
      const kept = rope.slice();
      for (const array of [tokenIds, slots, rope, firstRows, rowCounts, lengths, pageTables]) array.fill(0);
      const { numRows, numSequences } = trial.batch;
      trial.batch.numRows = 0;
      trial.batch.numSequences = 0;
      const weights = makeInput(trial.backend, new Random(5));
      trial.useInputs([weights]);
      // Brute force reads the batch's RoPE rows too, so they come back for it, after the backend's call.
      const call = trial.backend.attentionInput.bind(trial.backend);
      trial.backend.attentionInput = (...args) => {
        call(...args);
        rope.set(kept);
      };
      trial.attentionInput(0);
      expect([numRows, numSequences]).toEqual([3, 1]);
      trial.backend.attendAll(0, { first: 0, count: 1 }, trial.query, trial.output);
      expect(nmse(await trial.floats(trial.output), attended(trial).flat())).toBeLessThan(within(1e-11));
    });

    it("a chunked prefill equals one prefill, NMSE < 1e-12", async () => {
      const trial = (await openTrial({})).withInputs({ headNorm: true });
      const whole = trial.part(trial.newSequence(), 43);
      trial.run([whole]);
      trial.backend.attendAll(0, { first: 0, count: 1 }, trial.query, trial.output);
      const width = trial.backend.model.numQueryHeads * trial.backend.model.headDim;
      const expected = (await trial.floats(trial.output)).slice(0, 43 * width);
      const sequence = trial.newSequence();
      const actual: number[] = [];
      for (const [from, to] of [
        [0, 1],
        [1, 3],
        [3, 6],
        [6, 11],
        [11, 43],
      ]) {
        trial.run([{ sequence, rows: whole.rows.slice(from, to) }]);
        trial.backend.attendAll(0, { first: 0, count: 1 }, trial.query, trial.output);
        actual.push(...(await trial.floats(trial.output)).slice(0, (to - from) * width));
      }
      expect(nmse(actual, expected)).toBeLessThan(within(1e-12));
    });
  });

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

      it("attendSelected of random tokens per group, NMSE < 1e-11", async () => {
        const trial = await decodeBatch(headDim, numKvHeads, groupSize);
        const { backend, query, output, random } = trial;
        const heads = backend.model.numQueryHeads;
        for (const groups of new Set([1, numKvHeads, heads])) {
          const positions = trial.parts.map(({ sequence: { length } }) => {
            const count = 1 + random.below(length);
            return Array.from({ length: groups }, () => random.subset(length, count));
          });
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

  describe("tensors and lifetime", () => {
    it("tensors start zeroed; writes start at index 0 and refuse data that is too long", async () => {
      const trial = await openTrial({});
      const { backend } = trial;
      const floats = backend.createTensor("f32", [3, 5]);
      const integers = backend.createTensor("u32", [2, 2, 2]);
      expect([...(await trial.floats(floats))]).toEqual(new Array(15).fill(0));
      expect([...(await trial.integers(integers))]).toEqual(new Array(8).fill(0));
      backend.write(floats, Float32Array.from([1.5, -2]));
      backend.write(integers, Uint32Array.from([0xffffffff, 7]));
      expect([...(await trial.floats(floats))].slice(0, 3)).toEqual([1.5, -2, 0]);
      expect([...(await trial.integers(integers))].slice(0, 3)).toEqual([0xffffffff, 7, 0]);
      expect(() => backend.write(floats, new Float32Array(16))).toThrow(ShapeError);
      expect(floats).toMatchObject({ dtype: "f32", shape: [3, 5] });
    });

    it("read returns a copy", async () => {
      const trial = await openTrial({});
      const tensor = trial.backend.createTensor("f32", [4]);
      const before = await trial.floats(tensor);
      trial.backend.write(tensor, Float32Array.from([1, 2, 3, 4]));
      expect([...before]).toEqual([0, 0, 0, 0]);
    });

    it("reports threads and bytes, and may be closed twice", async () => {
      const [model, capacity] = sizesOf();
      const backend = await open(model, capacity);
      makeWeight(backend, matrixSpec("w", "bf16", [16, 32]), new Random(1));
      const report = backend.report();
      expect(backend.model).toEqual(model);
      expect(backend.capacity).toEqual(capacity);
      expect(report.threads).toBeGreaterThanOrEqual(1);
      expect(report.weightBytes).toBeGreaterThanOrEqual(16 * 32 * 2);
      expect(report.kvCacheBytes).toBeGreaterThanOrEqual(2 * 64 * 16 * 2 * 6 * 2);
      expect(report.description).not.toBe("");
      await backend.close();
      await backend.close();
    });
  });
});
