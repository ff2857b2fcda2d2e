/**
 * Runs steps on a backend and computes its caches and queries by brute force besides. Random inputs are seeded. Pages are
 * allocated in shuffled order, so that no sequence is contiguous.
 */
import type { Backend, CacheDtype, RawHeads, StepBatch, TokenSelection } from "../../src/backend/backend.ts";
import type { LayerOps } from "../../src/backend/layer-ops.ts";
import type { TensorDtype } from "../../src/base/dtype.ts";
import type { TensorRef } from "../../src/base/tensor-ref.ts";
import { matvec, rmsNorm, rotate, roundToHalf, roundToInt8, split } from "./brute-force.ts";
import {
  type InputOptions,
  inputRefs,
  makeInput,
  type PairedInput,
  type PairedWeight,
  Random,
} from "./random-weights.ts";

/**
 * A sequence by brute force. keys, values: [layer][position][kv head] f64 [headDim], rounded as the cache rounds them.
 */
export interface TrialSequence {
  readonly pages: number[];
  readonly keys: Float64Array[][][];
  /** Before RoPE, not rounded. */
  readonly rawKeys: Float64Array[][][];
  readonly values: Float64Array[][][];
  length: number;
}

/** New rows of one sequence in a step, the input of its layers. */
export interface Part {
  readonly sequence: TrialSequence;
  readonly rows: readonly Float64Array[];
  /** From where `updatePageBounds` begins, if not with the rows. */
  readonly validBounds?: number;
}

/** A backend under test, whose ops of `advance` are tested one at a time, too. */
export type TrialBackend = Backend & LayerOps;

export class Trial {
  readonly backend: TrialBackend;
  readonly random: Random;
  readonly x: TensorRef;
  readonly query: TensorRef;
  readonly output: TensorRef;
  readonly batch: StepBatch;
  /** Queries of the last attentionInput by brute force: [row][query head]. */
  queries: Float64Array[][] = [];
  /** The same before RoPE. */
  rawQueries: Float64Array[][] = [];
  /** Receives queries and keys before RoPE, if a test asks for them. */
  raw: RawHeads | undefined;
  parts: readonly Part[] = [];
  readonly #cacheDtype: CacheDtype;
  #freePages: number[];
  #inputs: PairedInput[] = [];

  constructor(backend: TrialBackend, seed: number, cacheDtype: CacheDtype = "f32") {
    const { model, capacity } = backend;
    this.backend = backend;
    this.#cacheDtype = cacheDtype;
    this.random = new Random(seed);
    this.#freePages = this.random.shuffled(Array.from({ length: capacity.maxPages }, (_, p) => p));
    this.x = backend.createTensor("f32", [capacity.maxBatchRows, model.hiddenSize]);
    this.query = backend.createTensor("f32", [capacity.maxBatchRows, model.numQueryHeads * model.headDim]);
    this.output = backend.createTensor("f32", [capacity.maxBatchRows, model.numQueryHeads * model.headDim]);
    const maxPages = Math.ceil(capacity.maxSequenceLength / capacity.pageSize);
    this.batch = {
      numRows: 0,
      numSequences: 0,
      tokenIds: new Uint32Array(capacity.maxBatchRows),
      slots: new Uint32Array(capacity.maxBatchRows),
      rope: new Float32Array(model.numRopes * capacity.maxBatchRows * model.headDim),
      firstRows: new Uint32Array(capacity.maxBatchSequences),
      rowCounts: new Uint32Array(capacity.maxBatchSequences),
      lengths: new Uint32Array(capacity.maxBatchSequences),
      validBounds: new Uint32Array(capacity.maxBatchSequences),
      pageTables: new Uint32Array(capacity.maxBatchSequences * maxPages),
      maxPagesPerSequence: maxPages,
    };
  }

