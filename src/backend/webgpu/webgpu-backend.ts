/**
 * The WebGPU backend: each op records a few dispatches, in order. A step allocates nothing and reads nothing back; the host
 * waits only for `read`, `readback` and the tokens of a sample.
 */
import type { TensorDtype } from "../../base/dtype.ts";
import { BackendError, ShapeError } from "../../base/errors.ts";
import type { TensorRef, WeightRef, WeightSpec } from "../../base/tensor-ref.ts";
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
import { checkPages, checkWrite } from "../checks.ts";
import { checkFormat } from "../decoder-features.ts";
import { advanceByOps, type LayerOps } from "../layer-ops.ts";
import { checkSampledRows } from "../sampled-tokens.ts";
import { AttentionOps } from "./attention-ops.ts";
import type { WebGpuBackendOptions } from "./backend-options.ts";
import { BlockGateOps } from "./block-gate-ops.ts";
import { webGpuCachePages } from "./cache-pages.ts";
import { type BatchSizes, copySizes, type GpuContext } from "./context.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { EmbedOps } from "./embed-ops.ts";
import { KeySketchOps } from "./key-sketch-ops.ts";
import { KvCache } from "./kv-cache.ts";
import { PoolingOps } from "./pooling-ops.ts";
import { ProjectionOps } from "./projection-ops.ts";
import { Readbacks } from "./readbacks.ts";
import { Recorder } from "./recorder.ts";
import { WebGpuTensor, WebGpuWeight } from "./refs.ts";
import { compiledRowCountsOf, FLUSH_ROWS } from "./row-classes.ts";
import { SamplingOps } from "./sampling-ops.ts";
import { SelectionOps } from "./selection-ops.ts";
import { StepBuffer } from "./step-buffer.ts";
import { choicesOf } from "./tuned-sizes.ts";
import { WEBGPU_FORMATS } from "./weight-formats.ts";
import { WeightStore } from "./weight-store.ts";

export class WebGpuBackend implements Backend, LayerOps {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly weightFormats = WEBGPU_FORMATS;
  readonly cacheDtype: CacheDtype;
  readonly cachePages: CachePages;
  readonly runsAhead = true;
  readonly prefillRows: number;
  readonly compiledRowCounts: readonly number[];
  readonly #context: GpuContext;
  readonly #watch: DeviceWatch;
  readonly #about: Pick<WebGpuBackendOptions, "description" | "chosen" | "isShared">;
  readonly #cache: KvCache;
  readonly #projections: ProjectionOps;
  readonly #attention: AttentionOps;
  readonly #selection: SelectionOps;
  readonly #blockGates: BlockGateOps;
  readonly #pooling: PoolingOps;
  readonly #sketches: KeySketchOps;
  readonly #sampling: SamplingOps;
  readonly #embeds: EmbedOps;
  readonly #readbacks: Readbacks;
  #batch: BatchSizes | undefined;
  #isClosed = false;

  constructor(model: ModelShape, capacity: Capacity, options: WebGpuBackendOptions) {
    const { device, buffers, watch, traits, tuning, cacheDtype } = options;
    const recorder = new Recorder(device, buffers, watch, traits);
    this.#watch = watch;
    this.model = model;
    this.capacity = capacity;
    this.cacheDtype = cacheDtype;
    this.prefillRows = capacity.maxBatchRows;
    this.compiledRowCounts = traits.isSoftware ? [] : compiledRowCountsOf(capacity);
    this.#about = options;
    this.#context = {
      device,
      model,
      capacity,
      traits,
      tuning,
      cacheDtype,
      buffers,
      recorder,
      weights: new WeightStore(device, buffers, watch, traits.bindingBytes),
      stepBuffer: new StepBuffer({ device, buffers, model, capacity }),
    };
    this.#cache = new KvCache(this.#context, watch);
    this.#attention = new AttentionOps(this.#context, this.#cache, () => this.#sizes());
    this.#projections = new ProjectionOps(this.#context, this.#cache);
    this.#selection = new SelectionOps(this.#context, this.#cache);
    this.#blockGates = new BlockGateOps(this.#context);
    this.#pooling = new PoolingOps(this.#context);
    this.#sketches = new KeySketchOps(this.#context, this.#cache);
    this.#sampling = new SamplingOps(this.#context);
    this.#embeds = new EmbedOps(this.#context, () => this.#sampling.sampledTokens);
    this.#readbacks = new Readbacks(recorder, buffers, (tensor) => this.#attention.decode.settle(tensor));
    this.cachePages = webGpuCachePages(this.#context, this.#cache, this.#readbacks);
  }

