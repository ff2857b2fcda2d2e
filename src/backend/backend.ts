/**
 * The backend: the ops of a decoder, on opaque buffers. One interface, several implementations (reference, wasm,
 * webgpu), one conformance suite (`test/conformance/`).
 *
 * An op is a part of a decoder, not tensor algebra, so that a backend can fuse. Ops are recorded in order and return nothing;
 * data comes back only by `read` and `readback`, and by the `InFlightSample` that `sample` returns. No op allocates in steady state.
 *
 * Words: a *row* is one token of the batch; a *sequence* is one request's run of consecutive rows; `T` = rows of the
 * batch, `S` = sequences of the batch. `numQueryHeads / numKvHeads` = group size; query head `h` reads kv head
 * `floor(h / groupSize)`. A *range* selects consecutive sequences of the batch.
 */
import type { CacheDtype } from "../base/cache-dtype.ts";
import type { TensorDtype } from "../base/dtype.ts";
import type { TensorRef, WeightRef, WeightSpec } from "../base/tensor-ref.ts";
import type { WeightFormat } from "../base/weight-format.ts";
import type { RawHeads } from "./block-gate.ts";
import type { CachePages } from "./cache-pages.ts";
import type { AttentionInputWeights, AttentionOutputWeights, FeedForwardWeights } from "./layer-weights.ts";
import type { ModelShape } from "./model-shape.ts";
import type { Readback } from "./readback.ts";
import type { Scores, SelectionBackend, SequenceRange, TokenSelection } from "./selection-backend.ts";

/** Limits of a batch and of the cache; fixed while the backend is open. */
export interface Capacity {
  /** Tokens of one KV page. */
  readonly pageSize: number;
  /** Maximum pages of the KV pool; all sequences share it. */
  readonly maxPages: number;
  /** Maximum tokens of a sequence: sizes score buffers and page tables. */
  readonly maxSequenceLength: number;
  /** Maximum rows of a batch. */
  readonly maxBatchRows: number;
  /** Maximum sequences of a batch. */
  readonly maxBatchSequences: number;
}

export type * from "./block-gate.ts";
export type { CachePages } from "./cache-pages.ts";
export type * from "./layer-weights.ts";
export type * from "./model-shape.ts";
export type { Readback } from "./readback.ts";
export type * from "./selection-backend.ts";
export type { CacheDtype };

/** Tuning choices of a backend. They change speed, never results. */
export interface TuningReport {
  /** measured: just now; kept: measured before on this machine; default: the usual choices, not measured. */
  readonly from: "measured" | "kept" | "default";
  /** By name: sizes in bytes, times in microseconds, switches as 0 or 1. */
  readonly choices: Readonly<Record<string, number>>;
  /** Duration of the measurement. */
  readonly elapsedMs?: number;
  /** Reason for a missing measurement, or for one that was not kept. */
  readonly note?: string;
}

/** A backend: "reference" is the slow one that defines right results. */
export type BackendName = "reference" | "wasm" | "webgpu";

/** Choices and memory of a backend, for `report()` and `doctor`. */
export interface BackendReport {
  readonly name: BackendName;
  /** One line for people: build, SIMD level, adapter. */
  readonly description: string;
  /** Threads that compute, the caller's included. */
  readonly threads: number;
  readonly weightBytes: number;
  /** Current size of the cache's keys and values; the cache grows with use. */
  readonly kvCacheBytes: number;
  /** Maximum of `kvCacheBytes`. */
  readonly maxKvCacheBytes: number;
  /** Absent if the backend has no tuning choices. */
  readonly tuning?: TuningReport;
}

/**
 * One forward step's input. The caller owns and reuses the arrays; `beginStep` copies what it needs.
 * Arrays may be longer than the used part.
 */
