/**
 * Gates of blocks against brute force, on every backend: queries and keys before RoPE, keys of blocks as sequences grow in
 * chunks, and scores of blocks.
 */
import { afterEach, describe, expect, it } from "vitest";
import type { Backend, BlockGate, Scores } from "../../src/backend/backend.ts";
import { type Sizes, sizesOf } from "../sizes.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { allowedNmse } from "./allowed-nmse.ts";
import { BACKENDS_AND_ROUNDED, webGpuWithLayerKernel } from "./backend-table.ts";
import { type GateOptions, gatesOn, type PlainGate, plainGates } from "./random-gates.ts";
import { type InputOptions, inputRefs, makeWeight, nmse } from "./random-weights.ts";
import { Trial, type TrialSequence } from "./trial.ts";

const SIZES = { numQueryHeads: 6, numKvHeads: 2, headDim: 10, hiddenSize: 24, pageSize: 8 };

/** Blocks of one page and of several, gates smaller and larger than a head, of sizes that are no whole vectors. */
const GATES: readonly (readonly [string, GateOptions, InputOptions])[] = [
  ["blocks of a page, 6 elements, head norms", { blockSize: 8, gateDim: 6 }, { headNorm: true }],
  ["blocks of three pages, 70 elements, bias", { blockSize: 24, gateDim: 70 }, { bias: true }],
  ["no norms", { blockSize: 16, gateDim: 16, hasNorms: false }, {}],
  ["no RoPE", { blockSize: 16, gateDim: 16, hasRope: false }, {}],
];

describe.each(BACKENDS_AND_ROUNDED)("$name", ({ open, cases, cacheDtype }) => {
  const gates = cases === "few" ? GATES.slice(0, 2) : GATES;
  const opened: Backend[] = [];
  afterEach(async () => {
    for (const backend of opened.splice(0)) await backend.close();
  });

  async function openGate(options: GateOptions, inputs: InputOptions): Promise<GateTrial> {
    const backend = await open(...sizesOf({ ...SIZES, maxPages: 40 }));
    opened.push(backend);
    return new GateTrial(new Trial(backend, 3, cacheDtype).withInputs(inputs), options);
  }

  it.each(
    gates,
  )("%s: heads before RoPE within NMSE 1e-10, scores within 1e-9, while three sequences grow in chunks", async (_, options, inputs) => {
    const t = await openGate(options, inputs);
    const sequences = [0, 1, 2].map(() => t.trial.newSequence());
    // rows of each sequence: they end in and at pages and blocks, and skip whole blocks
    for (const rows of [
      [1, 7, 25],
      [8, 1, 15],
      [7, 17, 1],
      [1, 24, 9],
    ])
      await t.grow(sequences, rows);
    for (let step = 0; step < 9; step++) await t.decode(sequences);
  });

  it("a page that another sequence had is pooled anew", async () => {
    const t = await openGate({ blockSize: 16, gateDim: 16 }, {});
    const first = t.trial.newSequence();
    await t.grow([first], [40]);
    t.trial.end(first);
    const second = t.trial.newSequence();
    await t.grow([second], [32]);
    await t.decode([second]);
    expect(second.pages.slice(0, 5).sort()).toEqual(first.pages.slice(0, 5).sort());
  });

  it("a block that is not whole has the score 0, whatever its page holds", async () => {
    const t = await openGate({ blockSize: 16, gateDim: 16 }, {});
    const sequence = t.trial.newSequence();
    await t.grow([sequence], [15]);
    expect([...(await t.scoresOf([sequence]))[0][0]]).toEqual([expect.not.closeTo(0)]); // the 16th token
    expect([...(await t.scoresOf([sequence]))[0][0]]).toEqual([expect.not.closeTo(0), 0]);
  });
});

/** The gate of one layer beside its definition. */
class GateTrial {
  readonly trial: Trial;
  readonly #gate: BlockGate;
  readonly #plain: PlainGate;
  readonly #scores: Scores;

