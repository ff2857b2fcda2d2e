// The reference backend: every op as plain loops over f32 arrays with f64 sums, never optimised. It defines correct results, is
// the oracle of the conformance suite, and documents each op.
import type { TensorDtype } from "../../base/dtype.ts";
import { BackendError, ShapeError } from "../../base/errors.ts";
import { capacityOf, type TensorRef, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";
import { decodeWeights, elementsIn } from "../../base/weight-format.ts";
import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  Backend,
  BackendReport,
  BlockGate,
  CacheDtype,
  Capacity,
  FeedForwardWeights,
  InFlightSample,
  KeptEnds,
  KeySketch,
  LayerOutputWeights,
  LayerTensors,
  ModelShape,
  NextLayer,
  Pooling,
  RawHeads,
  Readback,
  SamplingRow,
  Scores,
  SequenceRange,
  StepBatch,
  TokenSelection,
  UnitSet,
} from "../backend.ts";
import type { CachePages } from "../cache-pages.ts";
import { checkNoWindow, checkPages, checkWrite } from "../checks.ts";
import { checkFeatures, DECODER_FEATURES } from "../decoder-features.ts";
import { advanceByOps, CPU_PREFILL_ROWS, type LayerOps } from "../layer-ops.ts";
import { immediateReadback } from "../readback.ts";
import { sampleToken } from "../sample-token.ts";
import { SampledTokens } from "../sampled-tokens.ts";
import { attendHead, headLogits, headsOf, positionsFrom } from "./attention.ts";
import { attentionInput } from "./attention-input.ts";
import { blockScores, updateBlockKeys } from "./block-gate.ts";
import { type LayerCache, resizeLayerCache } from "./cache.ts";
import { referenceCachePages } from "./cache-pages.ts";
import { addNormed, feedForwardRow } from "./feed-forward.ts";
import { sketchScores, updateKeySketch } from "./key-sketch.ts";
import { matvec, rmsNorm } from "./linear.ts";
import { allOrNothing, cacheBytes, checkSizes } from "./memory.ts";
import { PoolingOps } from "./pooling-ops.ts";
import {
  floats,
  integers,
  matrix,
  REFERENCE_FORMATS,
  ReferenceTensor,
  ReferenceWeight,
  tensor,
  vector,
  weightOf,
} from "./refs.ts";
import { emitScores, type ReferenceStep, SelectionOps } from "./selection-ops.ts";

class ReferenceBackend implements Backend, LayerOps {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly weightFormats = REFERENCE_FORMATS;
  readonly cacheDtype: CacheDtype;
  readonly cachePages: CachePages;
  readonly runsAhead = false;
  readonly prefillRows = CPU_PREFILL_ROWS;
  readonly compiledRowCounts: readonly number[] = [];
  readonly #sampled: SampledTokens;
  readonly #selection: SelectionOps;
  readonly #pooling: PoolingOps;
  readonly #step: ReferenceStep;
  #layers: LayerCache[] = [];
  #batch: StepBatch | undefined;
  #weightBytes = 0;
  #numPages = 0;

  constructor(model: ModelShape, capacity: Capacity, cacheDtype: CacheDtype) {
    checkSizes(model, capacity);
    this.cacheDtype = cacheDtype;
    this.model = model;
    this.#sampled = new SampledTokens(model.vocabSize);
    this.capacity = capacity;
    this.#layers = this.#resized(0);
    this.cachePages = referenceCachePages(this, () => this.#layers);
    this.#step = {
      model,
      capacity,
      batch: () => this.#begun(),
      layer: (layer: number) => this.#layers[layer],
    };
    this.#selection = new SelectionOps(this.#step);
    this.#pooling = new PoolingOps(this.#step);
  }