  /** Creates the attention input weights of every layer. */
  withInputs(options: InputOptions = {}): this {
    this.#inputs = Array.from({ length: this.backend.model.numLayers }, () =>
      makeInput(this.backend, this.random, options),
    );
    return this;
  }

  useInputs(inputs: PairedInput[]): this {
    this.#inputs = inputs;
    return this;
  }

  newSequence(): TrialSequence {
    const layers = () => Array.from({ length: this.backend.model.numLayers }, () => []);
    return { pages: [], keys: layers(), rawKeys: layers(), values: layers(), length: 0 };
  }

  /** Frees a sequence's pages, which the next sequence reuses first. */
  end(sequence: TrialSequence): void {
    this.#freePages.unshift(...sequence.pages);
  }

  /** Creates a sequence with `length` cached tokens in every layer. */
  async filled(length: number): Promise<TrialSequence> {
    const sequence = this.newSequence();
    const { maxBatchRows } = this.backend.capacity;
    while (sequence.length < length)
      this.run([this.part(sequence, Math.min(maxBatchRows, length - sequence.length))]);
    return sequence;
  }

  part(sequence: TrialSequence, rows: number): Part {
    return {
      sequence,
      rows: Array.from({ length: rows }, () => this.random.row(this.backend.model.hiddenSize)),
    };
  }

  /** Begins a step and runs attentionInput in every layer (same x in all). */
  run(parts: readonly Part[]): void {
    this.begin(parts);
    for (let layer = 0; layer < this.backend.model.numLayers; layer++) this.attentionInput(layer);
  }

  begin(parts: readonly Part[]): void {
    const { batch, backend } = this;
    const { headDim, hiddenSize, numRopes, vocabSize } = backend.model;
    const { pageSize } = backend.capacity;
    const x = new Float32Array(parts.reduce((n, part) => n + part.rows.length, 0) * hiddenSize);
    batch.numSequences = parts.length;
    batch.pageTables.fill(0xffffffff);
    let row = 0;
    parts.forEach(({ sequence, rows, validBounds }, s) => {
      batch.firstRows[s] = row;
      batch.rowCounts[s] = rows.length;
      batch.validBounds[s] = validBounds ?? sequence.length;
      for (const values of rows) {
        const position = sequence.length++;
        if (position % pageSize === 0) {
          const page = this.#freePages.shift();
          if (page === undefined) throw new Error("the trial has no free page left");
          sequence.pages.push(page);
        }
        batch.tokenIds[row] = this.random.below(vocabSize);
        batch.slots[row] = sequence.pages[Math.floor(position / pageSize)] * pageSize + (position % pageSize);
        for (let table = 0; table < numRopes; table++)
          for (let i = 0; i < headDim / 2; i++) {
            const angle = position * (1000 + 500 * table) ** ((-2 * i) / headDim);
            const at = (table * batch.tokenIds.length + row) * headDim + i;
            // a scale other than 1, as in YaRN: a backend must use cos and sin as given
            batch.rope[at] = 1.05 * Math.cos(angle);
            batch.rope[at + headDim / 2] = 1.05 * Math.sin(angle);
          }
        x.set(values, row * hiddenSize);
        row++;
      }
      batch.lengths[s] = sequence.length;
      batch.pageTables.set(sequence.pages, s * batch.maxPagesPerSequence);
    });
    batch.numRows = row;
    this.parts = parts;
    backend.write(this.x, x);
    backend.beginStep(batch);
  }

  attentionInput(layer: number): void {
    this.backend.attentionInput(layer, inputRefs(this.input(layer)), this.x, this.query, this.raw);
    this.followInput(
      layer,
      this.parts.flatMap(({ rows }) => rows),
    );
  }

  /** Attention input weights of a layer. */
  input(layer: number): PairedInput {
    return this.#inputs[layer];
  }

  /** Does by brute force what `attentionInput` of a layer does: xs, one row each of the batch. */
  followInput(layer: number, xs: readonly Float64Array[]): void {
    const { headDim, rmsNormEps } = this.backend.model;
    const weights = this.input(layer);
    const normHeads = (heads: Float64Array[], norm: PairedWeight | undefined) =>
      heads.map((head) => (norm ? rmsNorm(head, norm.plain.values, rmsNormEps) : head));
    const turn = (heads: Float64Array[], rope: Float32Array) => heads.map((head) => rotate(head, rope));
    this.queries = [];
    this.rawQueries = [];
    for (const { sequence, rows } of this.parts)
      for (let i = 0; i < rows.length; i++) {
        const row = this.queries.length;
        const { rope: keyTable, queryRope: queryTable = keyTable } = this.backend.model.layers[layer];
        const ropeOf = (table: number) => {
          const at = (table * this.batch.tokenIds.length + row) * headDim;
          return this.batch.rope.slice(at, at + headDim);
        };
        const normed = rmsNorm(xs[row], weights.norm.plain.values, rmsNormEps);
        const project = (weight: PairedWeight, bias: PairedWeight | undefined) =>
          split(matvec(weight.plain, normed, bias?.plain), headDim);
        const rawQuery = normHeads(project(weights.q, weights.qBias), weights.qNorm);
        const rawKeys = normHeads(project(weights.k, weights.kBias), weights.kNorm);
        this.rawQueries.push(rawQuery);
        this.queries.push(turn(rawQuery, ropeOf(queryTable)));
        sequence.rawKeys[layer].push(rawKeys);
        sequence.keys[layer].push(this.#stored(turn(rawKeys, ropeOf(keyTable))));
        sequence.values[layer].push(this.#stored(project(weights.v, weights.vBias)));
      }
  }

  /** Heads of a row as the cache returns them. */
  #stored(heads: Float64Array[]): Float64Array[] {
    if (this.#cacheDtype === "q8") return heads.map(roundToInt8);
    return this.#cacheDtype === "f16" ? heads.map((head) => head.map(roundToHalf)) : heads;
  }

  kvHead(queryHead: number): number {
    const { numQueryHeads, numKvHeads } = this.backend.model;
    return Math.floor(queryHead / (numQueryHeads / numKvHeads));
  }

  keysOf(sequence: TrialSequence, layer: number, queryHead: number): Float64Array[] {
    return sequence.keys[layer].map((heads) => heads[this.kvHead(queryHead)]);
  }

  valuesOf(sequence: TrialSequence, layer: number, queryHead: number): Float64Array[] {
    return sequence.values[layer].map((heads) => heads[this.kvHead(queryHead)]);
  }

  tensor(dtype: TensorDtype, ...shape: number[]): TensorRef {
    return this.backend.createTensor(dtype, shape);
  }

  async floats(tensor: TensorRef): Promise<Float32Array> {
    const data = await this.backend.read(tensor);
    if (!(data instanceof Float32Array)) throw new TypeError("read gave no Float32Array for an f32 tensor");
    return data;
  }

  async integers(tensor: TensorRef): Promise<Uint32Array> {
    const data = await this.backend.read(tensor);
    if (!(data instanceof Uint32Array)) throw new TypeError("read gave no Uint32Array for a u32 tensor");
    return data;
  }

  /** Writes positions[sequence][group] as a selection. */
  selection(positions: readonly (readonly (readonly number[])[])[], capacity: number): TokenSelection {
    const headGroups = positions[0].length;
    const { maxBatchSequences } = this.backend.capacity;
    // poison past the counts, where a backend must not read
    const indices = new Uint32Array(maxBatchSequences * headGroups * capacity).fill(0xfffffff0);
    const counts = new Uint32Array(maxBatchSequences * headGroups);
    positions.forEach((perGroup, s) => {
      perGroup.forEach((list, g) => {
        counts[s * headGroups + g] = list.length;
        indices.set(list, (s * headGroups + g) * capacity);
      });
    });
    const selection = {
      indices: this.tensor("u32", maxBatchSequences, headGroups, capacity),
      counts: this.tensor("u32", maxBatchSequences, headGroups),
      headGroups,
    };
    this.backend.write(selection.indices, indices);
    this.backend.write(selection.counts, counts);
    return selection;
  }

  /** Reads a selection back: [sequence][group] positions. */
  async selected(selection: TokenSelection, sequences: number): Promise<number[][][]> {
    const indices = await this.integers(selection.indices);
    const counts = await this.integers(selection.counts);
    const capacity = selection.indices.shape[2];
    return Array.from({ length: sequences }, (_, s) =>
      Array.from({ length: selection.headGroups }, (_, g) => {
        const set = s * selection.headGroups + g;
        return [...indices.subarray(set * capacity, set * capacity + counts[set])];
      }),
    );
  }
}
