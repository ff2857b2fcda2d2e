/** The memory that a model takes on a backend, before anything is loaded. */
import type { CacheDtype, Capacity, ModelShape } from "../backend/backend.ts";
import type { BackendMemory, KeptMemory } from "../backend/backend-kind.ts";
import { cacheRowBytes } from "../base/cache-dtype.ts";
import { DEFAULT_PAGE_SIZE } from "../kv/page-size.ts";

/** Bytes that a model takes on a backend. */
export interface MemoryEstimate {
  readonly weightBytes: number;
  /** Keys and values of one sequence of the whole context. */
  readonly cacheBytes: number;
  /** What the attention policy keeps of those tokens, and its weights. */
  readonly keptBytes: number;
  /** Rows of a prefill chunk, scores, logits and the like. */
  readonly workBytes: number;
  readonly totalBytes: number;
}

export interface EstimatedUse {
  readonly model: ModelShape;
  readonly weightBytes: number;
  readonly cacheDtype: CacheDtype;
  /** `maxPages` does not count: the cache is that of one sequence. */
  readonly capacity: Capacity;
  readonly kept?: KeptMemory | undefined;
}

export function estimateMemory(memory: BackendMemory, use: EstimatedUse): MemoryEstimate {
  const { model, weightBytes, cacheDtype, capacity, kept } = use;
  const rowBytes = 2 * model.numLayers * model.numKvHeads * cacheRowBytes(cacheDtype, model.headDim);
  const maxPages = Math.ceil(capacity.maxSequenceLength / capacity.pageSize);
  const cacheBytes = maxPages * capacity.pageSize * rowBytes;
  const keptBytes = kept?.bytes({ ...capacity, maxPages }) ?? 0;
  const workBytes = memory.workBytes(model, capacity, cacheDtype);
  const totalBytes = weightBytes + cacheBytes + keptBytes + workBytes;
  return { weightBytes, cacheBytes, keptBytes, workBytes, totalBytes };
}

/** The capacity of a single request of this length. */
export function singleRequest(memory: BackendMemory, context: number): Capacity {
  return {
    pageSize: DEFAULT_PAGE_SIZE,
    maxPages: Math.ceil(context / DEFAULT_PAGE_SIZE),
    maxSequenceLength: context,
    maxBatchRows: memory.prefillRows,
    maxBatchSequences: 1,
  };
}