export interface StepBatch {
  numRows: number;
  numSequences: number;
  /** [numRows] ids, or `SAMPLED_TOKEN | row` for a token of the last sample. */
  readonly tokenIds: Uint32Array;
  /** [numRows] cache slot (page × pageSize + offset) that receives the row's key and value. */
  readonly slots: Uint32Array;
  /**
   * [numRopes, maxRows, headDim]: cos of the headDim/2 angles, then sin, scaled as the RoPE type wants. A table of cos 1 and
   * sin 0 leaves a layer without RoPE. `maxRows` is the length of `tokenIds`.
   */
  readonly rope: Float32Array;
  /** [numSequences] first row of each sequence; rows of a sequence are consecutive. */
  readonly firstRows: Uint32Array;
  /** [numSequences] rows of each sequence: 1 in a decode step, more in a prefill chunk. */
  readonly rowCounts: Uint32Array;
  /** [numSequences] cached length after this step: the sequence's last row has position lengths - 1. */
  readonly lengths: Uint32Array;
  /** [numSequences] first position without valid key bounds or sketch; `updatePageBounds` and `updateKeySketch` start there. */
  readonly validBounds: Uint32Array;
  /** [numSequences, maxPagesPerSequence] page ids; entries past ceil(length / pageSize) are ignored. */
  readonly pageTables: Uint32Array;
  readonly maxPagesPerSequence: number;
}

/** Weights of one layer after its attention. */
export interface LayerOutputWeights {
  readonly output: AttentionOutputWeights;
  readonly feedForward: FeedForwardWeights;
}

/** The layer whose attention comes next. */
export interface NextLayer {
  readonly layer: number;
  readonly weights: AttentionInputWeights;
}

/** Tensors that a step carries from layer to layer. */
export interface LayerTensors {
  /** Output of attention: f32 [maxBatchRows, numQueryHeads * headDim]. */
  readonly attended: TensorRef;
  /** The residual stream: f32 [maxBatchRows, hiddenSize]. */
  readonly x: TensorRef;
  /** Queries of the next attention: f32 [maxBatchRows, numQueryHeads * headDim]. */
  readonly query: TensorRef;
  /** Receives queries and keys of the next attention before RoPE, if a policy of the step reads them. */
  readonly raw?: RawHeads | undefined;
}

/** Parameters by which a sequence's next token is sampled. Temperature 0 is greedy: the lowest id of the largest logit. */
export interface SamplingParams {
  readonly temperature: number;
  /** 0 keeps all. */
  readonly topK: number;
  /** 1 keeps all. */
  readonly topP: number;
  /** 0 keeps all. */
  readonly minP: number;
  /** 1 leaves logits as they are. */
  readonly repetitionPenalty: number;
  readonly seed: number;
}

/** Changes of logits by token. An id occurs once. */
export interface TokenBias {
  readonly ids: readonly number[];
  /** Added to the logits, in f32. -Infinity bans the token. */
  readonly values: readonly number[];
}

/** One sequence of a sample. `sampleIndex` counts its tokens sampled so far: the random number depends on (seed, sampleIndex) alone. */
export interface SamplingRow {
  readonly params: SamplingParams;
  readonly sampleIndex: number;
  /** Tokens that the repetition penalty counts as seen; read only if the penalty is not 1. */
  readonly seenTokens: ArrayLike<number>;
  /** Applied after the repetition penalty. Absent: nothing. */
  readonly bias?: TokenBias | undefined;
  /** u32 [ceil(vocabSize / 32)]: 1 bit a token, the lowest bit first; 1 allows it. Applied last. Absent: all. */
  readonly mask?: Uint32Array | undefined;
}

/**
 * A token id with this bit stands for the token that the last `sample` chose for row `id & ~SAMPLED_TOKEN` of its logits, so
 * that a step can be recorded before the host has read the tokens it continues from.
 */
export const SAMPLED_TOKEN = 0x80000000;

/**
 * Marks a row that `sample` cannot sample. Such a row has NaN or +Infinity, or only -Infinity, after the row's changes.
 * Every backend returns this value for it.
 * A step may continue from it, as from any sampled token: the step embeds token 0, which affects this sequence alone.
 */
