import { afterEach, describe, expect, it, vi } from "vitest";
import { place } from "../../../test/place/here.ts";
import { type Sizes, sizesOf } from "../../../test/sizes.ts";
import { matrixSpec, vectorSpec } from "../../../test/weight-specs.ts";
import { ShapeError } from "../../base/errors.ts";
import type { TensorRef, WeightRef, WeightSpec } from "../../base/tensor-ref.ts";
import type { StepBatch } from "../backend.ts";
import { withAllPages } from "../with-all-pages.ts";
import { extentGeometry } from "./memory-map.ts";
import { wasmFactory } from "./open-wasm.ts";
import type { WasmBackend } from "./wasm-backend.ts";

const PAGE = 16;
const HEADS = 4;
const DIM = 64;
const NUM_PAGES = 1100;
const ALL = { first: 0, count: 1 };
/** Pages of 64 KiB in two layers: an extent holds 256 of them, and the pool has five. */
const SIZES: Partial<Sizes> = {
  ...{
    numLayers: 2,
    hiddenSize: 64,
    intermediateSize: 64,
    numQueryHeads: HEADS,
    numKvHeads: 4,
    headDim: DIM,
  },
  ...{ vocabSize: 8, rmsNormEps: 1e-6, pageSize: PAGE, maxPages: NUM_PAGES, maxSequenceLength: 512 },
  ...{ maxBatchRows: 64, maxBatchSequences: 1 },
};
const { pages: EXTENT, bytes: EXTENT_BYTES } = extentGeometry(...sizesOf(SIZES), "f32");

/** A backend without pages, or with all of them. */
async function open({ threads = 1, isWhole = false } = {}): Promise<WasmBackend> {
  const factory = wasmFactory(place.createWasmHost(), { threads, simd: "simd", tuning: "default" });
  return (isWhole ? withAllPages(factory) : factory)(...sizesOf(SIZES));
}

/** Numbers that depend on the seed alone. */
function numbers(count: number, seed: number): Float32Array {
  let state = seed | 1;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    return (state >>> 8) / 2 ** 24 - 0.5;
  });
}

/** One layer's attention over a sequence whose pages are `pages`, on a backend that may grow meanwhile. */
class Sequence {
  readonly #backend: WasmBackend;
  readonly #pages: readonly number[];
  readonly #weights;
  readonly #x: TensorRef;
  readonly #query: TensorRef;
  readonly #out: TensorRef;
  readonly #scores: TensorRef;
  #length = 0;