  report(): BackendReport {
    const { description, chosen } = this.#about;
    return {
      name: "webgpu",
      description,
      threads: 1,
      weightBytes: this.#context.weights.sizeBytes,
      kvCacheBytes: this.#cache.sizeBytes,
      maxKvCacheBytes: this.#cache.bytesOf(this.capacity.maxPages),
      ...(chosen && { tuning: { from: "kept", choices: choicesOf(chosen) } }),
    };
  }

  createTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef {
    this.#checkOpen("createTensor");
    const size = shape.reduce((a, b) => a * b, 1);
    return new WebGpuTensor(dtype, shape, this.#context.buffers.storage(`tensor [${shape}]`, size * 4));
  }

  createPageTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef {
    this.#checkOpen("createPageTensor");
    return this.#cache.createPageTensor(dtype, shape);
  }

  allocate<T>(what: string, make: () => T): Promise<T> {
    this.#checkOpen("allocate");
    return this.#cache.allocate(what, make);
  }

  addPageBounds(): void {
    this.#checkOpen("addPageBounds");
    this.#cache.addBounds();
  }

  write(tensor: TensorRef, data: Float32Array | Uint32Array, first = 0): void {
    this.#checkOpen("write");
    const target = WebGpuTensor.of(tensor);
    checkWrite(data, target.size, first);
    this.#attention.decode.settle(target);
    this.#context.recorder.write(target, 4 * first, data, data.length);
  }

  async read(tensor: TensorRef): Promise<Float32Array | Uint32Array> {
    this.#checkOpen("read");
    const { dtype, size } = WebGpuTensor.of(tensor);
    const out = dtype === "f32" ? new Float32Array(size) : new Uint32Array(size);
    const readback = this.#readbacks.start();
    readback.add(tensor, 0, out);
    await readback.arrive();
    return out;
  }

  readback(): Readback {
    this.#checkOpen("readback");
    return this.#readbacks.start();
  }

  createWeight(spec: WeightSpec): WeightRef {
    checkFormat("webgpu", this, spec);
    this.#checkOpen("createWeight");
    return this.#context.weights.create(spec);
  }

  writeWeight(weight: WeightRef, firstRow: number, bytes: Uint8Array): void | Promise<void> {
    this.#checkOpen("writeWeight");
    return this.#context.weights.write(WebGpuWeight.of(weight), firstRow, bytes);
  }

  resizeCache(numPages: number): Promise<boolean> {
    this.#checkOpen("resizeCache");
    checkPages(numPages, this.capacity);
    return this.#cache.resize(numPages);
  }

  beginStep(batch: StepBatch): void {
    this.#checkOpen("beginStep");
    checkSampledRows(batch.tokenIds, batch.numRows, this.#sampling.sampledRows);
    this.#context.recorder.submit();
    this.#batch = copySizes(batch, this.#batch, this.capacity);
    if (!this.#context.recorder.isDry) this.#context.stepBuffer.upload(batch);
  }

  embed(embedding: WeightRef, x: TensorRef): void {
    this.#embeds.embed(this.#sizes().numRows, embedding, x);
  }

  attentionInput(
    layer: number,
    weights: AttentionInputWeights,
    x: TensorRef,
    query: TensorRef,
    raw?: RawHeads,
  ): void {
    const { numRows } = this.#sizes();
    if (numRows >= FLUSH_ROWS) this.flush();
    this.#projections.attentionInput(numRows, { layer, weights }, { x, query, raw });
  }

  attendAll(layer: number, range: SequenceRange, query: TensorRef, output: TensorRef, scores?: Scores): void {
    this.#attention.attendAll(layer, range, query, output, scores);
  }

  attendSelected(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void {
    this.#attention.attendSelected(layer, range, query, selection, output);
  }

  advance(from: LayerOutputWeights, next: NextLayer | undefined, tensors: LayerTensors): void {
    const { numRows } = this.#sizes();
    if (numRows === 1 && this.#projections.advanceRow(from, next, tensors)) return;
    this.#attention.decode.settle(WebGpuTensor.of(tensors.attended));
    if (numRows < FLUSH_ROWS && this.#projections.advanceRows(numRows, from, next, tensors)) return;
    advanceByOps(this, from, next, tensors);
  }

  attentionOutput(weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    const { numRows } = this.#sizes();
    this.#attention.decode.settle(WebGpuTensor.of(attended));
    this.#projections.attentionOutput(numRows, weights, attended, x);
  }

  feedForward(weights: FeedForwardWeights, x: TensorRef): void {
    this.#projections.feedForward(this.#sizes().numRows, weights, x);
  }

  logits(
    norm: WeightRef,
    output: WeightRef,
    x: TensorRef,
    rows: Uint32Array,
    count: number,
    logits: TensorRef,
  ): void {
    this.#sizes();
    this.#projections.logits(norm, output, x, rows, count, logits);
  }

  sample(logits: TensorRef, rows: readonly SamplingRow[]): InFlightSample {
    this.#checkOpen("sample");
    return this.#sampling.sample(logits, rows, this.#batch?.numRows ?? 1);
  }

  scores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#attention.scores(layer, range, query, out);
  }

  selectedScores(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    candidates: TokenSelection,
    out: Scores,
  ): void {
    this.#pooling.maskScores(this.#sizes(), range, out);
    this.#attention.scores(layer, range, query, out, candidates);
  }

  randomScores(layer: number, range: SequenceRange, seed: number, out: Scores): void {
    this.#selection.randomScores(this.#sizes(), layer, range, seed, out);
  }

  updatePageBounds(layer: number, range: SequenceRange): void {
    this.#selection.updatePageBounds(this.#sizes(), layer, range);
  }

  pageScores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#selection.pageScores(this.#sizes(), layer, range, query, out);
  }

  updateKeySketch(layer: number, range: SequenceRange, sketch: KeySketch): void {
    this.#sketches.updateKeySketch(this.#sizes(), layer, range, sketch);
  }

  sketchScores(range: SequenceRange, query: TensorRef, sketch: KeySketch, out: Scores): void {
    this.#sketches.sketchScores(this.#sizes(), range, query, { sketch, out });
  }

  updateBlockKeys(range: SequenceRange, keys: TensorRef, gate: BlockGate): void {
    this.#blockGates.updateBlockKeys(this.#sizes(), range, keys, gate);
  }

  blockScores(range: SequenceRange, query: TensorRef, gate: BlockGate, out: Scores): void {
    this.#blockGates.blockScores(this.#sizes(), range, query, gate, out);
  }

  topK(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#selection.topK(this.#sizes(), range, scores, ends, out);
  }

  unitsAbove(range: SequenceRange, scores: Scores, threshold: number, out: UnitSet): void {
    this.#pooling.unitsAbove(this.#sizes(), range, { scores, threshold }, out);
  }

  mergeByRank(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#selection.mergeByRank(this.#sizes(), range, scores, ends, out);
  }

  expandSelection(range: SequenceRange, set: UnitSet | undefined, ends: KeptEnds, out: TokenSelection): void {
    this.#sizes();
    this.#selection.expandSelection(range, set, ends, out);
  }

  poolScores(range: SequenceRange, scores: Scores, how: Pooling, out: Scores): void {
    this.#pooling.poolScores(this.#sizes(), range, scores, how, out);
  }

  mapHeads(
    range: SequenceRange,
    selection: TokenSelection,
    map: readonly number[],
    out: TokenSelection,
  ): void {
    this.#sizes();
    this.#pooling.mapHeads(range, selection, map, out);
  }

  async prepare(record: () => void): Promise<void> {
    this.#checkOpen("prepare");
    await this.#context.recorder.prepare(record);
  }

  /** Submits everything recorded and waits until the device has done it. */
  async finish(): Promise<void> {
    this.flush();
    await this.#context.recorder.finish("the recorded steps");
  }

  /** Submits everything recorded without waiting. */
  flush(): void {
    this.#context.recorder.submit();
  }

  /** The backend's inside, for bench-access.ts alone. */
  static inside(backend: WebGpuBackend) {
    backend.#checkOpen("inside");
    return {
      context: backend.#context,
      cache: backend.#cache,
      sampling: backend.#sampling,
      attention: backend.#attention,
      watch: backend.#watch,
    };
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { device, buffers, recorder } = this.#context;
    try {
      if (this.#watch.hasFailed) return;
      await recorder.compiler.close();
      recorder.submit();
      await recorder.finish("the last steps before closing");
    } catch {
      // nobody waits for the last steps: a device that fails now harms nothing
    } finally {
      this.#watch.close();
      buffers.destroyAll();
      if (!this.#about.isShared) device.destroy();
    }
  }

  #checkOpen(what: string): void {
    if (this.#isClosed) throw new BackendError(`${what}: the webgpu backend is closed; open a new one`);
    this.#context.recorder.check();
  }

  /** Sizes of the current step. @throws ShapeError before the first one */
  #sizes(): BatchSizes {
    this.#checkOpen("step");
    if (!this.#batch) throw new ShapeError("an op was recorded before beginStep");
    return this.#batch;
  }
}
