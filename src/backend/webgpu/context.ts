import { cacheCode } from "../../base/cache-dtype.ts";
import type { CacheDtype, Capacity, LayerShape, ModelShape, StepBatch } from "../backend.ts";
import type { Buffers } from "./buffers.ts";
import type { DeviceTraits } from "./device-traits.ts";
import type { Recorder } from "./recorder.ts";
import type { Constants, ShaderFile } from "./shader.ts";
import type { StepBuffer } from "./step-buffer.ts";
import type { Tuning } from "./tuning.ts";
import type { WeightStore } from "./weight-store.ts";

export const DEFAULT_CACHE_DTYPE: CacheDtype = "f16";

/** Sizes of the current batch. */
export interface BatchSizes {
  /** Counts steps. Ops prepare once per number. */
  stepNumber: number;
  numRows: number;
  readonly firstRows: Uint32Array;
  readonly rowCounts: Uint32Array;
  readonly lengths: Uint32Array;
  readonly validBounds: Uint32Array;
}

/** Copies the sizes that the ops of the step need into `into`; allocates them if `into` is left out. */
export function copySizes(
  batch: StepBatch,
  into: BatchSizes | undefined,
  { maxBatchSequences }: Capacity,
): BatchSizes {
  const { numRows, numSequences } = batch;
  const copy = into ?? {
    stepNumber: 0,
    numRows,
    firstRows: new Uint32Array(maxBatchSequences),
    rowCounts: new Uint32Array(maxBatchSequences),
    lengths: new Uint32Array(maxBatchSequences),
    validBounds: new Uint32Array(maxBatchSequences),
  };
  copy.stepNumber++;
  copy.numRows = numRows;
  for (let s = 0; s < numSequences; s++) {
    copy.firstRows[s] = batch.firstRows[s];
    copy.rowCounts[s] = batch.rowCounts[s];
    copy.lengths[s] = batch.lengths[s];
    copy.validBounds[s] = batch.validBounds[s];
  }
  return copy;
}

/** Sizes behind every buffer but the weights. */
export interface GpuSizes {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly cacheDtype: CacheDtype;
}

/** State that the classes of the backend share. */
export interface GpuContext extends GpuSizes {
  readonly device: GPUDevice;
  readonly traits: DeviceTraits;
  readonly tuning: Tuning;
  readonly buffers: Buffers;
  readonly recorder: Recorder;
  readonly weights: WeightStore;
  readonly stepBuffer: StepBuffer;
}

/** The prelude of kernels that activate a gate. */
export function actFile({ activation }: ModelShape): "act-silu" | "act-gelu" {
  return activation === "silu" ? "act-silu" : "act-gelu";
}

/** RoPE tables of a layer. */
export type LayerRope = Pick<LayerShape, "rope" | "queryRope">;

/** Constants of step.wgsl. layer: where a kernel applies RoPE. */
export function stepConstants(
  { stepBuffer, model, capacity, cacheDtype }: GpuContext,
  { rope, queryRope = rope }: LayerRope = { rope: 0 },
) {
  const { layout } = stepBuffer;
  return {
    TOKEN_IDS: layout.tokenIds,
    SLOTS: layout.slots,
    FIRST_ROWS: layout.firstRows,
    LENGTHS: layout.lengths,
    VALID_BOUNDS: layout.validBounds,
    ROW_COUNTS: layout.rowCounts,
    ROW_SEQUENCES: layout.rowSequences,
    ROW_LENGTHS: layout.rowLengths,
    ROPE: layout.rope + rope * layout.ropeWords,
    QUERY_ROPE: layout.rope + queryRope * layout.ropeWords,
    PAGE_TABLES: layout.pageTables,
    MAX_PAGES: layout.maxPages,
    PAGE_SIZE: capacity.pageSize,
    KV_HEADS: model.numKvHeads,
    ROW_VECTORS: cacheRowVectors(model, cacheDtype),
  };
}

/** Preludes of kernels that read or store keys and values, and their constants. */
export function cachePrelude({ cacheDtype, traits }: Pick<GpuContext, "cacheDtype" | "traits">): {
  readonly files: readonly ShaderFile[];
  readonly constants: Constants;
} {
  if (cacheDtype === "q8")
    return { files: [traits.hasF16 ? "int8-halves" : "int8-floats", "step", "cache-q8"], constants: {} };
  return { files: ["storage", "step", "cache-floats"], constants: { DTYPE: cacheCode(cacheDtype) } };
}

/** A vector of a cache row: what an invocation loads at once. */
const CACHE_VECTORS: Readonly<Record<CacheDtype, { readonly elements: number; readonly bytes: number }>> = {
  f32: { elements: 4, bytes: 16 },
  f16: { elements: 8, bytes: 16 },
  q8: { elements: 8, bytes: 8 },
};

/** Vectors of one key or value of one head. */
export function cacheRowVectors(model: ModelShape, dtype: CacheDtype): number {
  return Math.ceil(model.headDim / CACHE_VECTORS[dtype].elements);
}

/** Channels of a cache row, padding included. */
export function paddedHeadDim(model: ModelShape, dtype: CacheDtype): number {
  return cacheRowVectors(model, dtype) * CACHE_VECTORS[dtype].elements;
}

/** Bytes of one value of one head on the device, padding included. */
export function valueRowBytes(model: ModelShape, dtype: CacheDtype): number {
  return cacheRowVectors(model, dtype) * CACHE_VECTORS[dtype].bytes;
}

/** Bytes of one key of one head; those of a q8 cache end in the scales of key and value. */
export function keyRowBytes(model: ModelShape, dtype: CacheDtype): number {
  return valueRowBytes(model, dtype) + (dtype === "q8" ? CACHE_VECTORS.q8.bytes : 0);
}
