/** A checkpoint on a CPU backend, stepped at any length without an engine: the cache is filled once, then used by all. */

import { bundledModelFolder } from "../../src/node/index.ts";
import {
  Attention,
  type AttentionModel,
  type AttentionPolicy,
  attentionModelOf,
  type Backend,
  type BackendFactory,
  type Capacity,
  cacheRowBytes,
  createReferenceBackend,
  createRope,
  createWasmHost,
  Decoder,
  loadWeights,
  type ModelConfig,
  type ModelWeights,
  openCheckpoint,
  openModel,
  parseAttention,
  parseModelConfig,
  predictReads,
  rowBytes,
  type SamplingRow,
  StepBatchBuilder,
  WasmBackend,
  wasmFactory,
  withAllPages,
} from "../../src/node/internal.ts";
import { StepClock } from "./timed-backend.ts";

const PAGE_SIZE = 16;
const CHUNK_ROWS = 256;
/** Tokens the KV cache has room for beyond the context: plain reads of a step's bytes, weights included, go there. */
const SPARE_TOKENS = 2048;
const GREEDY = { temperature: 0, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, seed: 1 };

export interface StepperOptions {
  readonly backend: "wasm" | "reference";
  readonly threads?: number;
  /** Storage type of keys and values. Default f32. */
  readonly cacheDtype?: "f32" | "q8";
  readonly model?: string;
  readonly contextLength: number;
  /** Most sequences of a step. Default 1. */
  readonly sequences?: number;
}

export class ModelStepper {
  readonly backend: Backend;
  readonly config: ModelConfig;
  readonly threads: number;
  /** Times the calls of a step; every one runs under it. */
  readonly clock: StepClock;
  readonly #idleExpertBytes: number;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  readonly #attentionModel: AttentionModel;
  readonly #policies = new Map<string, AttentionPolicy>();
  /** Policies that have made what they keep beside the cached keys. */
  readonly #prepared = new Set<AttentionPolicy>();
  /** Pages of each sequence. */
  readonly #pages: readonly (readonly number[])[];
  readonly #tokens: Uint32Array;
  readonly #drawRows: Uint32Array;
  #wasm: WasmBackend | undefined;