export const NO_TOKEN = 0xffffffff;

/** Maximum in-flight samples: one being read, one queued ahead, and two abandoned. */
export const MAX_IN_FLIGHT_SAMPLES = 4;

/** A recorded sample. Its tokens may not have arrived. */
export interface InFlightSample {
  /**
   * Resolves to one token per row or `NO_TOKEN`, in order of the rows, in a new array. Later steps and samples may be recorded
   * before the call; an abandoned sample costs nothing.
   */
  tokens(): Promise<Uint32Array>;
}

export interface Backend extends SelectionBackend {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly cacheDtype: CacheDtype;
  /**
   * Formats of matrices that the backend keeps and computes with, in a layout of its own. The caller converts other formats
   * before `createWeight`.
   */
  readonly weightFormats: ReadonlySet<WeightFormat>;
  /**
   * True if recorded steps queue on a device, so that it pays to record the next one before the last sample is read.
   * If false, an op has run when it returns.
   */
  readonly runsAhead: boolean;
  /**
   * Proposed rows of a prefill chunk; larger chunks gain little. The engine takes that many, up to `maxBatchRows`, and fewer if
   * they would delay other requests.
   */
  readonly prefillRows: number;
  report(): BackendReport;

  /** Makes a zeroed tensor. Called at open and when a new size is first needed, never in steady state. */
  createTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef;
  /**
   * Makes a zeroed tensor with data of each page beside its key and values: [maxPages, ...shape]. It follows `resizeCache`: pages that
   * stay keep their data, and pages that come have undefined ones.
   */
  createPageTensor(dtype: TensorDtype, shape: readonly number[]): TensorRef;
  /**
   * Runs `make`, which creates tensors and does nothing else, and resolves once their memory is there beside what steps may still
   * need. Called between steps.
   * what: completes "no memory for …".
   * @throws OutOfMemoryError; nothing has changed then
   */
  allocate<T>(what: string, make: () => T): Promise<T>;
  /** Makes room for key bounds, if there is none, in `allocate` as the last thing. Else the first `updatePageBounds` does. */
  addPageBounds(): void;
  /** Copies data in, from element `first` on (default 0). @throws ShapeError when the tensor lacks the elements. */
  write(tensor: TensorRef, data: Float32Array | Uint32Array, first?: number): void;
  /** Waits for recorded steps and copies the tensor out (f32 or u32, after its dtype). For tests, traces and tools. */
  read(tensor: TensorRef): Promise<Float32Array | Uint32Array>;
  /** Starts copies of tensors to the host, with one wait for all of them. Steady state allocates no more than the closures. */
  readback(): Readback;

  /** Reserves the storage of a weight. @throws BackendError when it does not fit, or when `weightFormats` lacks its format. */
  createWeight(spec: WeightSpec): WeightRef;
  /**
   * Writes whole rows (all of a vector) to the weight's storage, once.
   * bytes: little-endian, row-major, n rows of whole blocks of weight.format; firstRow is a multiple of 8.
   * Copies `bytes` before returning. The promise resolves once the upload queue has room.
   */
  writeWeight(weight: WeightRef, firstRow: number, bytes: Uint8Array): void | Promise<void>;

  /**
   * Resizes the KV pool to pages 0 to numPages - 1, at most `capacity.maxPages`; it starts with none. Pages that stay keep their
   * keys, values and bounds, and their data in page tensors, in order with the recorded steps.
   * Resolves to false if memory is short; nothing has changed then.
   * @throws BackendError when the backend fails
   */
  resizeCache(numPages: number): Promise<boolean>;
  /** Keys and values of pages, to keep them outside the backend. */
  readonly cachePages: CachePages;