  constructor(trial: Trial, options: GateOptions) {
    const { backend } = trial;
    const { maxBatchRows, maxBatchSequences, maxSequenceLength } = backend.capacity;
    this.trial = trial;
    const plain = plainGates(backend.model, options, 17);
    const [gate] = gatesOn(backend, plain).layers;
    if (!gate || !plain[0]) throw new Error("the gate has no first layer");
    this.#gate = gate;
    this.#plain = plain[0];
    trial.raw = {
      query: trial.tensor("f32", maxBatchRows, SIZES.numQueryHeads * SIZES.headDim),
      keys: trial.tensor("f32", maxBatchRows, SIZES.numKvHeads * SIZES.headDim),
    };
    const capacity = Math.ceil(maxSequenceLength / options.blockSize);
    this.#scores = {
      values: trial.tensor("f32", maxBatchSequences, SIZES.numKvHeads, capacity),
      heads: SIZES.numKvHeads,
      unit: options.blockSize,
    };
  }

  /** A step of some rows of each sequence; checks the heads before RoPE. */
  async grow(sequences: readonly TrialSequence[], rows: readonly number[]): Promise<void> {
    const { trial } = this;
    trial.begin(sequences.map((sequence, s) => trial.part(sequence, rows[s])));
    trial.attentionInput(0);
    const { query, keys } = this.#raw;
    const rawKeys = sequences.flatMap(({ rawKeys: [layer] }, s) => layer.slice(layer.length - rows[s]));
    await this.#expect(query, trial.rawQueries);
    await this.#expect(keys, rawKeys);
    trial.backend.updateBlockKeys({ first: 0, count: sequences.length }, keys, this.#gate);
  }

  get #raw() {
    if (!this.trial.raw) throw new Error("no tensors for heads before RoPE");
    return this.trial.raw;
  }

  async #expect(tensor: Trial["x"], rows: readonly (readonly Float64Array[])[]): Promise<void> {
    const expected = rows.flatMap((heads) => heads.flatMap((head) => [...head]));
    const actual = (await this.trial.floats(tensor)).subarray(0, expected.length);
    expect(nmse(actual, expected)).toBeLessThan(1e-10);
  }

  /** A decode step of each sequence; returns the scores by sequence and kv head. */
  async scoresOf(sequences: readonly TrialSequence[]): Promise<Float32Array[][]> {
    const { trial } = this;
    await this.grow(
      sequences,
      sequences.map(() => 1),
    );
    // the ranges of two calls: rows of scores begin at each range's first sequence
    const { values, unit, heads } = this.#scores;
    const capacity = values.shape[2];
    const found: Float32Array[][] = [];
    for (const range of [
      { first: 0, count: 1 },
      { first: 1, count: sequences.length - 1 },
    ]) {
      if (range.count === 0) continue;
      trial.backend.blockScores(range, this.#raw.query, this.#gate, this.#scores);
      const read = await trial.floats(values);
      for (let i = 0; i < range.count; i++) {
        const blocks = Math.ceil(sequences[range.first + i].length / unit);
        const rowOf = (head: number) => (i * heads + head) * capacity;
        found.push(Array.from({ length: heads }, (_, head) => read.slice(rowOf(head), rowOf(head) + blocks)));
      }
    }
    return found;
  }

  async decode(sequences: readonly TrialSequence[]): Promise<void> {
    const scores = await this.scoresOf(sequences);
    for (const [s, sequence] of sequences.entries())
      for (let kvHead = 0; kvHead < SIZES.numKvHeads; kvHead++) {
        const query = this.trial.rawQueries[s].slice(3 * kvHead, 3 * kvHead + 3);
        const keys = sequence.rawKeys[0].map((heads) => heads[kvHead]);
        const expected = this.#plain.scores(kvHead, query, keys);
        expect(scores[s][kvHead]).toHaveLength(expected.length);
        expect(nmse(scores[s][kvHead], expected)).toBeLessThan(1e-9);
      }
  }
}

describe.each(await webGpuWithLayerKernel())("$name", ({ open, cacheDtype }) => {
  it("the layer kernel beside heads before RoPE: they, queries and keys are those of separate ops", async () => {
    const sizes: Partial<Sizes> = { numLayers: 2, hiddenSize: 48, intermediateSize: 136, headDim: 16 };
    const backend = await open(...sizesOf(sizes));
    const trial = new Trial(backend, 5, cacheDtype).withInputs({ dtype: "f16" });
    const { numQueryHeads, numKvHeads, headDim } = backend.model;
    const { maxBatchRows } = backend.capacity;
    const raw = {
      query: trial.tensor("f32", maxBatchRows, numQueryHeads * headDim),
      keys: trial.tensor("f32", maxBatchRows, numKvHeads * headDim),
    };
    const make = (name: string, rows: number, cols: number) =>
      makeWeight(backend, matrixSpec(name, "f16", [rows, cols]), trial.random).ref;
    const from = {
      output: { o: make("o", 48, numQueryHeads * headDim) },
      feedForward: {
        kind: "dense" as const,
        norm: makeWeight(backend, vectorSpec("norm", "f16", 48), trial.random).ref,
        ...{ gate: make("gate", 136, 48), up: make("up", 136, 48), down: make("down", 48, 136) },
      },
    };
    const next = { layer: 1, weights: inputRefs(trial.input(1)) };
    const sequence = await trial.filled(20);
    const found: Float32Array[] = [];
    for (const isFused of [true, false, true]) {
      trial.begin([
        { sequence: { ...sequence, pages: [...sequence.pages] }, rows: [new Float64Array(48).fill(0.5)] },
      ]);
      const tensors = { attended: trial.output, x: trial.x, query: trial.query };
      backend.attentionInput(0, inputRefs(trial.input(0)), trial.x, trial.query);
      backend.attendAll(0, { first: 0, count: 1 }, trial.query, trial.output);
      if (isFused) backend.advance(from, next, { ...tensors, raw });
      else {
        backend.attentionOutput(from.output, trial.output, trial.x);
        backend.feedForward(from.feedForward, trial.x);
        backend.attentionInput(1, next.weights, trial.x, trial.query, raw);
      }
      const width = (heads: number) => heads * headDim;
      found.push(
        Float32Array.from([
          ...(await trial.floats(raw.query)).subarray(0, width(numQueryHeads)),
          ...(await trial.floats(raw.keys)).subarray(0, width(numKvHeads)),
          ...(await trial.floats(trial.query)).subarray(0, width(numQueryHeads)),
        ]),
      );
    }
    await backend.close();
    expect(found[0].some((value) => value !== 0)).toBe(true);
    expect(nmse(found[0], found[1])).toBeLessThan(allowedNmse(1e-9, cacheDtype));
    expect(found[2]).toEqual(found[0]);
  });
});
