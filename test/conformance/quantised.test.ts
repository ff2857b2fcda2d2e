/**
 * Products with quantised weights against brute force with the values of the format. Backends may round activations, nothing
 * else: to int16 with a scale for 32 columns at the coarsest, which measures an NMSE of 2e-10 a product and 1e-9 in a layer.
 */
import { describe, expect, it } from "vitest";
import { ModelFileError, ShapeError } from "../../src/base/errors.ts";
import type { WeightFormat } from "../../src/base/weight-format.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { attended } from "./attention-trial.ts";
import { BACKENDS } from "./backend-table.ts";
import { matvec, rmsNorm, silu } from "./brute-force.ts";
import { trialsOf } from "./open-trials.ts";
import { makeInput, makeWeight, nmse, type PairedWeight } from "./random-weights.ts";
import type { Trial } from "./trial.ts";

const FORMATS = ["q8_0", "q4_0", "q4_1", "q5_1", "q4_k", "q5_k", "q6_k"] as const;
/** Rows of a step on either side of where backends change from products of one row to products of many. */
const ROW_COUNTS = [1, 7, 8, 18];
/** Rows that fill no group of 8, 16 or 32, and columns of one and of several blocks. */
const SHAPES: readonly (readonly [rows: number, cols: number])[] = [
  [5, 256],
  [19, 256],
  [67, 1024],
];
const SHAPES_OF_32: readonly (readonly [rows: number, cols: number])[] = [
  [9, 32],
  [51, 96],
  [24, 1120],
];

/** Caches that round have suites of their own. */
const rows = BACKENDS.filter(
  ({ name, cacheDtype = "f32" }) => !name.startsWith("webgpu") && cacheDtype === "f32",
);

