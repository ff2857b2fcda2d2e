/** Records every op of the backend in every variant with a kernel of its own. The weights need not form a model. */

import { maskWords } from "../../src/backend/adjust-logits.ts";
import type {
  BlockGate,
  ExpertFeedForwardWeights,
  ExpertShape,
  SamplingRow,
  Scores,
  StepBatch,
  TokenSelection,
  UnitSet,
} from "../../src/backend/backend.ts";
import { sketchWords } from "../../src/backend/sketch-words.ts";
import { contextOf, fillBackend, sampleOnDevice } from "../../src/backend/webgpu/bench-access.ts";
import type { WebGpuBackend } from "../../src/backend/webgpu/webgpu-backend.ts";
import type { TensorRef } from "../../src/base/tensor-ref.ts";
import type { WeightFormat } from "../../src/base/weight-format.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";

const ENDS = { sinks: 4, recent: 12 };
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };
const DRAWS: readonly SamplingRow[] = [
  { params: GREEDY, sampleIndex: 0, seenTokens: [] },
  {
    params: { ...GREEDY, temperature: 1, topK: 5, repetitionPenalty: 1.5 },
    sampleIndex: 1,
    seenTokens: [1, 2],
    bias: { ids: [3, 4], values: [1, Number.NEGATIVE_INFINITY] },
  },
];
/** Rows of prefill chunks: for matrix-vector products, small and large tiles, with and without subgroup matrices. */
const CHUNKS = [2, 6, 30, 100];
/** Units that fit workgroup memory on every device, and on none. */
const FEW = 100;
const MANY = 9000;

/** Formats of a layer: of all matrices, or others of v and down, as files that mix formats have them. */
export type LayerFormats =
  | WeightFormat
  | {
      readonly most: WeightFormat;
      readonly v: WeightFormat;
      readonly up: WeightFormat;
      readonly down: WeightFormat;
    };

/** Records all ops and waits until the device has accepted them. @throws BackendError when it refuses one */
export async function recordEveryStep(
  backend: WebGpuBackend,
  formats: readonly LayerFormats[],
): Promise<void> {
  const steps = new EverySteps(backend);
  const layers = formats.flatMap((one) => [
    makeWeights(backend, one, true),
    makeWeights(backend, one, false),
  ]);
  fillBackend(backend, 1);
  for (const layer of layers) {
    for (const rows of CHUNKS) steps.layer(layer, [rows], rows);
    steps.layer(layer, [1], 20);
    steps.layerKernels(layer);
    steps.layer(layer, [1, 1, 1], backend.capacity.maxSequenceLength);
  }
  steps.attention();
  steps.selection();
  for (const layer of layers.slice(0, 2)) steps.gates(layer);
  const { recorder } = contextOf(backend);
  recorder.dispatch({
    category: "rest",
    kernel: recorder.kernel(["plain-read"], {}), // of the benchmarks
    bindings: { data: "unused", out: "unused" },
    grid: [1],
  });
  await backend.finish();
}

type LayerWeights = ReturnType<typeof makeWeights>;

/** Creates weights without contents; the backend fills them. */
function makeWeights(backend: WebGpuBackend, formats: LayerFormats, hasHeadNorm: boolean) {
  const { most, v, up, down } =
    typeof formats === "string" ? { most: formats, v: formats, up: formats, down: formats } : formats;
  const { hiddenSize, intermediateSize, headDim, vocabSize, numQueryHeads, numKvHeads, experts } =
    backend.model;
  const [queryWidth, kvWidth] = [numQueryHeads * headDim, numKvHeads * headDim];
  const weight = (rows: number, cols: number, format = most) =>
    backend.createWeight(matrixSpec("w", format, [rows, cols]));
  const vector = (size: number) => backend.createWeight(vectorSpec("v", most, size));
  const headNorms = { qNorm: vector(headDim), kNorm: vector(headDim) };
  return {
    embedding: weight(vocabSize, hiddenSize),
    input: {
      norm: vector(hiddenSize),
      q: weight(queryWidth, hiddenSize),
      k: weight(kvWidth, hiddenSize),
      v: weight(kvWidth, hiddenSize, v),
      ...(hasHeadNorm && headNorms),
    },
    output: { o: weight(hiddenSize, queryWidth), oBias: vector(hiddenSize) },
    outputNorm: vector(hiddenSize),
    ...(experts && { experts: makeExperts(backend, most, experts) }),
    feedForward: {
      kind: "dense" as const,
      norm: vector(hiddenSize),
      gate: weight(intermediateSize, hiddenSize),
      up: weight(intermediateSize, hiddenSize, up),
      down: weight(hiddenSize, intermediateSize, down),
    },
  };
}

