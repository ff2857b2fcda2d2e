import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { place } from "../../../test/place/here.ts";
import { decoded, randomBlocks } from "../../../test/random-blocks.ts";
import { sizesOf } from "../../../test/sizes.ts";
import { matrixSpec, vectorSpec } from "../../../test/weight-specs.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";
import { withAllPages } from "../with-all-pages.ts";
import { wasmFactory } from "./open-wasm.ts";
import { DEFAULT_TUNING, TUNABLES, TUNING_NAMES, type Tuning } from "./tuning.ts";
import { WasmBackend } from "./wasm-backend.ts";

/** Tunings to test: each value alone at both ends of its range and between, then all together. */
const VARIANTS: readonly Partial<Tuning>[] = [
  ...TUNING_NAMES.flatMap((name) => {
    const { least, most } = TUNABLES[name];
    const between = [1, 1024, 8192, 65536].filter((value) => value > least && value < most);
    return [least, ...between, most].map((value) => ({ [name]: value }));
  }),
  ...(["least", "most"] as const).map((end) =>
    Object.fromEntries(TUNING_NAMES.map((name) => [name, TUNABLES[name][end]])),
  ),
];

const LENGTH = 700;
const DTYPES = ["f32", "bf16", "f16"] as const;
const QUANTISED = ["q8_0", "q4_0", "q4_1", "q5_1", "q4_k", "q5_k", "q6_k"] as const;
const BUILDS = [1, 2].flatMap((threads) => (["simd", "relaxed"] as const).map((simd) => ({ threads, simd })));

interface Heads {
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
}

async function open(
  heads: Heads,
  build: (typeof BUILDS)[number],
  cacheDtype: CpuCacheDtype = "f32",
): Promise<WasmBackend> {
  const sizes = sizesOf({
    ...{
      numLayers: 1,
      hiddenSize: 600,
      intermediateSize: 3000,
      vocabSize: 8,
      rmsNormEps: 1e-6,
      pageSize: 16,
    },
    ...{ maxPages: 48, maxSequenceLength: 768, maxBatchRows: 40, maxBatchSequences: 1, ...heads },
  });
  const open = withAllPages(wasmFactory(place.createWasmHost(), { ...build, cacheDtype, tuning: "default" }));
  const backend = await open(...sizes);
  if (!(backend instanceof WasmBackend)) throw new TypeError("the wasm backend is of another class");
  return backend;
}

function draws(seed: number): () => number {
  let state = seed | 1;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24 - 0.5;
  };
}

/** Draws values as bits of a dtype. bf16: truncated; f16: any finite bits, including subnormals and the maximum. */
function weightBytes(dtype: (typeof DTYPES)[number], count: number): Uint8Array {
  const next = draws(count);
  if (dtype === "f32") return new Uint8Array(Float32Array.from({ length: count }, next).buffer);
  const words = Uint16Array.from({ length: count }, () => {
    const bits = new Uint32Array(Float32Array.of(next()).buffer)[0] ?? 0;
    if (dtype === "bf16") return bits >>> 16;
    const any = bits & 0x83ff;
    return any | (((bits >>> 5) % 31) << 10);
  });
  return new Uint8Array(words.buffer);
}

/** Decodes each weight by the definition of its dtype. */
function weightValues(dtype: (typeof DTYPES)[number], bytes: Uint8Array): Float64Array {
  if (dtype === "f32") return Float64Array.from(new Float32Array(bytes.buffer));
  const words = new Uint16Array(bytes.buffer);
  if (dtype === "bf16")
    return Float64Array.from(words, (word) => new Float32Array(Uint32Array.of(word << 16).buffer)[0] ?? 0);
  return Float64Array.from(words, (word) => {
    const exponent = (word >> 10) & 31;
    const fraction = (word & 0x3ff) / 1024;
    const size = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
    return word & 0x8000 ? -size : size;
  });
}