  private constructor(backend: Backend, config: ModelConfig, weights: ModelWeights, clock: StepClock) {
    const { capacity } = backend;
    this.backend = backend;
    this.config = config;
    this.threads = backend.report().threads;
    this.clock = clock;
    this.#idleExpertBytes = idleExpertBytes(config, weights);
    this.#attentionModel = attentionModelOf(config, PAGE_SIZE);
    this.#decoder = new Decoder(backend, weights, new Attention(backend, this.#attentionModel));
    this.#batch = new StepBatchBuilder(backend, config.ropes.map(createRope));
    const length = capacity.maxSequenceLength / PAGE_SIZE;
    this.#pages = Array.from({ length: capacity.maxBatchSequences }, (_, s) =>
      Array.from({ length }, (_, page) => s * length + page),
    );
    this.#drawRows = Uint32Array.from({ length: capacity.maxBatchSequences }, (_, row) => row);
    this.#tokens = new Uint32Array(capacity.maxSequenceLength).map((_, i) => (i * 7919) % config.vocabSize);
  }

  static async open(options: StepperOptions): Promise<ModelStepper> {
    const { folder } = await openModel(options.model ?? bundledModelFolder());
    const checkpoint = await openCheckpoint(folder);
    try {
      const config = parseModelConfig(checkpoint.config, `${checkpoint.name}/config.json`);
      const opened = await withAllPages(factoryOf(options))(config, capacityFor(options));
      const weights = await loadWeights(checkpoint, config, opened);
      const clock = new StepClock();
      const stepper = new ModelStepper(clock.watch(opened), config, weights, clock);
      if (opened instanceof WasmBackend) stepper.#prepareReads(opened);
      return stepper;
    } finally {
      await checkpoint.close();
    }
  }

  /** Fills the cache of a sequence up to `length` tokens; returns the milliseconds. */
  prefill(length: number, sequence = 0): number {
    this.#prepared.clear();
    const started = performance.now();
    for (let first = 0; first < length; first += CHUNK_ROWS)
      this.#forward([sequence], first, Math.min(CHUNK_ROWS, length - first), true, this.policy("full"));
    this.#decoder.computeLogits(this.#drawRows, 1);
    return performance.now() - started;
  }

  /**
   * A decode step of the first `count` sequences, embedding to drawn tokens, at which `length` tokens of each are cached;
   * returns the milliseconds.
   */
  async step(length: number, attention: string, count = 1): Promise<number> {
    const sequences = this.#drawRows.subarray(0, count);
    const draws = Array.from(
      sequences,
      (): SamplingRow => ({ params: GREEDY, sampleIndex: 0, seenTokens: [] }),
    );
    const started = performance.now();
    this.#forward([...sequences], length - 1, 1, false, this.policy(attention));
    this.#decoder.computeLogits(this.#drawRows, count);
    await this.backend.sample(this.#decoder.logits, draws).tokens();
    return performance.now() - started;
  }

  /** Memory never written is one page of zeros to the system, and read from cache. */
  #prepareReads(wasm: WasmBackend): void {
    for (const { address, bytes } of wasm.cacheRegions)
      wasm.arena.floats.fill(1e-3, address / 4, (address + bytes) / 4);
    this.#wasm = wasm;
  }

  /** Reads `bytes` bytes from the start of the KV cache, around again where it ends; returns the milliseconds. */
  plainRead(bytes: number): number {
    if (!this.#wasm) throw new TypeError("a plain read is a kernel of the wasm backend");
    const { arena, kernels } = this.#wasm;
    const [cache] = this.#wasm.cacheRegions;
    if (!cache) throw new TypeError("a plain read needs a cache");
    const item = 65536;
    const whole = Math.floor(cache.bytes / item) * item;
    const started = performance.now();
    for (let left = Math.ceil(bytes / item) * item; left > 0; left -= whole)
      kernels.readAll(cache.address, Math.min(left, whole), arena.word("scratch"));
    return performance.now() - started;
  }

  /** Bytes that a step at this length has to read: weights once, but for the experts that do not compute its token, and what attention and selection read of the cache. */
  stepBytes(length: number, attention: string, count = 1): number {
    const { numKvHeads, headDim } = this.config;
    const rows = count * this.#attendedRows(length, attention);
    return (
      this.backend.report().weightBytes -
      this.#idleExpertBytes +
      rows * 2 * numKvHeads * cacheRowBytes(this.backend.cacheDtype, headDim)
    );
  }

  #attendedRows(length: number, attention: string): number {
    const { cacheDtype } = this.backend;
    return predictReads(this.policy(attention), this.#attentionModel, { length, cacheDtype });
  }

  /** Multiply-adds of a step at this length, where the query heads of a kv head share its rows. */
  stepMultiplyAdds(length: number, attention: string, count = 1): number {
    const { numLayers, numQueryHeads, headDim, hiddenSize, vocabSize } = this.config;
    const rows = this.#attendedRows(length, attention);
    const weights = numLayers * this.#layerElements() + vocabSize * hiddenSize;
    return count * (weights + rows * 2 * numQueryHeads * headDim);
  }

  /** Multiply-adds of the prefill of `length` tokens; only the last has logits. */
  prefillMultiplyAdds(length: number): number {
    const { numLayers, numQueryHeads, headDim, hiddenSize, vocabSize } = this.config;
    const pairs = (length * (length + 1)) / 2;
    const attention = pairs * 2 * numQueryHeads * headDim;
    return numLayers * (length * this.#layerElements() + attention) + vocabSize * hiddenSize;
  }

  #layerElements(): number {
    const { numQueryHeads, numKvHeads, headDim, hiddenSize, intermediateSize, experts } = this.config;
    const inner = experts ? experts.topExperts * experts.intermediateSize : intermediateSize;
    const router = experts?.numExperts ?? 0;
    return hiddenSize * (2 * (numQueryHeads + numKvHeads) * headDim + 3 * inner + router);
  }

  /** The policy of a spec, bound to the model. */
  policy(spec: string): AttentionPolicy {
    const known = this.#policies.get(spec);
    if (known) return known;
    const given = parseAttention(spec);
    const policy = given.forModel?.(this.#attentionModel) ?? given;
    this.#policies.set(spec, policy);
    return policy;
  }

  #forward(
    sequences: readonly number[],
    firstPosition: number,
    numRows: number,
    isPrefill: boolean,
    policy: AttentionPolicy,
  ): void {
    const tokens = this.#tokens;
    const validBounds = isPrefill || this.#prepared.has(policy) ? firstPosition : 0;
    if (!isPrefill) this.#prepared.add(policy);
    this.#batch.fill(
      sequences.map((s) => {
        const pages = this.#pages[s] ?? [];
        return {
          name: `sequence ${s}`,
          tokens,
          pages,
          firstPosition,
          numRows,
          isPrefill,
          policy,
          validBounds,
        };
      }),
    );
    this.#decoder.forward(this.#batch, this.#batch.groups);
  }
}

/** Bytes of the experts that a token does not choose. */
function idleExpertBytes({ experts }: ModelConfig, { layers }: ModelWeights): number {
  if (!experts) return 0;
  let bytes = 0;
  for (const { feedForward } of layers)
    if (feedForward.kind === "experts")
      for (const { rows, format, cols } of [feedForward.gate, feedForward.up, feedForward.down])
        bytes += rows * rowBytes(format, cols);
  return bytes * (1 - experts.topExperts / experts.numExperts);
}

function factoryOf({ backend, threads, cacheDtype = "f32" }: StepperOptions): BackendFactory {
  if (backend === "reference")
    return withAllPages((model, capacity) => createReferenceBackend(model, capacity, cacheDtype));
  const options = { cacheDtype, ...(threads !== undefined && { threads }) };
  return withAllPages(wasmFactory(createWasmHost(), options));
}

function capacityFor({ contextLength, sequences = 1 }: StepperOptions): Capacity {
  const pages = Math.ceil(contextLength / PAGE_SIZE);
  return {
    pageSize: PAGE_SIZE,
    maxPages: sequences * pages + SPARE_TOKENS / PAGE_SIZE,
    maxSequenceLength: pages * PAGE_SIZE,
    maxBatchRows: CHUNK_ROWS,
    maxBatchSequences: sequences,
  };
}
