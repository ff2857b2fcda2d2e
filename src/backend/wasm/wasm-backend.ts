import type { TensorDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import { capacityOf, type TensorRef, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";
import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  Backend,
  BackendReport,
  BlockGate,
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
  TuningReport,
  UnitSet,
} from "../backend.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";
import type { CachePages } from "../cache-pages.ts";
import { checkNoWindow, checkPages, checkWrite } from "../checks.ts";
import { checkFormat } from "../decoder-features.ts";
import { advanceByOps, CPU_PREFILL_ROWS, type LayerOps } from "../layer-ops.ts";
import { immediateReadback } from "../readback.ts";
import { SampledTokens } from "../sampled-tokens.ts";
import { Arena } from "./arena.ts";
import { ARRIVED_ADDRESS, TILE_SLOTS } from "./assembly/layout.ts";
import type { WasmBackendOptions } from "./backend-options.ts";
import { BatchRegion } from "./batch-region.ts";
import { BlockGateOps } from "./block-gate-ops.ts";
import { wasmCachePages } from "./cache-pages.ts";
import type { WasmExports } from "./exports.ts";
import type { StartedWorker } from "./host.ts";
import { KernelRunner } from "./kernel-runner.ts";
import { kernelsOf } from "./kernels.ts";
import { KeySketchOps } from "./key-sketch-ops.ts";
import { KvCache, type MemoryRegion } from "./kv-cache.ts";
import { regions } from "./memory-map.ts";
import { PoolingOps } from "./pooling-ops.ts";
import { elementsOf, matrixDescriptor, tensorOf, vectorDescriptor, WasmTensor } from "./refs.ts";
import { SelectionOps } from "./selection-ops.ts";
import { TokenSampler } from "./token-sampler.ts";
import { WASM_FORMATS, WeightStore } from "./weight-store.ts";
import { writeSizes, writeTuning } from "./write-words.ts";

/** Kernels in WebAssembly over one linear memory. An op has run when it returns. */
export class WasmBackend implements Backend, LayerOps {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly weightFormats = WASM_FORMATS;
  readonly cacheDtype: CpuCacheDtype;
  readonly cachePages: CachePages;
  readonly runsAhead = false;
  readonly prefillRows = CPU_PREFILL_ROWS;
  readonly compiledRowCounts: readonly number[] = [];
  readonly arena: Arena;
  readonly kernels: WasmExports;
  readonly #threads: number;
  readonly #description: string;
  readonly #tuning: TuningReport;
  readonly #weights: WeightStore;
  readonly #cache: KvCache;
  readonly #batch: BatchRegion;
  readonly #sampler: TokenSampler;
  readonly #runner: KernelRunner;
  readonly #selection: SelectionOps;
  readonly #blockGates: BlockGateOps;
  readonly #pooling: PoolingOps;
  readonly #sketches: KeySketchOps;
  readonly #sampled: SampledTokens;

  constructor(model: ModelShape, capacity: Capacity, options: WasmBackendOptions) {
    this.model = model;
    this.capacity = capacity;
    this.cacheDtype = options.cacheDtype;
    this.arena = new Arena(options.memory);
    this.kernels = kernelsOf(options.kernels);
    this.#runner = new KernelRunner(this.kernels, options.memory);
    this.#threads = options.threads;
    this.#description = options.description;
    this.#tuning = options.tuning;
    writeSizes(this.arena, this, options.cacheDtype);
    for (const [word, bytes] of regions(model, capacity, options.cacheDtype))
      this.arena.setWord(word, this.arena.allocate(bytes, word));
    const scratchBytes = Math.ceil((this.kernels.threadScratch() + 128) / 64) * 64;
    this.arena.setWord("scratchBytes", scratchBytes);
    this.arena.setWord("scratch", this.arena.allocate(scratchBytes * options.threads, "thread scratch"));
    this.#weights = new WeightStore(this.arena, this.kernels, model);
    this.#cache = new KvCache(this.arena, this, options.cacheDtype);
    const { arena, cacheDtype } = this;
    this.cachePages = wasmCachePages({ model, capacity, cacheDtype, arena, cache: this.#cache });
    this.#batch = new BatchRegion(this.arena, this.#cache, this);
    this.#selection = new SelectionOps(this.#runner, this.#batch, this.#cache);
    this.#blockGates = new BlockGateOps(this.#runner, this.arena, this);
    this.#pooling = new PoolingOps(this.#runner, this.#selection, model);
    this.#sketches = new KeySketchOps(this.#runner, this.#selection);
    this.#sampler = new TokenSampler(this.arena, model.vocabSize);
    this.#sampled = new SampledTokens(model.vocabSize);
    this.kernels.startMain();
    this.tune(options.tuning.choices);
  }

  /** Writes choices for the processor, none of which changes a result; choices without a value stay as they are. */
  tune(choices: Readonly<Record<string, number>>): void {
    writeTuning(this.arena, choices);
    // A read runs on all threads, and each then learns which jobs are its own.
    if (this.#runner.numWorkers > 0)
      this.#runner.guard("tune", (kernels) => kernels.readAll(0, 1 << 17, this.arena.word("scratch")));
  }

  /** Lets a started worker take part in jobs. */
  addWorker(worker: StartedWorker): void {
    this.#runner.addWorker(worker);
    this.arena.setWord("workers", this.#runner.numWorkers);
  }

  /** Threads that have started, the caller's included. */
  get startedThreads(): number {
    return 1 + Atomics.load(this.arena.integers, ARRIVED_ADDRESS / 4);
  }

  report(): BackendReport {
    return {
      name: "wasm",
      description: this.#description,
      threads: this.#threads,
      weightBytes: this.#weights.bytes,
      kvCacheBytes: this.#cache.bytes,
      maxKvCacheBytes: this.#cache.maxBytes,
      tuning: this.#tuning,
    };
  }

  createTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef {
    const size = shape.reduce((a, b) => a * b, 1);
    return new WasmTensor(dtype, shape, this.arena.allocate(size * 4, `a tensor [${shape.join(", ")}]`));
  }

  createPageTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef {
    // Kernels read sketches by tiles of four slots; where pages are smaller, the last tile may go past the last page.
    const { maxPages, pageSize } = this.capacity;
    const inTile = Math.max(1, TILE_SLOTS / pageSize);
    return this.createTensor(dtype, [inTile * Math.ceil(maxPages / inTile), ...shape]);
  }

  async allocate<T>(what: string, make: () => T): Promise<T> {
    this.#runner.checkOpen("allocate");
    return this.arena.allOrNothing(what, make);
  }

  addPageBounds(): void {
    this.#cache.addBounds();
  }

  write(ref: TensorRef, data: Float32Array | Uint32Array, first = 0): void {
    const { address, size } = tensorOf(ref, data instanceof Float32Array ? "f32" : "u32");
    checkWrite(data, size, first);
    if (data instanceof Float32Array) this.arena.floats.set(data, address / 4 + first);
    else this.arena.integers.set(data, address / 4 + first);
  }

  async read(ref: TensorRef): Promise<Float32Array | Uint32Array> {
    return elementsOf(ref, this.arena).slice();
  }

  readback(): Readback {
    return immediateReadback((ref) => elementsOf(ref, this.arena));
  }

  createWeight(spec: WeightSpec): WeightRef {
    checkFormat("wasm", this, spec);
    return this.#weights.create(spec);
  }

  writeWeight(ref: WeightRef, firstRow: number, bytes: Uint8Array): void {
    this.#runner.guard("writeWeight", () => this.#weights.write(ref, firstRow, bytes));
  }

  async resizeCache(numPages: number): Promise<boolean> {
    this.#runner.checkOpen("resizeCache");
    checkPages(numPages, this.capacity);
    return this.#cache.resize(numPages);
  }

  /** Memory of the keys and values, for measurements. */
  get cacheRegions(): readonly MemoryRegion[] {
    return this.#cache.regions;
  }

  beginStep(batch: StepBatch): void {
    this.#batch.upload(batch, this.#sampled);
    this.#runner.begin();
  }

  embed(embedding: WeightRef, x: TensorRef): void {
    this.#runner.run("embed", matrixDescriptor(embedding), tensorOf(x, "f32").address);
  }

  attentionInput(
    layer: number,
    weights: AttentionInputWeights,
    x: TensorRef,
    query: TensorRef,
    raw?: RawHeads,
  ): void {
    const { norm, q, k, v, qBias, kBias, vBias, qNorm, kNorm } = weights;
    const { rope, queryRope = rope } = this.model.layers[layer];
    this.#runner.run(
      "attentionInput",
      layer,
      vectorDescriptor(norm),
      matrixDescriptor(q),
      matrixDescriptor(k),
      matrixDescriptor(v),
      vectorDescriptor(qBias),
      vectorDescriptor(kBias),
      vectorDescriptor(vBias),
      vectorDescriptor(qNorm),
      vectorDescriptor(kNorm),
      tensorOf(x, "f32").address,
      tensorOf(query, "f32").address,
      queryRope,
      rope,
      raw ? tensorOf(raw.query, "f32").address : 0,
      raw ? tensorOf(raw.keys, "f32").address : 0,
    );
  }

  attendAll(layer: number, range: SequenceRange, query: TensorRef, output: TensorRef, scores?: Scores): void {
    const { first, count } = range;
    const from = tensorOf(query, "f32").address;
    const to = tensorOf(output, "f32").address;
    const into = scores ? this.#selection.addressOf(range, scores) : 0;
    const capacity = scores ? capacityOf(scores.values) : 0;
    const window = this.model.layers[layer]?.window;
    if (scores) checkNoWindow(layer, window);
    this.#runner.run("attendAll", layer, first, count, from, to, into, capacity, window ?? 0);
  }

  attendSelected(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void {
    const { first, count } = range;
    const from = tensorOf(query, "f32").address;
    const to = tensorOf(output, "f32").address;
    const { indices, counts, headGroups } = selection;
    const list = tensorOf(indices, "u32").address;
    const sizes = tensorOf(counts, "u32").address;
    const room = capacityOf(indices);
    this.#runner.run("attendSelected", layer, first, count, from, list, headGroups, room, sizes, to);
  }

  attentionOutput(weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    const from = tensorOf(attended, "f32").address;
    const to = tensorOf(x, "f32").address;
    this.#runner.run(
      "attentionOutput",
      matrixDescriptor(weights.o),
      vectorDescriptor(weights.oBias),
      from,
      to,
      vectorDescriptor(weights.outputNorm),
    );
  }

  feedForward(weights: FeedForwardWeights, x: TensorRef): void {
    const at = tensorOf(x, "f32").address;
    const norm = vectorDescriptor(weights.norm);
    const gate = matrixDescriptor(weights.gate);
    const up = matrixDescriptor(weights.up);
    const down = matrixDescriptor(weights.down);
    if (weights.kind === "experts")
      this.#runner.run("expertFeedForward", norm, matrixDescriptor(weights.router), gate, up, down, at);
    else this.#runner.run("feedForward", norm, gate, up, down, at, vectorDescriptor(weights.outputNorm));
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
    if (count > this.capacity.maxBatchRows || count * this.model.vocabSize > tensorOf(logits).size)
      throw new ShapeError(`logits of ${count} rows do not fit into [${logits.shape.join(", ")}]`);
    this.#batch.copy("logitsRows", rows, count);
    const from = tensorOf(x, "f32").address;
    const to = tensorOf(logits, "f32").address;
    this.#runner.run("logits", vectorDescriptor(norm), matrixDescriptor(output), from, count, to);
  }

  sample(logits: TensorRef, rows: readonly SamplingRow[]): InFlightSample {
    const { address } = tensorOf(logits, "f32");
    return this.#sampled.sample(rows, (row, i) => this.#sampler.sample(address, i, row));
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
    this.#sketches.updateKeySketch(layer, range, sketch);
  }

  sketchScores(range: SequenceRange, query: TensorRef, sketch: KeySketch, out: Scores): void {
    this.#sketches.sketchScores(range, query, sketch, out);
  }

  updateBlockKeys(range: SequenceRange, keys: TensorRef, gate: BlockGate): void {
    this.#blockGates.updateBlockKeys(range, keys, gate);
  }

  blockScores(range: SequenceRange, query: TensorRef, gate: BlockGate, out: Scores): void {
    this.#selection.addressOf(range, out);
    this.#blockGates.blockScores(range, query, gate, out);
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

  close(): Promise<void> {
    return this.#runner.close();
  }
}