describe.each(BUILDS)("on $threads threads, $simd", (build) => {
  let backend: WasmBackend;
  beforeAll(async () => {
    backend = await open({ numQueryHeads: 2, numKvHeads: 1, headDim: 4 }, build);
  });
  afterAll(() => backend.close());

  it.each(
    QUANTISED,
  )("products with %s weights are correct and have the same bits under every tuning", (format) => {
    const next = draws(7);
    const x = backend.createTensor("f32", [40 * 1100]);
    const out = backend.createTensor("f32", [40 * 515]);
    const given = Float32Array.from({ length: 40 * 1100 }, next);
    backend.write(x, given);
    for (const [rows, cols] of [
      [515, 512],
      [9, 1024],
    ] as const) {
      const bytes = randomBlocks(format, rows * cols, (n) => Math.floor((next() + 0.5) * n));
      const weight = backend.createWeight(matrixSpec("w", format, [rows, cols]));
      backend.writeWeight(weight, 0, bytes);
      for (const count of [1, 3, 9]) {
        const product = () => multiply(backend, weight, x, count, out).slice(0, rows * count);
        backend.tune(DEFAULT_TUNING);
        const expected = product();
        expectProduct(expected, Float64Array.from(decoded(format, bytes)), given, { rows, cols, count });
        for (const variant of VARIANTS) {
          backend.tune({ ...DEFAULT_TUNING, ...variant });
          expect(sameBits(product(), expected), `${rows}×${cols}, ${JSON.stringify(variant)}`).toBe(true);
        }
      }
    }
  });

  it.each(
    DTYPES,
  )("products with %s weights are correct and have the same bits under every tuning", (dtype) => {
    const shapes = [
      ...[2, 7, 9, 515].map((rows) => [rows, 600] as const),
      ...[1, 2, 3, 5, 257].map((cols) => [19, cols] as const),
      [260, 1100] as const,
    ];
    const next = draws(7);
    const x = backend.createTensor("f32", [40 * 1100]);
    const out = backend.createTensor("f32", [40 * 515]);
    const given = Float32Array.from({ length: 40 * 1100 }, next);
    backend.write(x, given);
    for (const [rows, cols] of shapes) {
      const weight = backend.createWeight(matrixSpec("w", dtype, [rows, cols]));
      const bytes = weightBytes(dtype, rows * cols);
      backend.writeWeight(weight, 0, bytes);
      const alone = multiply(backend, weight, x, 1, out).slice(0, rows);
      for (const count of [1, 2, 3, 4, 5, 8, 14, 25, 37]) {
        const product = () => multiply(backend, weight, x, count, out).slice(0, rows * count);
        backend.tune(DEFAULT_TUNING);
        const expected = product();
        expect(sameBits(alone, expected.subarray(0, rows)), `a row alone and beside ${count - 1}`).toBe(true);
        expectProduct(expected, weightValues(dtype, bytes), given, { rows, cols, count });
        for (const variant of VARIANTS) {
          backend.tune({ ...DEFAULT_TUNING, ...variant });
          expect(sameBits(product(), expected), `${rows}×${cols}, ${JSON.stringify(variant)}`).toBe(true);
        }
      }
    }
  });
});