describe.each(rows)("$name", (row) => {
  const openTrial = trialsOf(row);

  describe.each(FORMATS)("%s", (format) => {
    const shapes = format.endsWith("_k") ? SHAPES : [...SHAPES, ...SHAPES_OF_32];

    it.each(
      shapes,
    )("%i rows of %i columns: embedded exactly, multiplied with NMSE < 1e-8", async (size, cols) => {
      const trial = await openTrial({ vocabSize: size, hiddenSize: cols, headDim: 32 });
      const { backend, random } = trial;
      const matrix = makeWeight(backend, matrixSpec("matrix", format, [size, cols]), random);
      const norm = makeWeight(backend, vectorSpec("norm", format, cols), random);
      const logits = trial.tensor("f32", backend.capacity.maxBatchRows, size);
      for (const count of ROW_COUNTS) {
        const part = trial.part(trial.newSequence(), count);
        trial.begin([part]);
        backend.logits(
          norm.ref,
          matrix.ref,
          trial.x,
          Uint32Array.from({ length: count }, (_, i) => i),
          count,
          logits,
        );
        const expected = part.rows.flatMap((x) => [
          ...matvec(matrix.plain, rmsNorm(x, norm.plain.values, backend.model.rmsNormEps)),
        ]);
        const actual = (await trial.floats(logits)).slice(0, count * size);
        expect(nmse(actual, expected)).toBeLessThan(1e-8);
        backend.embed(matrix.ref, trial.x);
        const x = await trial.floats(trial.x);
        for (let i = 0; i < count; i++) {
          const id = trial.batch.tokenIds[i];
          expect(x.slice(i * cols, (i + 1) * cols)).toEqual(
            Float32Array.from(matrix.plain.values.subarray(id * cols, (id + 1) * cols)),
          );
        }
      }
    });

    it("written in slices equals written at once, exactly", async () => {
      const trial = await openTrial({ vocabSize: 51, hiddenSize: 256, headDim: 32 });
      const { backend } = trial;
      const whole = makeWeight(backend, matrixSpec("whole", format, [51, 256]), trial.random);
      const sliced = backend.createWeight(matrixSpec("sliced", format, [51, 256]));
      const rowBytes = whole.bytes.length / 51;
      for (const [first, end] of [
        [40, 51],
        [8, 16],
        [16, 24],
        [24, 40],
        [0, 8],
      ] as const)
        backend.writeWeight(sliced, first, whole.bytes.slice(first * rowBytes, end * rowBytes));
      trial.begin([trial.part(trial.newSequence(), 3)]);
      const norm = makeWeight(backend, vectorSpec("norm", "f32", 256), trial.random);
      const results: number[][] = [];
      for (const ref of [whole.ref, sliced]) {
        const logits = trial.tensor("f32", 3, 51);
        backend.logits(norm.ref, ref, trial.x, Uint32Array.of(0, 1, 2), 3, logits);
        results.push([...(await trial.floats(logits))]);
      }
      expect(results[1]).toEqual(results[0]);
    });
  });

  /** Weights of one layer, each in the next of the formats from `from` on: jobs of two and three weights mix formats. */
  function layerOf(trial: Trial, from: number) {
    const { backend, random } = trial;
    const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim } = backend.model;
    const formats: readonly WeightFormat[] = [...FORMATS, "f16", "bf16", "f32"];
    let next = from;
    const make = (name: string, size: number, cols: number): PairedWeight =>
      makeWeight(backend, matrixSpec(name, formats[next++ % formats.length] ?? "f32", [size, cols]), random);
    const [q, kv] = [numQueryHeads * headDim, numKvHeads * headDim];
    return {
      input: {
        ...makeInput(backend, random, { bias: true, headNorm: true }),
        q: make("q", q, hiddenSize),
        k: make("k", kv, hiddenSize),
        v: make("v", kv, hiddenSize),
      },
      o: make("o", hiddenSize, q),
      gate: make("gate", intermediateSize, hiddenSize),
      up: make("up", intermediateSize, hiddenSize),
      down: make("down", hiddenSize, intermediateSize),
      norm: makeWeight(backend, vectorSpec("norm", "f32", hiddenSize), random),
    };
  }

  it.each([0, 3, 6, 8])("a layer of mixed formats, from the %ith on, NMSE < 1e-8", async (from) => {
    const sizes = { hiddenSize: 256, intermediateSize: 768, headDim: 32, numQueryHeads: 8, numKvHeads: 2 };
    const trial = await openTrial({ ...sizes, numLayers: 1 });
    const { backend } = trial;
    const layer = layerOf(trial, from);
    trial.useInputs([layer.input]);
    for (const count of ROW_COUNTS) {
      const part = trial.part(trial.newSequence(), count);
      trial.run([part]);
      const queries = trial.queries.flatMap((heads) => heads.flatMap((head) => [...head]));
      expect(nmse((await trial.floats(trial.query)).slice(0, queries.length), queries)).toBeLessThan(1e-8);
      backend.attendAll(0, { first: 0, count: 1 }, trial.query, trial.output);
      const heads = attended(trial).flat();
      expect(nmse((await trial.floats(trial.output)).slice(0, heads.length), heads)).toBeLessThan(1e-8);
      const input = Array.from({ length: count }, () => trial.random.row(256));
      backend.write(trial.output, Float32Array.from(input.flatMap((values) => [...values])));
      backend.attentionOutput({ o: layer.o.ref }, trial.output, trial.x);
      const { norm, gate, up, down } = layer;
      backend.feedForward(
        { kind: "dense", norm: norm.ref, gate: gate.ref, up: up.ref, down: down.ref },
        trial.x,
      );
      const expected = part.rows.flatMap((x, i) => {
        const middle = matvec(layer.o.plain, input[i] ?? x).map((value, c) => value + (x[c] ?? 0));
        const normed = rmsNorm(middle, norm.plain.values, backend.model.rmsNormEps);
        const lifted = matvec(up.plain, normed);
        const inner = matvec(gate.plain, normed).map((g, c) => silu(g) * (lifted[c] ?? 0));
        return [...matvec(down.plain, inner).map((value, c) => value + (middle[c] ?? 0))];
      });
      expect(nmse((await trial.floats(trial.x)).slice(0, expected.length), expected)).toBeLessThan(1e-8);
    }
  });
});