  report(): BackendReport {
    return {
      name: "reference",
      description: "plain loops in TypeScript, f32 storage, f64 sums",
      threads: 1,
      weightBytes: this.#weightBytes,
      kvCacheBytes: cacheBytes(this.model, { ...this.capacity, maxPages: this.#numPages }),
      maxKvCacheBytes: cacheBytes(this.model, this.capacity),
    };
  }

  createTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef {
    return new ReferenceTensor(dtype, shape);
  }

  createPageTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef {
    return new ReferenceTensor(dtype, [this.capacity.maxPages, ...shape]);
  }

  async allocate<T>(what: string, make: () => T): Promise<T> {
    return allOrNothing(what, make);
  }

  /** The cache has them. */
  addPageBounds(): void {}

  write(ref: TensorRef, data: Float32Array | Uint32Array, first = 0): void {
    const target = tensor(ref).data;
    checkWrite(data, target.length, first);
    target.set(data, first);
  }

  async read(ref: TensorRef): Promise<Float32Array | Uint32Array> {
    return tensor(ref).data.slice();
  }

  readback(): Readback {
    return immediateReadback((ref) => tensor(ref).data);
  }

  createWeight(spec: WeightSpec): WeightRef {
    const weight = new ReferenceWeight(spec);
    this.#weightBytes += weight.values.byteLength;
    return weight;
  }

  writeWeight(ref: WeightRef, firstRow: number, bytes: Uint8Array): void {
    const weight = weightOf(ref);
    const count = elementsIn(weight.format, bytes.byteLength);
    const start = firstRow * weight.cols;
    if (count % weight.cols !== 0 || start + count > weight.values.length)
      throw new ShapeError(
        `writing ${count} elements at row ${firstRow} of ${weight.name} [${weight.rows}, ${weight.cols}]`,
      );
    decodeWeights(bytes, weight.format, weight.values.subarray(start, start + count));
  }

  async resizeCache(numPages: number): Promise<boolean> {
    checkPages(numPages, this.capacity);
    try {
      this.#layers = this.#resized(numPages);
    } catch (error) {
      if (error instanceof BackendError) return false; // no memory for the arrays
      throw error;
    }
    this.#numPages = numPages;
    return true;
  }

  #resized(numPages: number): LayerCache[] {
    return Array.from({ length: this.model.numLayers }, (_, layer) =>
      resizeLayerCache(this, this.#layers[layer], numPages),
    );
  }

  beginStep(batch: StepBatch): void {
    const tokenIds = batch.tokenIds.slice();
    this.#sampled.resolve(tokenIds, batch.numRows);
    this.#batch = {
      ...batch,
      tokenIds,
      slots: batch.slots.slice(),
      rope: batch.rope.slice(),
      firstRows: batch.firstRows.slice(),
      rowCounts: batch.rowCounts.slice(),
      lengths: batch.lengths.slice(),
      validBounds: batch.validBounds.slice(),
      pageTables: batch.pageTables.slice(),
    };
  }

  /** The step's batch. @throws ShapeError before the first beginStep */
  #begun(): StepBatch {
    if (!this.#batch) throw new ShapeError("an op was recorded before beginStep");
    return this.#batch;
  }

  embed(embedding: WeightRef, x: TensorRef): void {
    const batch = this.#begun();
    const table = matrix(embedding);
    for (let row = 0; row < batch.numRows; row++) {
      const start = batch.tokenIds[row] * table.cols;
      for (let i = 0; i < table.cols; i++)
        floats(x)[row * table.cols + i] = table.values[start + i] * this.model.embeddingScale;
    }
  }

  attentionInput(
    layer: number,
    weights: AttentionInputWeights,
    x: TensorRef,
    query: TensorRef,
    raw?: RawHeads,
  ): void {
    attentionInput(this, this.#begun(), this.#layers[layer], { layer, weights }, { x, query, raw });
  }

  attendAll(layer: number, range: SequenceRange, query: TensorRef, output: TensorRef, scores?: Scores): void {
    const batch = this.#begun();
    const cache = this.#layers[layer];
    const { window } = this.model.layers[layer];
    if (scores) checkNoWindow(layer, window);
    for (let s = range.first; s < range.first + range.count; s++) {
      for (let i = 0; i < batch.rowCounts[s]; i++) {
        const visible = batch.lengths[s] - batch.rowCounts[s] + i + 1;
        const positions = positionsFrom(window === undefined ? 0 : Math.max(0, visible - window), visible);
        headsOf(this.model, batch.firstRows[s] + i).forEach((head, h) => {
          const logits = headLogits(cache, this, batch, s, floats(query), head, positions);
          attendHead(cache, this, batch, s, logits, head, positions, floats(output));
          if (scores) emitScores(scores, s - range.first, h, logits);
        });
      }
    }
  }

  attendSelected(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void {
    const batch = this.#begun();
    const cache = this.#layers[layer];
    const capacity = capacityOf(selection.indices);
    const headsPerGroup = this.model.numQueryHeads / selection.headGroups;
    for (let i = 0; i < range.count; i++) {
      const s = range.first + i;
      headsOf(this.model, batch.firstRows[s]).forEach((head, h) => {
        const set = i * selection.headGroups + Math.floor(h / headsPerGroup);
        const count = integers(selection.counts)[set];
        const positions = integers(selection.indices).subarray(set * capacity, set * capacity + count);
        const logits = headLogits(cache, this, batch, s, floats(query), head, positions);
        attendHead(cache, this, batch, s, logits, head, positions, floats(output));
      });
    }
  }

  attentionOutput(weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    const o = matrix(weights.o);
    const bias = weights.oBias && vector(weights.oBias);
    const norm = weights.outputNorm && vector(weights.outputNorm);
    for (let row = 0; row < this.#begun().numRows; row++) {
      const from = row * o.cols;
      const to = row * o.rows;
      if (norm) {
        const result = new Float32Array(o.rows);
        matvec(o, floats(attended), from, result, 0, { bias });
        addNormed(this.model, result, norm, floats(x), to);
        continue;
      }
      matvec(o, floats(attended), from, floats(x), to, { accumulate: true });
      if (bias) for (let i = 0; i < o.rows; i++) floats(x)[to + i] += bias[i];
    }
  }

  feedForward(weights: FeedForwardWeights, x: TensorRef): void {
    for (let row = 0; row < this.#begun().numRows; row++)
      feedForwardRow(this.model, weights, floats(x), row * this.model.hiddenSize);
  }

  advance(from: LayerOutputWeights, next: NextLayer | undefined, tensors: LayerTensors): void {
    advanceByOps(this, from, next, tensors);
  }

  logits(
    norm: WeightRef,
    output: WeightRef,
    x: TensorRef,
    rows: Uint32Array,
    count: number,
    logits: TensorRef,
  ): void {
    const { hiddenSize, vocabSize, rmsNormEps } = this.model;
    const normed = new Float32Array(hiddenSize);
    for (let i = 0; i < count; i++) {
      rmsNorm(floats(x), rows[i] * hiddenSize, hiddenSize, vector(norm), rmsNormEps, normed, 0);
      matvec(matrix(output), normed, 0, floats(logits), i * vocabSize);
    }
  }

  sample(logits: TensorRef, rows: readonly SamplingRow[]): InFlightSample {
    const { vocabSize } = this.model;
    return this.#sampled.sample(rows, (row, i) =>
      sampleToken(floats(logits).subarray(i * vocabSize, (i + 1) * vocabSize), row),
    );
  }

  scores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#selection.scores(layer, range, query, out);
  }

  selectedScores(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    candidates: TokenSelection,
    out: Scores,
  ): void {
    this.#pooling.selectedScores(layer, range, query, candidates, out);
  }

  randomScores(layer: number, range: SequenceRange, seed: number, out: Scores): void {
    this.#selection.randomScores(layer, range, seed, out);
  }

  updatePageBounds(layer: number, range: SequenceRange): void {
    this.#selection.updatePageBounds(layer, range);
  }

  pageScores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#selection.pageScores(layer, range, query, out);
  }

  updateKeySketch(layer: number, range: SequenceRange, sketch: KeySketch): void {
    updateKeySketch(this.#step, layer, range, sketch);
  }

  sketchScores(range: SequenceRange, query: TensorRef, sketch: KeySketch, out: Scores): void {
    sketchScores(this.#step, range, query, { sketch, out });
  }

  updateBlockKeys(range: SequenceRange, keys: TensorRef, gate: BlockGate): void {
    updateBlockKeys(this, this.#begun(), range, keys, gate);
  }

  blockScores(range: SequenceRange, query: TensorRef, gate: BlockGate, out: Scores): void {
    blockScores(this, this.#begun(), range, query, gate, out);
  }

  topK(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#selection.topK(range, scores, ends, out);
  }

  unitsAbove(range: SequenceRange, scores: Scores, threshold: number, out: UnitSet): void {
    this.#pooling.unitsAbove(range, scores, threshold, out);
  }

  mergeByRank(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#selection.mergeByRank(range, scores, ends, out);
  }

  expandSelection(range: SequenceRange, set: UnitSet | undefined, ends: KeptEnds, out: TokenSelection): void {
    this.#selection.expandSelection(range, set, ends, out);
  }

  poolScores(range: SequenceRange, scores: Scores, how: Pooling, out: Scores): void {
    this.#pooling.poolScores(range, scores, how, out);
  }

  mapHeads(
    range: SequenceRange,
    selection: TokenSelection,
    map: readonly number[],
    out: TokenSelection,
  ): void {
    this.#pooling.mapHeads(range, selection, map, out);
  }

  /** Nothing is compiled. */
  async prepare(): Promise<void> {}

  async close(): Promise<void> {
    this.#layers = [];
    this.#batch = undefined;
  }
}

/**
 * Opens the reference backend, which runs everywhere, slowly. An f16 or q8 cache rounds keys and values as it stores them, in f32.
 * @throws BackendError for a cache above its limit
 */
export async function createReferenceBackend(
  model: ModelShape,
  capacity: Capacity,
  cacheDtype: CacheDtype = "f32",
): Promise<Backend & LayerOps> {
  checkFeatures({ name: "reference", has: DECODER_FEATURES }, model, cacheDtype);
  return new ReferenceBackend(model, capacity, cacheDtype);
}
