/**
 * The WebGPU backend: every step a few dispatches, recorded in order; nothing is made and nothing is read back inside a
 * step. Only `read` waits, and whoever asks for the tokens of a draw.
 */
import type { TensorDtype } from "../../base/dtype.ts";
import { BackendError, ShapeError } from "../../base/errors.ts";
import type { TensorRef, WeightRef, WeightSpec } from "../../base/tensor-ref.ts";
import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  Backend,
  BackendReport,
  CacheDtype,
  Capacity,
  FeedForwardWeights,
  InFlightSample,
  KeptEnds,
  ModelShape,
  SamplingRow,
  Scores,
  SequenceRange,
  StepBatch,
  TokenSelection,
  UnitSet,
} from "../backend.ts";
import { checkSampledRows } from "../sampled-tokens.ts";
import { AttentionOps } from "./attention-ops.ts";
import type { Buffers } from "./buffers.ts";
import { type BatchSizes, copySizes, type GpuContext, stepConstants } from "./context.ts";
import type { DeviceTraits } from "./device-traits.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { KvCache } from "./kv-cache.ts";
import { LinearOps } from "./linear-ops.ts";
import { ProjectionOps } from "./projection-ops.ts";
import { Recorder } from "./recorder.ts";
import { DTYPE_CODES, WebGpuTensor, WebGpuWeight } from "./refs.ts";
import { SamplingOps } from "./sampling-ops.ts";
import { SelectionOps } from "./selection-ops.ts";
import { StepBuffer } from "./step-buffer.ts";
import { StepTimer, type TimedBy } from "./step-timer.ts";
import type { Tuning } from "./tuning.ts";
import { WeightStore } from "./weight-store.ts";

/** Rows from which a batch is submitted layer by layer. */
const CHUNK_ROWS = 64;

export interface WebGpuBackendOptions {
  readonly device: GPUDevice;
  /** Others use the device too: it outlives the backend. */
  readonly isShared: boolean;
  /** The backend's from here on. */
  readonly buffers: Buffers;
  readonly watch: DeviceWatch;
  readonly description: string;
  readonly traits: DeviceTraits;
  readonly tuning: Tuning;
  readonly cacheDtype: CacheDtype;
}