  constructor(backend: WasmBackend, pages: readonly number[]) {
    this.#backend = backend;
    this.#pages = pages;
    const matrix = (rows: number, seed: number) =>
      this.#weight(matrixSpec(`w${seed}`, "f32", [rows, 64]), seed);
    this.#weights = {
      norm: this.#weight(vectorSpec("norm", "f32", 64), 1),
      ...{ q: matrix(HEADS * DIM, 2), k: matrix(4 * DIM, 3), v: matrix(4 * DIM, 4) },
    };
    this.#x = backend.createTensor("f32", [64, 64]);
    this.#query = backend.createTensor("f32", [64, HEADS * DIM]);
    this.#out = backend.createTensor("f32", [64, HEADS * DIM]);
    this.#scores = backend.createTensor("f32", [1, HEADS, 512]);
  }

  #weight(spec: WeightSpec, seed: number): WeightRef {
    const ref = this.#backend.createWeight(spec);
    this.#backend.writeWeight(ref, 0, new Uint8Array(numbers(ref.rows * ref.cols, seed).buffer));
    return ref;
  }

  batch(rows: number): StepBatch {
    const slot = (position: number) =>
      (this.#pages[Math.floor(position / PAGE)] ?? 0) * PAGE + (position % PAGE);
    const first = this.#length;
    return {
      ...{ numRows: rows, numSequences: 1, tokenIds: new Uint32Array(rows), firstRows: new Uint32Array(1) },
      slots: Uint32Array.from({ length: rows }, (_, i) => slot(first + i)),
      rope: numbers(rows * DIM, first + 7),
      ...{ rowCounts: Uint32Array.of(rows), lengths: Uint32Array.of(first + rows) },
      validBounds: Uint32Array.of(first),
      ...{ pageTables: Uint32Array.from(this.#pages), maxPagesPerSequence: this.#pages.length },
    };
  }

  /** Rows in both layers, then everything that reads the cache; returns what came out. */
  async step(rows: number): Promise<readonly (Float32Array | Uint32Array)[]> {
    const backend = this.#backend;
    backend.beginStep(this.batch(rows));
    this.#length += rows;
    const results: (Float32Array | Uint32Array)[] = [];
    for (const layer of [0, 1]) {
      backend.write(this.#x, numbers(64 * 64, this.#length + layer));
      backend.attentionInput(layer, this.#weights, this.#x, this.#query);
      backend.updatePageBounds(layer, ALL);
      backend.attendAll(layer, ALL, this.#query, this.#out);
      results.push((await backend.read(this.#out)).slice(0, rows * HEADS * DIM));
      if (rows > 1) continue;
      for (const unit of [1, PAGE]) {
        const scores = { values: this.#scores, heads: HEADS, unit };
        if (unit === 1) backend.scores(layer, ALL, this.#query, scores);
        else backend.pageScores(layer, ALL, this.#query, scores);
        results.push(await backend.read(this.#scores));
      }
    }
    return results;
  }
}

const DECODE_STEPS = 20;
/** Pages of a sequence of 64 + 20 tokens: four in the first three extents, and the same one of each other extent. */
const PAGES = [3, EXTENT + 5, 2 * EXTENT + 1, 2 * EXTENT, 3 * EXTENT + 7, 4 * EXTENT + 7];

afterEach(() => {
  vi.restoreAllMocks();
});

describe("the cache of the wasm backend", () => {
  it("takes no memory until it has pages, and memory for whole extents then", async () => {
    const backend = await open();
    const opened = backend.arena.memory.buffer.byteLength;
    expect(backend.report().kvCacheBytes).toBe(0);
    expect(await backend.resizeCache(1)).toBe(true);
    expect(backend.report().kvCacheBytes).toBe(EXTENT_BYTES);
    expect(backend.arena.memory.buffer.byteLength - opened).toBeLessThan(EXTENT_BYTES + 2 ** 17);
    expect(await backend.resizeCache(NUM_PAGES)).toBe(true);
    expect(backend.report().kvCacheBytes).toBe(Math.ceil(NUM_PAGES / EXTENT) * EXTENT_BYTES);
    await backend.close();
  });

  it.each([1, 2])("gives the same bits where it grew between steps, %i threads", async (threads) => {
    const whole = await open({ threads, isWhole: true });
    const growing = await open({ threads });
    await growing.resizeCache(2 * EXTENT + 2);
    const [a, b] = [new Sequence(whole, PAGES), new Sequence(growing, PAGES)];
    expect(await b.step(64)).toEqual(await a.step(64));
    for (let i = 0; i < DECODE_STEPS; i++) {
      if (i === 0) expect(await growing.resizeCache(3 * EXTENT + 8)).toBe(true);
      if (i === PAGE) expect(await growing.resizeCache(NUM_PAGES)).toBe(true);
      expect(await b.step(1)).toEqual(await a.step(1));
    }
    await Promise.all([whole.close(), growing.close()]);
  });

  it("gives the same bits wherever its pages lie", async () => {
    const backend = await open({ isWhole: true });
    const [a, b] = [new Sequence(backend, PAGES), new Sequence(backend, [0, 1, 2, 4, 5, 6])];
    for (const rows of [64, 1, 1]) expect(await b.step(rows)).toEqual(await a.step(rows));
    await backend.close();
  });

  it("keeps the memory of pages that it gave up for its next growth, also that of their bounds", async () => {
    const backend = await open({ isWhole: true });
    const sequence = new Sequence(backend, PAGES);
    await sequence.step(64);
    const { byteLength } = backend.arena.memory.buffer;
    const held = backend.report().kvCacheBytes;
    for (const pages of [0, 1, NUM_PAGES, 3, NUM_PAGES]) expect(await backend.resizeCache(pages)).toBe(true);
    expect(backend.report().kvCacheBytes).toBe(held);
    expect(backend.arena.memory.buffer.byteLength).toBe(byteLength);
    const again = new Sequence(backend, PAGES);
    const fresh = new Sequence(await open({ isWhole: true }), PAGES);
    for (const rows of [64, 1]) expect(await again.step(rows)).toEqual(await fresh.step(rows));
    await backend.close();
  });

  it("answers false where the machine refuses memory, and goes on as before", async () => {
    const [backend, other] = [await open(), await open({ isWhole: true })];
    await backend.resizeCache(2 * EXTENT + 2);
    const [a, b] = [new Sequence(backend, PAGES), new Sequence(other, PAGES)];
    expect(await a.step(60)).toEqual(await b.step(60)); // bounds have extents too now
    const before = backend.report();
    vi.spyOn(WebAssembly.Memory.prototype, "grow").mockImplementation(() => {
      throw new RangeError("out of memory");
    });
    expect(await backend.resizeCache(NUM_PAGES)).toBe(false);
    vi.restoreAllMocks();
    expect(backend.report()).toEqual(before);
    expect(() => backend.beginStep(new Sequence(backend, [NUM_PAGES - 1]).batch(1))).toThrow(
      `a step of page ${NUM_PAGES - 1}, but the KV pool holds ${2 * EXTENT + 2} pages; call resizeCache before the step`,
    );
    expect(await a.step(1)).toEqual(await b.step(1));
    expect(await backend.resizeCache(NUM_PAGES)).toBe(true);
    for (let i = 0; i < DECODE_STEPS; i++) expect(await a.step(1)).toEqual(await b.step(1));
    await Promise.all([backend.close(), other.close()]);
  });

  it.each([-1, 1.5, NUM_PAGES + 1, Number.NaN])("refuses %d pages", async (pages) => {
    const backend = await open();
    await expect(backend.resizeCache(pages)).rejects.toThrow(ShapeError);
    await expect(backend.resizeCache(pages)).rejects.toThrow(
      `expected 0 to ${NUM_PAGES} pages, got ${pages}`,
    );
    await backend.close();
  });
});

describe("an extent", () => {
  it.each<[string, Partial<Sizes>, number]>([
    ["of a small pool holds all of it", { maxPages: 5 }, 8],
    ["holds the most pages below 16 MiB", {}, EXTENT],
    ["of wide pages holds one", { numLayers: 64, numKvHeads: 16, headDim: 256 }, 1],
  ])("%s", (_, other, pages) => {
    const [model, capacity] = sizesOf({ ...SIZES, ...other });
    const extent = extentGeometry(model, capacity, "f32");
    expect(extent.pages).toBe(pages);
    expect(extent.maxExtents * extent.pages).toBeGreaterThanOrEqual(capacity.maxPages);
    expect(extent.pages === 1 || extent.bytes <= 16 << 20).toBe(true);
  });
});
