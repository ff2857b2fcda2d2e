/**
 * The WebGPU backend: every step a few dispatches, recorded in order; nothing is made and nothing is read back inside a
 * step. Only `read` waits, and whoever asks for the tokens of a draw.
 */
import type { TensorDtype, WeightDtype } from "../../base/dtype.ts";
import { BackendError, ShapeError } from "../../base/errors.ts";
import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  Backend,
  BackendReport,
  BackendShape,
  Draw,
  Ends,
  FeedForwardWeights,
  SamplingRow,
  Scores,
  SequenceRange,
  StepBatch,
  TokenSelection,
  UnitSet,
} from "../backend.ts";
import { checkDrawnRows } from "../drawn-tokens.ts";
import { AttentionSteps, type LayerCache } from "./attention-steps.ts";
import type { Buffers } from "./buffers.ts";
import {
  type BatchSizes,
  type CacheDtype,
  copySizes,
  type DeviceTraits,
  type GpuContext,
  stepConstants,
} from "./context.ts";
import type { DeviceWatch } from "./device-watch.ts";
import { LinearSteps } from "./linear-steps.ts";
import { padded, type Rows } from "./prepared-rows.ts";
import { Recorder } from "./recorder.ts";
import { DTYPE_CODES, type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";
import { SamplingSteps } from "./sampling-steps.ts";
import { SelectionSteps } from "./selection-steps.ts";
import { StepBuffer } from "./step-buffer.ts";
import { StepTimer } from "./step-timer.ts";
import type { Tuning } from "./tuning.ts";
import { WeightStore } from "./weight-store.ts";

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
  readonly shape: BackendShape;
  readonly runsAhead = true;
  readonly #context: GpuContext;
  readonly #watch: DeviceWatch;
  readonly #description: string;
  readonly #isShared: boolean;
  readonly #linear: LinearSteps;
  readonly #attention: AttentionSteps;
  readonly #selection: SelectionSteps;
  readonly #sampling: SamplingSteps;
  /** f32 [rows, (query + 2 kv heads) * headDim] */
  readonly #projected: NumberedBuffer;
  /** f32 [rows, padded(intermediateSize)] */
  readonly #gated: NumberedBuffer;
  readonly #logitRows: NumberedBuffer;
  #batch: BatchSizes | undefined;
  #isClosed = false;

  constructor(shape: BackendShape, options: WebGpuBackendOptions) {
    const { device, buffers, watch, traits, tuning, cacheDtype } = options;
    const recorder = new Recorder(device, buffers, watch, traits.minSubgroupSize >= 4);
    this.#watch = watch;
    this.shape = shape;
    this.#description = options.description;
    this.#isShared = options.isShared;
    this.#context = {
      device,
      shape,
      traits,
      tuning,
      cacheDtype,
      buffers,
      recorder,
      weights: new WeightStore(device, buffers, watch),
      step: new StepBuffer(device, buffers, shape),
    };
    this.#linear = new LinearSteps(this.#context);
    this.#attention = new AttentionSteps(this.#context);
    this.#selection = new SelectionSteps(this.#context, this.#attention);
    this.#sampling = new SamplingSteps(this.#context);
    const rows = shape.maxBatchRows;
    this.#projected = buffers.storage("projected heads", rows * this.#projectedWidth * 4);
    this.#gated = buffers.storage("gated", rows * padded(shape.intermediateSize) * 4);
    this.#logitRows = buffers.storage("logit rows", rows * 4);
  }

  get #projectedWidth(): number {
    const { numQueryHeads, numKvHeads, headDim } = this.shape;
    return (numQueryHeads + 2 * numKvHeads) * headDim;
  }

  report(): BackendReport {
    return {
      name: "webgpu",
      description: this.#description,
      threads: 1,
      weightBytes: this.#context.weights.sizeBytes,
      kvCacheBytes: this.#attention.sizeBytes,
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

  createWeight(name: string, dtype: WeightDtype, rows: number, cols: number): WeightRef {
    this.#check("createWeight");
    return this.#context.weights.create(name, dtype, rows, cols);
  }

  writeWeight(weight: WeightRef, firstRow: number, bytes: Uint8Array): void | Promise<void> {
    this.#check("writeWeight");
    return this.#context.weights.write(WebGpuWeight.of(weight), firstRow, bytes);
  }

  beginStep(batch: StepBatch): void {
    this.#check("beginStep");
    checkDrawnRows(batch.tokenIds, batch.numRows, this.#sampling.drawnRows);
    this.#context.recorder.submit();
    this.#batch = copySizes(batch, this.#batch);
    this.#context.step.upload(batch);
  }

  embed(embedding: WeightRef, x: TensorRef): void {
    const { recorder, step } = this.#context;
    const { hiddenSize, vocabSize } = this.shape;
    const { numRows } = this.#step();
    const weight = LinearSteps.weight(embedding, vocabSize, hiddenSize);
    const out = WebGpuTensor.of(x);
    recorder.plan(`embed ${weight.id},${out.id},${numRows}`, () => {
      const kernel = recorder.kernel(["storage", "step", "embed"], {
        ...stepConstants(this.#context),
        DTYPE: DTYPE_CODES[weight.dtype],
        COLS: hiddenSize,
        STRIDE: weight.stride,
      });
      for (const part of weight.parts)
        recorder.dispatch(
          "rest",
          kernel,
          [part.offset / 16, part.firstRow, part.rows],
          [part.chunk, step.storage, this.#sampling.drawn, out],
          numRows,
        );
    });
  }

  attentionInput(layer: number, weights: AttentionInputWeights, x: TensorRef, query: TensorRef): void {
    const { numRows } = this.#step();
    const rows = { storage: WebGpuTensor.of(x), stride: this.shape.hiddenSize, count: numRows };
    const out = WebGpuTensor.of(query);
    const { norm, q, k, v, qBias, kBias, vBias, qNorm, kNorm } = weights;
    const key = idsOf(norm, q, k, v, qBias, kBias, vBias, qNorm, kNorm);
    this.#context.recorder.plan(`input ${layer},${numRows},${rows.storage.id},${out.id},${key}`, () =>
      this.#recordInput(layer, weights, rows, out),
    );
  }

  #recordInput(layer: number, weights: AttentionInputWeights, rows: Rows, query: WebGpuTensor): void {
    const { hiddenSize, numQueryHeads, numKvHeads, headDim } = this.shape;
    const queryWidth = numQueryHeads * headDim;
    const kvWidth = numKvHeads * headDim;
    const bias = (ref: WeightRef | undefined) => ref && WebGpuWeight.of(ref);
    const q = LinearSteps.weight(weights.q, queryWidth, hiddenSize);
    const k = LinearSteps.weight(weights.k, kvWidth, hiddenSize);
    const v = LinearSteps.weight(weights.v, kvWidth, hiddenSize);
    const [qBias, kBias, vBias] = [bias(weights.qBias), bias(weights.kBias), bias(weights.vBias)];
    const norm = WebGpuWeight.of(weights.norm);
    if (!weights.qNorm && !weights.kNorm) {
      const kinds = [
        { weight: q, out: 0, bias: qBias },
        { weight: k, out: 1, bias: kBias },
        { weight: v, out: 2, bias: vBias },
      ];
      const { keys, values } = this.#attention.caches[layer] as LayerCache;
      if (this.#linear.multiplyHeads(kinds, rows, norm, { query, keys, values })) return;
    }
    this.#linear.multiply(
      [
        { weight: q, out: 0, bias: qBias },
        { weight: k, out: queryWidth, bias: kBias },
        { weight: v, out: queryWidth + kvWidth, bias: vBias },
      ],
      rows,
      { storage: this.#projected, stride: this.#projectedWidth },
      { norm },
    );
    this.#attention.finishHeads(layer, weights, this.#projected, query, rows.count);
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
    const { hiddenSize, numQueryHeads, headDim } = this.shape;
    const width = numQueryHeads * headDim;
    const { numRows } = this.#step();
    const [source, target] = [WebGpuTensor.of(attended), WebGpuTensor.of(x)];
    const { o, oBias } = weights;
    const key = `output ${numRows},${source.id},${target.id},${idsOf(o, oBias)}`;
    this.#context.recorder.plan(key, () =>
      this.#linear.multiply(
        [{ weight: LinearSteps.weight(o, hiddenSize, width), out: 0, bias: oBias && WebGpuWeight.of(oBias) }],
        { storage: source, stride: width, count: numRows },
        { storage: target, stride: hiddenSize },
        { add: true },
      ),
    );
  }

  feedForward(weights: FeedForwardWeights, x: TensorRef): void {
    const { hiddenSize, intermediateSize } = this.shape;
    const { numRows } = this.#step();
    const rows = { storage: WebGpuTensor.of(x), stride: hiddenSize, count: numRows };
    const stride = padded(intermediateSize);
    const { norm, gate, up, down } = weights;
    const key = `feed ${numRows},${rows.storage.id},${idsOf(norm, gate, up, down)}`;
    this.#context.recorder.plan(key, () => {
      this.#linear.multiplyPair(
        { weight: LinearSteps.weight(gate, intermediateSize, hiddenSize), out: 0 },
        { weight: LinearSteps.weight(up, intermediateSize, hiddenSize), out: 0 },
        rows,
        { storage: this.#gated, stride },
        { norm: WebGpuWeight.of(norm) },
      );
      this.#linear.multiply(
        [{ weight: LinearSteps.weight(down, hiddenSize, intermediateSize), out: 0 }],
        { storage: this.#gated, stride, count: numRows },
        { storage: rows.storage, stride: hiddenSize },
        { add: true },
      );
    });
  }

  logits(
    norm: WeightRef,
    output: WeightRef,
    x: TensorRef,
    rows: Uint32Array,
    count: number,
    logits: TensorRef,
  ): void {
    const { hiddenSize, vocabSize } = this.shape;
    const { recorder } = this.#context;
    this.#step();
    const gather = isInOrder(rows, count) ? undefined : this.#logitRows;
    if (gather) recorder.write(gather, 0, rows, count);
    const source = { storage: WebGpuTensor.of(x), stride: hiddenSize, count };
    const target = { storage: WebGpuTensor.of(logits), stride: vocabSize };
    const key = `logits ${count},${gather?.id},${source.storage.id},${target.storage.id},${idsOf(norm, output)}`;
    recorder.plan(key, () =>
      this.#linear.multiply(
        [{ weight: LinearSteps.weight(output, vocabSize, hiddenSize), out: 0 }],
        source,
        target,
        { norm: WebGpuWeight.of(norm), gather },
      ),
    );
  }

  sample(logits: TensorRef, rows: readonly SamplingRow[]): Draw {
    this.#check("sample");
    return this.#sampling.sample(logits, rows);
  }

  /** Records a draw whose tokens stay on the device, for the next step to embed. */
  sampleOnDevice(logits: TensorRef, rows: readonly SamplingRow[]): void {
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

  topK(range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    this.#selection.topK(this.#step(), range, scores, ends, out);
  }

  mergeByRank(range: SequenceRange, scores: Scores, ends: Ends, out: UnitSet): void {
    this.#selection.mergeByRank(this.#step(), range, scores, ends, out);
  }

  withEnds(range: SequenceRange, set: UnitSet | undefined, ends: Ends, out: TokenSelection): void {
    this.#step();
    this.#selection.withEnds(range, set, ends, out);
  }

  /** Submits what was recorded and waits until the device has done it. */
  async finish(): Promise<void> {
    this.#context.recorder.submit();
    await this.#context.recorder.finish("the recorded steps");
  }

  /** Submits what was recorded without waiting. */
  flush(): void {
    this.#context.recorder.submit();
  }

  /**
   * GPU milliseconds of what `work` records: by part, each dispatch timed by itself, or only "all", with what lies between
   * the dispatches. Needs the feature timestamp-query.
   */
  async profile(work: () => void, isByPart = true): Promise<Record<string, number>> {
    const { device, buffers, recorder } = this.#context;
    const timer = new StepTimer(device, buffers, isByPart);
    recorder.submit();
    recorder.timer = timer;
    try {
      work();
      recorder.submit();
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
    this.#attention.fillRandom(seed);
  }

  get context(): GpuContext {
    return this.#context;
  }

  get caches() {
    return this.#attention.caches;
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

  #check(what: string): void {
    if (this.#isClosed) throw new BackendError(`${what}: the webgpu backend is closed; open a new one`);
    this.#context.recorder.check();
  }

  #step(): BatchSizes {
    this.#check("step");
    if (!this.#batch) throw new ShapeError("a step was recorded before beginStep");
    return this.#batch;
  }
}

/** Numbers of weights, for the keys of plans. */
function idsOf(...refs: readonly (WeightRef | undefined)[]): string {
  let key = "";
  for (const ref of refs) key += ref ? `${WebGpuWeight.of(ref).id},` : ",";
  return key;
}

function isInOrder(rows: Uint32Array, count: number): boolean {
  for (let i = 0; i < count; i++) if (rows[i] !== i) return false;
  return true;
}