export class WebGpuBackend implements Backend {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly cacheDtype: CacheDtype;
  readonly runsAhead = true;
  readonly prefillRows: number;
  readonly #context: GpuContext;
  readonly #watch: DeviceWatch;
  readonly #description: string;
  readonly #isShared: boolean;
  readonly #cache: KvCache;
  readonly #projections: ProjectionOps;
  readonly #attention: AttentionOps;
  readonly #selection: SelectionOps;
  readonly #sampling: SamplingOps;
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
    this.#description = options.description;
    this.#isShared = options.isShared;
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
      step: new StepBuffer({ device, buffers, model, capacity }),
    };
    this.#cache = new KvCache(this.#context);
    this.#attention = new AttentionOps(this.#context, this.#cache);
    this.#projections = new ProjectionOps(this.#context, this.#cache, this.#attention.decode);
    this.#selection = new SelectionOps(this.#context, this.#cache);
    this.#sampling = new SamplingOps(this.#context);
  }

  report(): BackendReport {
    return {
      name: "webgpu",
      description: this.#description,
      threads: 1,
      weightBytes: this.#context.weights.sizeBytes,
      kvCacheBytes: this.#cache.sizeBytes,
    };
  }

  createTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef {
    this.#check("createTensor");
    const size = shape.reduce((a, b) => a * b, 1);
    return new WebGpuTensor(dtype, shape, this.#context.buffers.storage(`tensor [${shape}]`, size * 4));
  }

  write(tensor: TensorRef, data: Float32Array | Uint32Array): void {
    this.#check("write");
    const target = WebGpuTensor.of(tensor);
    if (data.length > target.size)
      throw new ShapeError(`write: ${data.length} elements do not fit the tensor [${target.shape}]`);
    this.#context.recorder.write(target, 0, data, data.length);
  }

  async read(tensor: TensorRef): Promise<Float32Array | Uint32Array> {
    this.#check("read");
    const from = WebGpuTensor.of(tensor);
    const bytes = await this.#context.recorder.read(from, from.size * 4);
    return from.dtype === "f32" ? new Float32Array(bytes) : new Uint32Array(bytes);
  }

  createWeight(spec: WeightSpec): WeightRef {
    this.#check("createWeight");
    return this.#context.weights.create(spec);
  }

  writeWeight(weight: WeightRef, firstRow: number, bytes: Uint8Array): void | Promise<void> {
    this.#check("writeWeight");
    return this.#context.weights.write(WebGpuWeight.of(weight), firstRow, bytes);
  }

  beginStep(batch: StepBatch): void {
    this.#check("beginStep");
    checkSampledRows(batch.tokenIds, batch.numRows, this.#sampling.sampledRows);
    this.#context.recorder.submit();
    this.#batch = copySizes(batch, this.#batch, this.capacity);
    this.#context.step.upload(batch);
  }

  embed(embedding: WeightRef, x: TensorRef): void {
    const { recorder, step } = this.#context;
    const { hiddenSize, vocabSize } = this.model;
    const { numRows } = this.#step();
    const weight = LinearOps.weight(embedding, vocabSize, hiddenSize);
    const out = WebGpuTensor.of(x);
    recorder.plan(`embed ${weight.id},${out.id},${numRows}`, () => {
      const kernel = recorder.kernel(["storage", "step", "embed"], {
        ...stepConstants(this.#context),
        DTYPE: DTYPE_CODES[weight.dtype],
        COLS: hiddenSize,
        STRIDE: weight.stride,
      });
      for (const slice of weight.slices)
        recorder.dispatch({
          category: "rest",
          kernel,
          params: { piece: slice.offset / 16, first: slice.firstRow, rows: slice.rows },
          bindings: { weights: slice.slab, step: step.storage, drawn: this.#sampling.drawn, x: out },
          grid: [numRows],
        });
    });
  }

  attentionInput(layer: number, weights: AttentionInputWeights, x: TensorRef, query: TensorRef): void {
    // a chunk takes the device far longer than the host: it begins while the layers after this one are recorded
    if (this.#batchSizes().numRows >= CHUNK_ROWS) this.flush();
    this.#projections.attentionInput(this.#batchSizes().numRows, layer, weights, x, query);
  }

  attendAll(layer: number, range: SequenceRange, query: TensorRef, output: TensorRef, scores?: Scores): void {
    this.#attention.attendAll(this.#step(), layer, range, query, output, scores);
  }

  attendSelected(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void {
    this.#attention.attendSelected(this.#step(), layer, range, query, selection, output);
  }

  attentionOutput(weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    this.#projections.attentionOutput(this.#batchSizes().numRows, weights, attended, x);
  }

  feedForward(weights: FeedForwardWeights, x: TensorRef): void {
    this.#projections.feedForward(this.#batchSizes().numRows, weights, x);
  }

  logits(
    norm: WeightRef,
    output: WeightRef,
    x: TensorRef,
    rows: Uint32Array,
    count: number,
    logits: TensorRef,
  ): void {
    this.#step();
    this.#projections.logits(norm, output, x, rows, count, logits);
  }

  sample(logits: TensorRef, rows: readonly SamplingRow[]): InFlightSample {
    this.#check("sample");
    return this.#sampling.sample(logits, rows);
  }

  /** Records a draw whose tokens stay on the device, for the next step to embed. */
  sampleOnDevice(logits: TensorRef, rows: readonly SamplingRow[]): void {
    this.#check("sample");
    this.#sampling.record(logits, rows);
  }

  scores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#attention.scores(this.#step(), layer, range, query, out);
  }

  randomScores(layer: number, range: SequenceRange, seed: number, out: Scores): void {
    this.#selection.randomScores(this.#step(), layer, range, seed, out);
  }

  updatePageBounds(layer: number, range: SequenceRange): void {
    this.#selection.updatePageBounds(this.#step(), layer, range);
  }

  pageScores(layer: number, range: SequenceRange, query: TensorRef, out: Scores): void {
    this.#selection.pageScores(this.#step(), layer, range, query, out);
  }

  topK(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#selection.topK(this.#step(), range, scores, ends, out);
  }

  mergeByRank(range: SequenceRange, scores: Scores, ends: KeptEnds, out: UnitSet): void {
    this.#selection.mergeByRank(this.#step(), range, scores, ends, out);
  }

  expandSelection(range: SequenceRange, set: UnitSet | undefined, ends: KeptEnds, out: TokenSelection): void {
    this.#step();
    this.#selection.expandSelection(range, set, ends, out);
  }

  /** Submits what was recorded and waits until the device has done it. */
  async finish(): Promise<void> {
    this.flush();
    await this.#context.recorder.finish("the recorded steps");
  }

  /** Submits what was recorded without waiting. */
  flush(): void {
    this.#release();
    this.#context.recorder.submit();
  }

  /**
   * GPU milliseconds of what `work` records: by category or by kernel, each dispatch timed by itself, or only "all", with what
   * lies between the dispatches. Needs the feature timestamp-query.
   */
  async profile(work: () => void, by: TimedBy = "category"): Promise<Record<string, number>> {
    const { device, buffers, recorder } = this.#context;
    const timer = new StepTimer(device, buffers, by);
    this.flush();
    recorder.timer = timer;
    try {
      work();
      this.flush();
      recorder.timer = undefined;
      return await timer.read(device, this.#watch);
    } finally {
      recorder.timer = undefined;
      timer.destroy();
    }
  }

  /** Gives all weights and the cache pseudo-random values made on the device; norms become 1. For benchmarks. */
  fillRandom(seed: number): void {
    this.#context.weights.fillRandom(this.#context.recorder, seed);
    this.#cache.fillRandom(seed);
  }

  get context(): GpuContext {
    return this.#context;
  }

  get caches() {
    return this.#cache.layers;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    const { device, buffers, recorder } = this.#context;
    try {
      if (this.#watch.hasFailed) return;
      recorder.submit();
      await recorder.finish("the last steps before closing");
    } catch {
      // a device that fails at the end leaves nothing undone that anybody waits for
    } finally {
      this.#watch.close();
      buffers.destroyAll();
      if (!this.#isShared) device.destroy();
    }
  }

  /** Before anything but projections is done: they and the end of attention may have been held back. */
  #check(what: string): void {
    this.#checkOpen(what);
    this.#release();
  }

  #release(): void {
    this.#projections.release();
    this.#attention.decode.release();
  }

  #checkOpen(what: string): void {
    if (this.#isClosed) throw new BackendError(`${what}: the webgpu backend is closed; open a new one`);
    this.#context.recorder.check();
  }

  #step(): BatchSizes {
    const batch = this.#batchSizes();
    this.#release();
    return batch;
  }

  #batchSizes(): BatchSizes {
    this.#checkOpen("step");
    if (!this.#batch) throw new ShapeError("a step was recorded before beginStep");
    return this.#batch;
  }
}