describe.each([
  { threads: 1, simd: "simd" },
  { threads: 2, simd: "relaxed" },
] as const)("a layer on $threads threads, $simd", (build) => {
  it.each(DTYPES)("products with %s weights have the same bits under every tuning", async (dtype) => {
    const backend = await open({ numQueryHeads: 9, numKvHeads: 3, headDim: 20 }, build);
    const matrix = (rows: number, cols: number) => {
      const weight = backend.createWeight(matrixSpec("w", dtype, [rows, cols]));
      // small enough for finite sums of a thousand terms
      const words = weightBytes(dtype === "f16" ? "bf16" : dtype, rows * cols);
      backend.writeWeight(
        weight,
        0,
        dtype === "f16" ? words.map((byte, i) => (i % 2 ? byte & 0xb3 : byte)) : words,
      );
      return weight;
    };
    const norm = backend.createWeight(vectorSpec("norm", "f32", 600));
    backend.writeWeight(norm, 0, new Uint8Array(new Float32Array(600).fill(1).buffer));
    const [gate, up, down] = [matrix(3000, 600), matrix(3000, 600), matrix(600, 3000)];
    const [q, k, v, o] = [matrix(180, 600), matrix(60, 600), matrix(60, 600), matrix(600, 180)];
    const x = backend.createTensor("f32", [40, 600]);
    const query = backend.createTensor("f32", [40, 180]);
    const given = Float32Array.from({ length: 40 * 600 }, draws(5));
    const results = async () => {
      const parts: Float32Array[] = [];
      for (const rows of [1, 7, 9]) {
        begin(backend, LENGTH, rows);
        backend.write(x, given);
        backend.write(query, new Float32Array(40 * 180)); // clears rows of a larger batch
        backend.feedForward({ kind: "dense" as const, norm, gate, up, down }, x);
        backend.attentionInput(0, { norm, q, k, v }, x, query);
        backend.attentionOutput({ o }, query, x);
        for (const ref of [x, query]) parts.push(new Float32Array(await backend.read(ref)));
      }
      return parts;
    };
    backend.tune(DEFAULT_TUNING);
    const expected = await results();
    expect(expected.flatMap((part) => [...part]).every(Number.isFinite)).toBe(true);
    expect(expected[0]?.some((value, i) => value !== given[i])).toBe(true);
    for (const variant of VARIANTS) {
      backend.tune({ ...DEFAULT_TUNING, ...variant });
      for (const [i, part] of (await results()).entries())
        expect(sameBits(part, expected[i] ?? part.subarray(0, 0)), `${i}, ${JSON.stringify(variant)}`).toBe(
          true,
        );
    }
    await backend.close();
  });
});

function multiply(
  backend: WasmBackend,
  weight: ReturnType<WasmBackend["createWeight"]>,
  x: ReturnType<WasmBackend["createTensor"]>,
  count: number,
  out: ReturnType<WasmBackend["createTensor"]>,
): Float32Array {
  const address = addressOf(out);
  const { descriptor } = weight as unknown as { descriptor: number };
  backend.kernels.matmul(descriptor, addressOf(x), count, address);
  return backend.arena.floats.subarray(address / 4, address / 4 + 40 * 515);
}

function addressOf(ref: object): number {
  if (!("address" in ref) || typeof ref.address !== "number") throw new TypeError("not a wasm tensor");
  return ref.address;
}

/** Checks that errors are small compared with the sum of the terms' magnitudes. */
function expectProduct(
  out: Float32Array,
  weights: Float64Array,
  x: Float32Array,
  { rows, cols, count }: { readonly rows: number; readonly cols: number; readonly count: number },
): void {
  let worst = 0;
  for (let t = 0; t < count; t++)
    for (let r = 0; r < rows; r++) {
      let sum = 0;
      let size = 0;
      for (let k = 0; k < cols; k++) {
        const part = (weights[r * cols + k] ?? 0) * (x[t * cols + k] ?? 0);
        sum += part;
        size += Math.abs(part);
      }
      worst = Math.max(worst, Math.abs((out[t * rows + r] ?? 0) - sum) / (size + 1e-30));
    }
  expect(worst).toBeLessThan(1e-5);
}

function sameBits(a: Float32Array, b: Float32Array): boolean {
  const as = new Uint32Array(a.buffer, a.byteOffset, a.length);
  const bs = new Uint32Array(b.buffer, b.byteOffset, b.length);
  return as.every((word, i) => word === bs[i]);
}

const HEADS: readonly (Heads & { readonly cacheDtype: CpuCacheDtype })[] = [
  { numQueryHeads: 9, numKvHeads: 3, headDim: 64, cacheDtype: "f32" },
  { numQueryHeads: 7, numKvHeads: 1, headDim: 6, cacheDtype: "f32" },
  { numQueryHeads: 4, numKvHeads: 4, headDim: 20, cacheDtype: "f32" },
  { numQueryHeads: 4, numKvHeads: 2, headDim: 128, cacheDtype: "f32" },
  { numQueryHeads: 9, numKvHeads: 3, headDim: 64, cacheDtype: "q8" },
  { numQueryHeads: 7, numKvHeads: 1, headDim: 6, cacheDtype: "q8" },
];