/** Creates the weights of a feed-forward of experts. */
function makeExperts(
  backend: WebGpuBackend,
  format: WeightFormat,
  sizes: ExpertShape,
): ExpertFeedForwardWeights {
  const { numExperts, intermediateSize } = sizes;
  const { hiddenSize } = backend.model;
  const stack = (rows: number, cols: number) =>
    backend.createWeight({ kind: "matrix", name: "w", format, rows, cols, experts: numExperts });
  return {
    kind: "experts",
    norm: backend.createWeight(vectorSpec("v", format, hiddenSize)),
    router: backend.createWeight(matrixSpec("w", "f32", [numExperts, hiddenSize])),
    gate: stack(intermediateSize, hiddenSize),
    up: stack(intermediateSize, hiddenSize),
    down: stack(hiddenSize, intermediateSize),
  };
}

class EverySteps {
  readonly #backend: WebGpuBackend;
  readonly #x: TensorRef;
  readonly #query: TensorRef;
  readonly #attended: TensorRef;
  readonly #logits: TensorRef;

  constructor(backend: WebGpuBackend) {
    const { hiddenSize, numQueryHeads, headDim, vocabSize } = backend.model;
    const { maxBatchRows, maxBatchSequences } = backend.capacity;
    this.#backend = backend;
    this.#x = backend.createTensor("f32", [maxBatchRows, hiddenSize]);
    this.#query = backend.createTensor("f32", [maxBatchRows, numQueryHeads * headDim]);
    this.#attended = backend.createTensor("f32", [maxBatchRows, numQueryHeads * headDim]);
    this.#logits = backend.createTensor("f32", [maxBatchSequences, vocabSize]);
  }