  /**
   * Starts a step: uploads ids, slots, RoPE rows, lengths and page tables.
   * @throws ShapeError when an id stands for a row that the last sample did not have.
   */
  beginStep(batch: StepBatch): void;
  /** x[t] = embedding[tokenIds[t]] * embeddingScale. x: f32 [maxBatchRows, hiddenSize]. */
  embed(embedding: WeightRef, x: TensorRef): void;
  /**
   * RMS norm of x, q/k/v projections (+ bias), norm of each q and k head if given, RoPE of the layer's table (rotate-half:
   * element i pairs with i + headDim/2); k and v go into the pages of `layer`, q into `query` f32 [maxBatchRows, numQueryHeads * headDim].
   * raw: if given, receives q and k as they are before RoPE.
   */
  attentionInput(
    layer: number,
    weights: AttentionInputWeights,
    x: TensorRef,
    query: TensorRef,
    raw?: RawHeads,
  ): void;
  /**
   * Dense causal attention of the range's rows over the cache: the row at position p sees positions 0..p, in a layer with a
   * window the last `window` of them. Logits are scaled by attentionScale. output: f32 [maxBatchRows, numQueryHeads * headDim].
   * scores: if given, the layer has no window, the range's sequences have one row each, and the op emits the scaled logits of positions 0..length-1
   * per query head, so that a selection layer reads K once.
   */
  attendAll(layer: number, range: SequenceRange, query: TensorRef, output: TensorRef, scores?: Scores): void;
  /** Attention of one row per sequence over its selected tokens only; reads no other row of the cache. */
  attendSelected(
    layer: number,
    range: SequenceRange,
    query: TensorRef,
    selection: TokenSelection,
    output: TensorRef,
  ): void;
  /**
   * Everything from one attention to the next: x += o(attended) (+ bias), then x += down(act(gate(norm x)) * up(norm x)) or the
   * weighted sum of the experts', each through its output norm if given, then `attentionInput` of the next layer if there is one. Consumes `attended`: its contents are undefined afterwards.
   * A backend may cache data by the identity of `from` and `next`: pass the same objects in every step.
   */
  advance(from: LayerOutputWeights, next: NextLayer | undefined, tensors: LayerTensors): void;
  /**
   * logits[i] = output · norm(x[rows[i]]) for i < count. rows: owned by the caller, copied.
   * logits: f32 [>= count, vocabSize].
   */
  logits(
    norm: WeightRef,
    output: WeightRef,
    x: TensorRef,
    rows: Uint32Array,
    count: number,
    logits: TensorRef,
  ): void;
  /**
   * Samples one token for each of the first rows.length logits rows, at most maxBatchSequences of them. A sample of no rows has
   * no tokens; it arrives when the steps before it are done.
   * A logit of -Infinity is a mask: its token is never sampled. A row with NaN or +Infinity, kept by the filters or not, or with
   * only -Infinity gives `NO_TOKEN`, whatever its params. Other rows are unaffected. May change the logits of a row in place.
   * @throws ShapeError for a mask or a bias that does not fit the vocabulary.
   * @throws BackendError when `MAX_IN_FLIGHT_SAMPLES` samples have not arrived yet.
   */
  sample(logits: TensorRef, rows: readonly SamplingRow[]): InFlightSample;

  /**
   * Compiles ahead the kernels that steps like those of `record` need. Called between steps. `record` calls ops as steps do,
   * from `beginStep` on; they run dry: tensors, cache and in-flight samples are left as they are, and a sample has no tokens.
   * Steps may run before the promise resolves; a step like those recorded waits for no compiler after it. A backend that compiles
   * nothing resolves at once without calling `record`.
   * @throws BackendError when a kernel does not compile.
   */
  prepare(record: () => void): Promise<void>;
  /**
   * Row counts that kernels are compiled for. A step uses the kernels of the next larger count. Empty if the backend compiles
   * nothing, or compiles so slowly that the engine prepares a request's own steps alone.
   */
  readonly compiledRowCounts: readonly number[];

  /** Ends threads and frees everything. Calling it twice is allowed. */
  close(): Promise<void>;
}

/** Opens a backend for a model. @throws BackendError when the machine cannot hold or run it. */
export type BackendFactory = (model: ModelShape, capacity: Capacity) => Promise<Backend>;
