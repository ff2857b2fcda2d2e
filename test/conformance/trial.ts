/**
 * Runs steps on a backend and computes its caches and queries by brute force besides. Random inputs are seeded. Pages are
 * allocated in shuffled order, so that no sequence is contiguous.
 */
import type {
  AttentionInputWeights,
  Backend,
  CacheDtype,
  StepBatch,
  TokenSelection,
} from "../../src/backend/backend.ts";
import type { LayerOps } from "../../src/backend/layer-ops.ts";
import type { TensorDtype, WeightDtype } from "../../src/base/dtype.ts";
import { dimensionsOf, type TensorRef, type WeightRef, type WeightSpec } from "../../src/base/tensor-ref.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import { matvec, type PlainWeight, rmsNorm, rotate, roundToHalf, split } from "./brute-force.ts";

/** Mulberry32: uniform in [0, 1). */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }
  gauss(): number {
    return Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit());
  }
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
  /** Draws `count` of 0..n-1, ascending. */
  subset(n: number, count: number): number[] {
    return this.shuffled(Array.from({ length: n }, (_, i) => i))
      .slice(0, count)
      .sort((a, b) => a - b);
  }
  row(size: number): Float64Array {
    return Float64Array.from({ length: size }, () => Math.fround(this.gauss()));
  }
}

/** Σ(actual - expected)² / Σ expected². */
export function nmse(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    power += expected[i] ** 2;
  }
  return error / (power || 1);
}

export interface PairedWeight {
  readonly ref: WeightRef;
  readonly plain: PlainWeight;
  readonly bytes: Uint8Array;
}

/** Draws an element: its bits and its value, by the definition of the format. Includes a few subnormals. */
function randomElement(dtype: WeightDtype, random: Random): { bits: number; value: number } {
  const sign = random.below(2);
  if (dtype === "f16") {
    const exponent = random.below(12) === 0 ? 0 : 8 + random.below(5);
    const fraction = random.below(1024);
    const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
    return { bits: (sign << 15) | (exponent << 10) | fraction, value: sign ? -magnitude : magnitude };
  }
  const exponent = 120 + random.below(5);
  const fraction = random.below(128);
  const magnitude = (128 + fraction) * 2 ** (exponent - 134);
  return { bits: (sign << 15) | (exponent << 7) | fraction, value: sign ? -magnitude : magnitude };
}

export function makeWeight(backend: Backend, spec: WeightSpec, random: Random): PairedWeight {
  const { dtype } = spec;
  const { rows, cols } = dimensionsOf(spec);
  const values = new Float64Array(rows * cols);
  const size = dtype === "f32" ? 4 : 2;
  const bytes = new Uint8Array(values.length * size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) {
    if (dtype === "f32") {
      values[i] = Math.fround(random.gauss() * 0.15);
      view.setFloat32(i * 4, values[i], true);
    } else {
      const { bits, value } = randomElement(dtype, random);
      values[i] = value;
      view.setUint16(i * 2, bits, true);
    }
  }
  const ref = backend.createWeight(spec);
  backend.writeWeight(ref, 0, bytes);
  return { ref, plain: { rows, cols, values }, bytes };
}

/** Creates an f32 matrix with the given values. */
export function weightOf(
  backend: Backend,
  [rows, cols]: readonly [rows: number, cols: number],
  from: Float64Array,
): PairedWeight {
  const values = Float64Array.from(from, Math.fround);
  const bytes = new Uint8Array(new Float32Array(values).buffer);
  const ref = backend.createWeight(matrixSpec("given", "f32", [rows, cols]));
  backend.writeWeight(ref, 0, bytes);
  return { ref, plain: { rows, cols, values }, bytes };
}

type InputName = keyof AttentionInputWeights;
export type PairedInput = {
  readonly [K in InputName]: AttentionInputWeights[K] extends WeightRef
    ? PairedWeight
    : PairedWeight | undefined;
};

export interface InputOptions {
  readonly dtype?: WeightDtype;
  readonly bias?: boolean;
  readonly headNorm?: boolean;
}

export function makeInput(backend: Backend, random: Random, options: InputOptions = {}): PairedInput {
  const { hiddenSize, numQueryHeads, numKvHeads, headDim } = backend.model;
  const dtype = options.dtype ?? "f32";
  const make = (name: string, rows: number, cols: number) =>
    makeWeight(backend, matrixSpec(name, dtype, [rows, cols]), random);
  const vector = (name: string, size: number) => makeWeight(backend, vectorSpec(name, dtype, size), random);
  const [q, kv] = [numQueryHeads * headDim, numKvHeads * headDim];
  return {
    norm: vector("norm", hiddenSize),
    q: make("q", q, hiddenSize),
    k: make("k", kv, hiddenSize),
    v: make("v", kv, hiddenSize),
    qBias: options.bias ? vector("q.bias", q) : undefined,
    kBias: options.bias ? vector("k.bias", kv) : undefined,
    vBias: options.bias ? vector("v.bias", kv) : undefined,
    qNorm: options.headNorm ? vector("q.norm", headDim) : undefined,
    kNorm: options.headNorm ? vector("k.norm", headDim) : undefined,
  };
}