describe("on WASM", () => {
  const wasm = rows.filter(({ name }) => name.startsWith("wasm"));
  it.each(wasm)("$name: NaN and Inf in x come out as NaN, in no other row", async (row) => {
    const openTrial = trialsOf(row);
    const trial = await openTrial({ hiddenSize: 256, vocabSize: 24, headDim: 32 });
    const { backend, random } = trial;
    const norm = makeWeight(backend, vectorSpec("norm", "f32", 256), random);
    for (const format of FORMATS) {
      const matrix = makeWeight(backend, matrixSpec("matrix", format, [24, 256]), random);
      for (const count of [3, 9]) {
        const part = trial.part(trial.newSequence(), count);
        const [first, second] = part.rows;
        first?.fill(Number.NaN, 40, 41);
        second?.fill(Number.POSITIVE_INFINITY, 255);
        trial.begin([part]);
        const logits = trial.tensor("f32", count, 24);
        backend.logits(
          norm.ref,
          matrix.ref,
          trial.x,
          Uint32Array.from({ length: count }, (_, i) => i),
          count,
          logits,
        );
        const out = await trial.floats(logits);
        expect(out.subarray(0, 48).every(Number.isNaN)).toBe(true);
        expect(out.subarray(48, count * 24).every(Number.isFinite)).toBe(true);
      }
    }
  });

  it.each(wasm)("$name: report() counts packed bytes, whole row groups of each format", async (row) => {
    const openTrial = trialsOf(row);
    const { backend } = await openTrial({});
    const perWeight = {
      q8_0: 1.0625,
      q4_0: 0.5625,
      q4_1: 0.625,
      q5_1: 0.75,
      q4_k: 0.59375,
      q5_k: 0.71875,
      q6_k: 0.828125,
    };
    for (const format of FORMATS) {
      const before = backend.report().weightBytes;
      backend.createWeight(matrixSpec("whole groups", format, [48, 512]));
      const whole = backend.report().weightBytes - before;
      expect(whole).toBe(perWeight[format] * 48 * 512);
      backend.createWeight(matrixSpec("a row more", format, [33, 512]));
      expect(backend.report().weightBytes - before - whole).toBe(
        perWeight[format] * (perWeight[format] < 0.7 ? 48 : 40) * 512,
      );
    }
  });

  it.each(wasm)("$name: a row that is no whole blocks is a ShapeError that says the block", async (row) => {
    const openTrial = trialsOf(row);
    const { backend } = await openTrial({});
    for (const format of FORMATS) {
      expect(() => backend.createWeight(matrixSpec("odd", format, [8, 40]))).toThrow(ShapeError);
      expect(() => backend.createWeight(matrixSpec("odd", format, [8, 40]))).toThrow("not whole blocks");
    }
  });

  it.each(
    wasm,
  )("$name: a scale of Inf or NaN is a ModelFileError that names the weight and the rows", async (row) => {
    const openTrial = trialsOf(row);
    const { backend, random } = await openTrial({});
    for (const [format, at] of [
      ["q8_0", 0],
      ["q4_1", 2],
      ["q5_k", 2],
      ["q6_k", 208],
    ] as const) {
      const { bytes } = makeWeight(backend, matrixSpec("sound", format, [24, 256]), random);
      new DataView(bytes.buffer).setUint16((bytes.length / 24) * 9 + at, 0x7c00, true);
      const ref = backend.createWeight(matrixSpec("blk.0.down", format, [24, 256]));
      expect(() => backend.writeWeight(ref, 0, bytes)).toThrow(ModelFileError);
      expect(() => backend.writeWeight(ref, 0, bytes)).toThrow(/blk\.0\.down.*rows 0 to 23/);
    }
  });
});