describe.each(HEADS)("$numQueryHeads / $numKvHeads heads of $headDim in $cacheDtype", (given) => {
  const { cacheDtype, ...heads } = given;
  it.each(
    BUILDS,
  )("attention has the same bits under every tuning: $threads threads, $simd", async (build) => {
    const backend = await open(heads, build, cacheDtype);
    const { numQueryHeads, headDim } = heads;
    const next = draws(3);
    for (const { address, bytes } of backend.cacheRegions)
      for (let i = 0; i < bytes / 4; i++) backend.arena.floats[address / 4 + i] = next();
    const query = backend.createTensor("f32", [40, numQueryHeads * headDim]);
    backend.write(
      query,
      Float32Array.from({ length: 40 * numQueryHeads * headDim }, () => 4 * next()),
    );
    const output = backend.createTensor("f32", [40, numQueryHeads * headDim]);
    const values = backend.createTensor("f32", [1, numQueryHeads, 768]);
    const scores = { values, heads: numQueryHeads, unit: 1 };
    const range = { first: 0, count: 1 };
    const selections = [1, numQueryHeads].map((headGroups) => select(backend, headGroups));
    const results = () => {
      const parts: Float32Array[] = [];
      const take = (ref: typeof output, size: number) =>
        parts.push(backend.arena.floats.slice(addressOf(ref) / 4, addressOf(ref) / 4 + size * numQueryHeads));
      for (const [length, rows] of [
        ...[1, 255, 256, 257, LENGTH].map((n) => [n, 1]),
        [LENGTH, 37],
      ] as const) {
        begin(backend, length ?? 1, rows ?? 1);
        backend.write(values, new Float32Array(768 * numQueryHeads)); // clears values of another length
        if (rows === 1) backend.attendAll(0, range, query, output, scores);
        else backend.attendAll(0, range, query, output);
        take(output, (rows ?? 1) * headDim);
        take(values, 768);
      }
      begin(backend, LENGTH, 1);
      for (const selection of selections) {
        backend.attendSelected(0, range, query, selection, output);
        take(output, headDim);
      }
      return parts;
    };
    backend.tune(DEFAULT_TUNING);
    const expected = results();
    expect(expected.flatMap((part) => [...part]).every(Number.isFinite)).toBe(true);
    for (const variant of VARIANTS) {
      backend.tune({ ...DEFAULT_TUNING, ...variant });
      for (const [i, part] of results().entries())
        expect(sameBits(part, expected[i] ?? part.subarray(0, 0)), `${i}, ${JSON.stringify(variant)}`).toBe(
          true,
        );
    }
    await backend.close();
  });
});

/** Selects every other token. */
function select(backend: WasmBackend, headGroups: number) {
  const count = LENGTH / 2;
  const indices = backend.createTensor("u32", [1, headGroups, 768]);
  const counts = backend.createTensor("u32", [1]);
  const list = new Uint32Array(headGroups * 768);
  for (let g = 0; g < headGroups; g++) for (let i = 0; i < count; i++) list[g * 768 + i] = 2 * i + (g % 2);
  backend.write(indices, list);
  backend.write(counts, Uint32Array.of(count));
  return { indices, counts, headGroups };
}

function begin(backend: WasmBackend, length: number, rows: number): void {
  backend.beginStep({
    ...{ numRows: rows, numSequences: 1, tokenIds: new Uint32Array(rows), slots: new Uint32Array(rows) },
    ...{ rope: new Float32Array(rows * backend.model.headDim), firstRows: new Uint32Array(1) },
    ...{ rowCounts: Uint32Array.of(rows), lengths: Uint32Array.of(length), maxPagesPerSequence: 48 },
    validBounds: Uint32Array.of(length - rows),
    pageTables: Uint32Array.from({ length: 48 }, (_, page) => (page * 7) % 48),
  });
}