export function inputRefs(weights: PairedInput): AttentionInputWeights {
  const { norm, q, k, v, qBias, kBias, vBias, qNorm, kNorm } = weights;
  return {
    norm: norm.ref,
    q: q.ref,
    k: k.ref,
    v: v.ref,
    ...(qBias && { qBias: qBias.ref }),
    ...(kBias && { kBias: kBias.ref }),
    ...(vBias && { vBias: vBias.ref }),
    ...(qNorm && { qNorm: qNorm.ref }),
    ...(kNorm && { kNorm: kNorm.ref }),
  };
}

/**
 * A sequence by brute force. keys, values: [layer][position][kv head] f64 [headDim], rounded as an f16 cache rounds them.
 */
export interface TrialSequence {
  readonly pages: number[];
  readonly keys: Float64Array[][][];
  readonly values: Float64Array[][][];
  length: number;
}

/** New rows of one sequence in a step, the input of its layers. */
export interface Part {
  readonly sequence: TrialSequence;
  readonly rows: readonly Float64Array[];
  /** From where `updatePageBounds` begins, if not with the rows. */
  readonly boundsFrom?: number;
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
  parts: readonly Part[] = [];
  readonly #isHalf: boolean;
  #freePages: number[];
  #inputs: PairedInput[] = [];

  constructor(backend: TrialBackend, seed: number, cacheDtype: CacheDtype = "f32") {
    const { model, capacity } = backend;
    this.backend = backend;
    this.#isHalf = cacheDtype === "f16";
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
      rope: new Float32Array(capacity.maxBatchRows * model.headDim),
      firstRows: new Uint32Array(capacity.maxBatchSequences),
      rowCounts: new Uint32Array(capacity.maxBatchSequences),
      lengths: new Uint32Array(capacity.maxBatchSequences),
      boundsFrom: new Uint32Array(capacity.maxBatchSequences),
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
    return { pages: [], keys: layers(), values: layers(), length: 0 };
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
    const { headDim, hiddenSize, vocabSize } = backend.model;
    const { pageSize } = backend.capacity;
    const x = new Float32Array(parts.reduce((n, part) => n + part.rows.length, 0) * hiddenSize);
    batch.numSequences = parts.length;
    batch.pageTables.fill(0xffffffff);
    let row = 0;
    parts.forEach(({ sequence, rows, boundsFrom }, s) => {
      batch.firstRows[s] = row;
      batch.rowCounts[s] = rows.length;
      batch.boundsFrom[s] = boundsFrom ?? sequence.length;
      for (const values of rows) {
        const position = sequence.length++;
        if (position % pageSize === 0) {
          const page = this.#freePages.shift();
          if (page === undefined) throw new Error("the trial has no free page left");
          sequence.pages.push(page);
        }
        batch.tokenIds[row] = this.random.below(vocabSize);
        batch.slots[row] = sequence.pages[Math.floor(position / pageSize)] * pageSize + (position % pageSize);
        for (let i = 0; i < headDim / 2; i++) {
          const angle = position * 1000 ** ((-2 * i) / headDim);
          // a scale other than 1, as in YaRN: a backend must use cos and sin as given
          batch.rope[row * headDim + i] = 1.05 * Math.cos(angle);
          batch.rope[row * headDim + headDim / 2 + i] = 1.05 * Math.sin(angle);
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
    this.backend.attentionInput(layer, inputRefs(this.input(layer)), this.x, this.query);
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
    const finish = (heads: Float64Array[], norm: PairedWeight | undefined, rope: Float32Array) =>
      heads.map((head) => rotate(norm ? rmsNorm(head, norm.plain.values, rmsNormEps) : head, rope));
    this.queries = [];
    for (const { sequence, rows } of this.parts)
      for (let i = 0; i < rows.length; i++) {
        const row = this.queries.length;
        const rope = this.batch.rope.slice(row * headDim, (row + 1) * headDim);
        const normed = rmsNorm(xs[row], weights.norm.plain.values, rmsNormEps);
        const project = (weight: PairedWeight, bias: PairedWeight | undefined) =>
          split(matvec(weight.plain, normed, bias?.plain), headDim);
        this.queries.push(finish(project(weights.q, weights.qBias), weights.qNorm, rope));
        sequence.keys[layer].push(
          this.#stored(finish(project(weights.k, weights.kBias), weights.kNorm, rope)),
        );
        sequence.values[layer].push(this.#stored(project(weights.v, weights.vBias)));
      }
  }

  /** What the cache gives back of a row's heads. */
  #stored(heads: Float64Array[]): Float64Array[] {
    return this.#isHalf ? heads.map((head) => head.map(roundToHalf)) : heads;
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
    const counts = new Uint32Array(maxBatchSequences);
    positions.forEach((perGroup, s) => {
      counts[s] = perGroup[0].length;
      perGroup.forEach((list, g) => {
        indices.set(list, (s * headGroups + g) * capacity);
      });
    });
    const selection = {
      indices: this.tensor("u32", maxBatchSequences, headGroups, capacity),
      counts: this.tensor("u32", maxBatchSequences),
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
        const start = (s * selection.headGroups + g) * capacity;
        return [...indices.subarray(start, start + counts[s])];
      }),
    );
  }
}