  #begin(rowCounts: readonly number[], length: number): number {
    const { model, capacity } = this.#backend;
    const numRows = rowCounts.reduce((sum, rows) => sum + rows, 0);
    const maxPages = Math.ceil(capacity.maxSequenceLength / capacity.pageSize);
    const batch: StepBatch = {
      numRows,
      numSequences: rowCounts.length,
      tokenIds: new Uint32Array(numRows),
      slots: new Uint32Array(numRows),
      rope: new Float32Array(model.numRopes * numRows * model.headDim),
      firstRows: Uint32Array.from(rowCounts.keys()), // correct for single rows, and for a single chunk
      rowCounts: Uint32Array.from(rowCounts),
      validBounds: Uint32Array.from(rowCounts, (rows) => length - rows),
      lengths: new Uint32Array(rowCounts.length).fill(length),
      pageTables: new Uint32Array(rowCounts.length * maxPages),
      maxPagesPerSequence: maxPages,
    };
    this.#backend.beginStep(batch);
    return numRows;
  }

  /** A step of a whole model of one layer, with its sample. */
  layer(weights: LayerWeights, rowCounts: readonly number[], length: number): void {
    const backend = this.#backend;
    const numRows = this.#begin(rowCounts, length);
    const range = { first: 0, count: rowCounts.length };
    backend.embed(weights.embedding, this.#x);
    for (let layer = 0; layer < backend.model.numLayers; layer++) {
      backend.attentionInput(layer, weights.input, this.#x, this.#query);
      backend.attendAll(layer, range, this.#query, this.#attended);
    }
    backend.updatePageBounds(0, range);
    backend.attentionOutput(weights.output, this.#attended, this.#x);
    backend.feedForward(weights.feedForward, this.#x);
    // at once, where products with subgroup matrices leave sums to the kernels that read them
    if (contextOf(backend).traits.subgroupMatrix)
      backend.advance(
        { output: weights.output, feedForward: weights.feedForward },
        { layer: 0, weights: weights.input },
        { attended: this.#attended, x: this.#x, query: this.#query },
      );
    if (weights.experts) {
      const { outputNorm } = weights;
      backend.attentionOutput({ ...weights.output, outputNorm }, this.#attended, this.#x);
      backend.feedForward(weights.experts, this.#x);
    }
    for (const rows of [[numRows - 1], [numRows - 1, 0, 0]])
      backend.logits(
        weights.input.norm,
        weights.embedding,
        this.#x,
        Uint32Array.from(rows),
        rows.length,
        this.#logits,
      );
    const mask = new Uint32Array(maskWords(backend.model.vocabSize)).fill(0xffffffff);
    sampleOnDevice(
      backend,
      this.#logits,
      DRAWS.map((row) => ({ ...row, mask })),
    );
  }

  /** A row through layers, from an attention and from what was attended before, into the next layer and to the end. */
  layerKernels({ input, output, feedForward, embedding }: LayerWeights): void {
    const backend = this.#backend;
    this.#begin([1], 20);
    const tensors = { attended: this.#attended, x: this.#x, query: this.#query };
    const from = { output: { o: output.o }, feedForward };
    for (const isAttended of [true, false]) {
      if (isAttended) backend.attendAll(0, { first: 0, count: 1 }, this.#query, this.#attended);
      for (let layer = 0; layer < backend.model.numLayers; layer++)
        backend.advance(from, { layer, weights: input }, tensors);
    }
    backend.advance(from, undefined, tensors);
    backend.logits(input.norm, embedding, this.#x, Uint32Array.of(0), 1, this.#logits);
  }

  /** Decode steps with every kind of pass over the cache. */
  attention(): void {
    const backend = this.#backend;
    const { numQueryHeads, numKvHeads } = backend.model;
    const { maxSequenceLength, pageSize } = backend.capacity;
    const range = { first: 0, count: 1 };
    this.#begin([1], maxSequenceLength);
    const scores = this.#scores(numQueryHeads, 1);
    backend.attendAll(0, range, this.#query, this.#attended, scores);
    backend.scores(0, range, this.#query, scores);
    backend.randomScores(0, range, 1, scores);
    for (const headGroups of [1, numKvHeads, numQueryHeads]) {
      const selection = this.#selection(headGroups, FEW);
      backend.attendSelected(0, range, this.#query, selection, this.#attended);
      backend.selectedScores(0, range, this.#query, selection, scores);
    }
    const map = Array.from({ length: numKvHeads }, (_, head) => numKvHeads - 1 - head);
    const sets = [this.#selection(numKvHeads, FEW), this.#selection(numKvHeads, FEW)] as const;
    backend.mapHeads(range, sets[0], map, sets[1]);
    backend.unitsAbove(
      range,
      this.#scores(numKvHeads, pageSize),
      0.5,
      this.#units(numKvHeads, maxSequenceLength, pageSize),
    );
    const { maxPages } = backend.capacity;
    const words = sketchWords(backend.model.headDim);
    const keys = backend.createTensor("u32", [maxPages * pageSize, numKvHeads, words]);
    backend.updateKeySketch(0, range, { keys });
    backend.sketchScores(range, this.#query, { keys }, this.#scores(numKvHeads, 1));
    for (const unit of [pageSize, 3 * pageSize])
      backend.pageScores(0, range, this.#query, this.#scores(numQueryHeads, unit));
  }

  selection(): void {
    const backend = this.#backend;
    const { numQueryHeads: heads } = backend.model;
    const { maxSequenceLength, pageSize } = backend.capacity;
    const range = { first: 0, count: 1 };
    this.#begin([1], maxSequenceLength);
    for (const [unit, count] of [
      [1, FEW],
      [1, MANY],
      [pageSize, FEW],
    ] as const) {
      const scores = this.#scores(heads, unit);
      for (const how of ["softmax-mean", "max"] as const)
        backend.poolScores(range, scores, how, this.#scores(1, unit));
      const perHead = this.#units(heads, count, unit);
      const merged = this.#units(1, count, unit);
      backend.topK(range, scores, ENDS, perHead);
      backend.mergeByRank(range, scores, ENDS, merged);
      const capacity = (count + ENDS.sinks + ENDS.recent) * unit;
      backend.expandSelection(range, perHead, ENDS, this.#selection(heads, capacity));
      backend.expandSelection(range, merged, ENDS, this.#selection(1, capacity));
    }
    backend.expandSelection(range, undefined, ENDS, this.#selection(1, FEW));
  }

  /** A chunk that completes blocks, and a decode step, with gates that have norms and RoPE, and that have neither. */
  gates({ input, output, feedForward }: LayerWeights): void {
    const backend = this.#backend;
    const { numQueryHeads, numKvHeads, headDim } = backend.model;
    const { maxBatchRows, pageSize } = backend.capacity;
    const range = { first: 0, count: 1 };
    const raw = {
      query: backend.createTensor("f32", [maxBatchRows, numQueryHeads * headDim]),
      keys: backend.createTensor("f32", [maxBatchRows, numKvHeads * headDim]),
    };
    const tensors = { attended: this.#attended, x: this.#x, query: this.#query, raw };
    for (const gate of [this.#gate(48, pageSize, true), this.#gate(300, 2 * pageSize, false)])
      for (const rows of [100, 1]) {
        this.#begin([rows], 192);
        backend.attentionInput(0, input, this.#x, this.#query, raw);
        backend.updateBlockKeys(range, raw.keys, gate);
        if (rows > 1) continue;
        backend.blockScores(range, raw.query, gate, this.#scores(numKvHeads, gate.blockSize));
        backend.advance({ output: { o: output.o }, feedForward }, { layer: 0, weights: input }, tensors);
      }
  }

  #gate(gateDim: number, blockSize: number, isWhole: boolean): BlockGate {
    const { numQueryHeads, numKvHeads, headDim } = this.#backend.model;
    const { maxPages, maxSequenceLength } = this.#backend.capacity;
    const tensor = (...shape: number[]) => this.#backend.createTensor("f32", shape);
    return {
      ...{ blockSize, gateDim, normEps: 1e-6 },
      ...(isWhole && {
        ...{ qNorm: tensor(gateDim), kNorm: tensor(gateDim), rope: tensor(maxSequenceLength, gateDim) },
      }),
      q: tensor(numQueryHeads, headDim, gateDim),
      k: tensor(numKvHeads, 3 * headDim, gateDim),
      pools: tensor(maxPages, numKvHeads, 3, headDim),
      blockKeys: tensor(maxPages, numKvHeads, gateDim),
    };
  }

  #scores(heads: number, unit: number): Scores {
    const { maxBatchSequences, maxSequenceLength } = this.#backend.capacity;
    const capacity = Math.ceil(maxSequenceLength / unit);
    return { values: this.#backend.createTensor("f32", [maxBatchSequences, heads, capacity]), heads, unit };
  }

  #units(headGroups: number, count: number, unit: number): UnitSet {
    const { maxBatchSequences } = this.#backend.capacity;
    const units = this.#backend.createTensor("u32", [maxBatchSequences, headGroups, count]);
    return { units, headGroups, count, unit };
  }

  #selection(headGroups: number, capacity: number): TokenSelection {
    const { maxBatchSequences } = this.#backend.capacity;
    return {
      indices: this.#backend.createTensor("u32", [maxBatchSequences, headGroups, capacity]),
      counts: this.#backend.createTensor("u32", [maxBatchSequences, headGroups]),
      headGroups,
    };
  }
}
