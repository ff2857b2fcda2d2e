/** The KV cache of every backend: its size, and the key bounds of its pages, against brute force in f64. */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend } from "../../src/backend/backend.ts";
import { cacheRowBytes } from "../../src/base/cache-dtype.ts";
import { ShapeError } from "../../src/base/errors.ts";
import { f16ToF32 } from "../../src/base/half.ts";
import { sizesOf } from "../sizes.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { CACHE_BACKENDS } from "./backend-table.ts";
import { attention, pageScore } from "./brute-force.ts";
import { nmse } from "./random-weights.ts";
import { Trial, type TrialSequence } from "./trial.ts";

const PAGE = 8;
const HEADS = 4;
const NUM_PAGES = 24;

describe.each(CACHE_BACKENDS)("$name", ({ open, cacheDtype }) => {
  const within = (bound: number) => allowedNmse(bound, cacheDtype);
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });
  async function openTrial(): Promise<Trial> {
    const sizes = { numLayers: 2, headDim: 18, numKvHeads: 2, numQueryHeads: HEADS };
    const capacity = { pageSize: PAGE, maxPages: NUM_PAGES, maxSequenceLength: 128 };
    const backend = await open(...sizesOf({ ...sizes, ...capacity }));
    opened.push(backend);
    return new Trial(backend, 3, cacheDtype).withInputs();
  }

  /** One more token each, in a step that brings the bounds up to date from the positions given. */
  function step(trial: Trial, sequences: readonly TrialSequence[], validBounds: readonly number[]): void {
    trial.run(
      sequences.map((sequence, s) => ({ ...trial.part(sequence, 1), validBounds: validBounds[s] ?? 0 })),
    );
    for (const layer of [0, 1]) trial.backend.updatePageBounds(layer, { first: 0, count: sequences.length });
  }

  /** Page scores of the last layer are those of all keys of each page, NMSE < 1e-11. */
  async function expectScores(trial: Trial): Promise<void> {
    const capacity = 16;
    const values = trial.tensor("f32", 8, HEADS, capacity);
    const sequences = trial.parts.map(({ sequence }) => sequence);
    const scores = { values, heads: HEADS, unit: PAGE };
    trial.backend.pageScores(1, { first: 0, count: sequences.length }, trial.query, scores);
    const all = await trial.floats(values);
    for (const [s, sequence] of sequences.entries())
      for (let h = 0; h < HEADS; h++) {
        const keys = trial.keysOf(sequence, 1, h);
        const expected = Array.from({ length: Math.ceil(sequence.length / PAGE) }, (_, page) =>
          pageScore(trial.queries[s][h], keys.slice(page * PAGE, (page + 1) * PAGE)),
        );
        const at = (s * HEADS + h) * capacity;
        expect(nmse(all.subarray(at, at + expected.length), expected)).toBeLessThan(within(1e-11));
      }
  }

  async function expectAttention(trial: Trial): Promise<void> {
    const count = trial.parts.length;
    trial.backend.attendAll(1, { first: 0, count }, trial.query, trial.output);
    const expected = trial.parts.flatMap(({ sequence }, s) =>
      trial.queries[s].flatMap((query, h) => [
        ...attention(query, trial.keysOf(sequence, 1, h), trial.valuesOf(sequence, 1, h)),
      ]),
    );
    const output = await trial.floats(trial.output);
    expect(nmse(output.subarray(0, expected.length), expected)).toBeLessThan(within(1e-9));
  }

  describe("key bounds", () => {
    it("that were never made, or not for a while, are made from where they end", async () => {
      const trial = await openTrial();
      // neither prompt is followed by updatePageBounds, as under a policy that reads no page scores
      const sequences = [await trial.filled(37), await trial.filled(21)];
      step(trial, sequences, [0, 0]);
      await expectScores(trial);
      // the second one takes steps without: its bounds end in the middle of a page, at 22
      for (let i = 0; i < 13; i++) trial.run([trial.part(sequences[1], 1)]);
      step(trial, sequences, [38, 22]);
      await expectScores(trial);
    });

    it("of a page that another sequence had are not its own: they start anew", async () => {
      const trial = await openTrial();
      const before = [await trial.filled(30), await trial.filled(10)];
      step(trial, before, [0, 0]);
      trial.end(before[0]);
      const after = await trial.filled(27);
      expect(after.pages.filter((page) => before[0].pages.includes(page))).toHaveLength(4);
      step(trial, [after, before[1]], [0, 11]);
      await expectScores(trial);
    });

    it("of a page whose last tokens were replaced are made from its start", async () => {
      const trial = await openTrial();
      const sequence = await trial.filled(19);
      step(trial, [sequence], [0]);
      // positions 18 and 19 are cut: their keys must leave the bounds of the third page
      sequence.length = 18;
      for (const lists of [...sequence.keys, ...sequence.values]) lists.length = 18;
      step(trial, [sequence], [16]);
      await expectScores(trial);
    });
  });

  it("rows of zeros are zeros; a row of NaN is NaN wherever it is read, and there alone", async () => {
    const trial = await openTrial();
    const [clean, spoiled] = [trial.newSequence(), trial.newSequence()];
    const part = trial.part(spoiled, 20);
    part.rows[7].fill(Number.NaN);
    trial.run([{ sequence: clean, rows: part.rows.map(() => new Float64Array(30)) }, part]);
    trial.run([trial.part(clean, 1), trial.part(spoiled, 1)]);
    const { backend, query, output } = trial;
    const width = HEADS * backend.model.headDim;
    backend.attendAll(1, { first: 0, count: 2 }, query, output);
    const attended = await trial.floats(output);
    const expected = trial.queries[0].flatMap((head, h) => [
      ...attention(head, trial.keysOf(clean, 1, h), trial.valuesOf(clean, 1, h)),
    ]);
    expect(nmse(attended.subarray(0, width), expected)).toBeLessThan(within(1e-9));
    expect(attended.subarray(width, 2 * width).every(Number.isNaN)).toBe(true);
    const scores = { values: trial.tensor("f32", 8, HEADS, 24), heads: HEADS, unit: 1 };
    backend.scores(1, { first: 1, count: 1 }, query, scores);
    const logits = await trial.floats(scores.values);
    for (let h = 0; h < HEADS; h++)
      for (let t = 0; t < 21; t++) expect(Number.isNaN(logits[h * 24 + t])).toBe(t === 7);
  });

  it("pages copied out and in elsewhere are the same pages; a copy holds what was there before later steps", async () => {
    const trial = await openTrial();
    const { backend } = trial;
    const { cachePages: store, model } = backend;
    expect(store.pageBytes).toBe(PAGE * 2 * 2 * 2 * cacheRowBytes(cacheDtype ?? "f32", model.headDim));
    const sequence = await trial.filled(20);
    const bytes = new Uint8Array(3 * store.pageBytes);
    const copied = store.read(sequence.pages, bytes);
    trial.end(sequence);
    // other tokens take their places, and those of the pages in which they go on
    const others = [await trial.filled(30), await trial.filled(26)];
    await copied;
    const pages = others[1].pages.slice(0, 3);
    store.write(pages, bytes);
    const again = new Uint8Array(bytes.length);
    await store.read(pages, again);
    expect(again).toEqual(bytes);
    sequence.pages.splice(0, 3, ...pages);
    trial.run([trial.part(sequence, 1), trial.part(others[0], 1)]);
    await expectAttention(trial);
    step(trial, [sequence, others[0]], [0, 0]);
    await expectScores(trial);
    await expect(async () => store.read([NUM_PAGES], new Uint8Array(store.pageBytes))).rejects.toThrow(
      ShapeError,
    );
    await expect(async () => store.write([0, 1], new Uint8Array(store.pageBytes))).rejects.toThrow(
      ShapeError,
    );
  });

  it("a page's form is rows of the cache's type: token by token, layer by layer, key and value, head by head", async () => {
    const trial = await openTrial();
    const { cachePages: store, model } = trial.backend;
    const dtype = cacheDtype ?? "f32";
    const sequence = await trial.filled(PAGE);
    const bytes = new Uint8Array(store.pageBytes);
    await store.read(sequence.pages, bytes);
    const rowBytes = cacheRowBytes(dtype, model.headDim);
    const view = new DataView(bytes.buffer);
    const element = (at: number, i: number) => {
      if (dtype === "f32") return view.getFloat32(at + 4 * i, true);
      if (dtype === "f16") return f16ToF32(view.getUint16(at + 2 * i, true));
      return view.getInt8(at + i) * view.getFloat32(at + model.headDim, true);
    };
    const found: number[] = [];
    const expected: number[] = [];
    for (let token = 0; token < PAGE; token++)
      for (const layer of [0, 1])
        for (const lists of [sequence.keys, sequence.values])
          for (const head of [0, 1]) {
            const at = (found.length / model.headDim) * rowBytes;
            expected.push(...(lists[layer][token][head] as Float64Array));
            for (let i = 0; i < model.headDim; i++) found.push(element(at, i));
          }
    expect(nmse(Float32Array.from(found), expected)).toBeLessThan(within(1e-11));
  });

  describe("resizeCache", () => {
    it("keeps the keys, values and bounds of the pages that stay, larger or smaller, NMSE < 1e-9", async () => {
      const trial = await openTrial();
      const sequences = [await trial.filled(30), await trial.filled(9)];
      step(trial, sequences, [0, 0]);
      const least = 1 + Math.max(...sequences.flatMap(({ pages }) => pages));
      for (const numPages of [least, NUM_PAGES, least, least + 1, NUM_PAGES]) {
        expect(await trial.backend.resizeCache(numPages)).toBe(true);
        if (numPages < NUM_PAGES) continue; // the next page may be any
        step(
          trial,
          sequences,
          sequences.map(({ length }) => length),
        );
        await expectScores(trial);
        await expectAttention(trial);
      }
    });

    it("keeps the data of the pages that stay in tensors that follow the pool", async () => {
      const { backend } = await openTrial();
      expect(await backend.resizeCache(4)).toBe(true);
      const data = await backend.allocate("data of a test", () => backend.createPageTensor("u32", [3, 2]));
      const values = Uint32Array.from({ length: 4 * 6 }, (_, i) => i + 1);
      backend.write(data, values.subarray(0, 12));
      backend.write(data, values.subarray(12), 12);
      expect(() => backend.write(data, values, 1e9)).toThrow(ShapeError);
      for (const numPages of [NUM_PAGES, 5, 2, NUM_PAGES]) {
        expect(await backend.resizeCache(numPages)).toBe(true);
        const read = await backend.read(data);
        expect(read.length).toBeGreaterThanOrEqual(6 * numPages);
        const kept = 6 * 2;
        expect(read.subarray(0, kept)).toEqual(values.subarray(0, kept));
        if (numPages === 5) expect(read.subarray(0, 24)).toEqual(values);
      }
    });

    it("holds a step's keys and values in order: what was recorded before it is there after it", async () => {
      const trial = await openTrial();
      const sequence = await trial.filled(20);
      step(trial, [sequence], [0]);
      trial.run([trial.part(sequence, 1)]);
      await trial.backend.resizeCache(NUM_PAGES - 1);
      await trial.backend.resizeCache(NUM_PAGES);
      if (sequence.pages.includes(NUM_PAGES - 1))
        throw new Error("the trial used the page that was given back");
      trial.run([trial.part(sequence, 1)]);
      await expectAttention(trial);
    });

    it("reports what is held and what it may become; a size that cannot be is refused", async () => {
      const { backend } = await openTrial();
      const { kvCacheBytes, maxKvCacheBytes } = backend.report();
      expect(kvCacheBytes).toBe(maxKvCacheBytes);
      const least = 2 * 2 * 2 * NUM_PAGES * PAGE * cacheRowBytes(cacheDtype ?? "f16", 18);
      expect(maxKvCacheBytes).toBeGreaterThanOrEqual(least);
      expect(await backend.resizeCache(6)).toBe(true);
      expect(backend.report().maxKvCacheBytes).toBe(maxKvCacheBytes);
      for (const numPages of [-1, 2.5, NUM_PAGES + 1, Number.NaN])
        await expect(async () => backend.resizeCache(numPages)).rejects.toThrow(ShapeError);
    });
  });
});
