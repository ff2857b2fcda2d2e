/**
 * Every op of the backend interface, on every backend, against brute force in f64. Bounds are
 * some 40 times what plain f32 sums in sequence measure (at most 2.4e-13).
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { ShapeError } from "../../src/base/errors.ts";
import type { WeightFormat } from "../../src/base/weight-format.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { attended } from "./attention-trial.ts";
import { BACKENDS_AND_ROUNDED } from "./backend-table.ts";
import { matvec, rmsNorm, silu } from "./brute-force.ts";
import { makeInput, makeWeight, nmse, Random } from "./random-weights.ts";
import { type Part, Trial } from "./trial.ts";

interface ModelCase {
  readonly name: string;
  readonly sizes: Partial<Sizes>;
  readonly dtype: WeightFormat;
  readonly bias: boolean;
  readonly headNorm: boolean;
}

function modelCase(
  dims: readonly [headDim: number, kvHeads: number, groupSize: number],
  widths: readonly [hiddenSize: number, intermediateSize: number, vocabSize: number],
  dtype: WeightFormat,
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

describe.each(BACKENDS_AND_ROUNDED)("$name", ({ open, cases, cacheDtype }) => {
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
        const weights = {
          kind: "dense" as const,
          norm: norm.ref,
          gate: gate.ref,
          up: up.ref,
          down: down.ref,
        };
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
