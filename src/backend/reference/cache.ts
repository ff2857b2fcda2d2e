import type { BackendShape, StepBatch } from "../backend.ts";
import { allocate } from "./memory.ts";

/** Keys and values of one layer. f32 [numPages * pageSize, numKvHeads, headDim] by slot; bounds by page. */
export interface LayerCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** f32 [numPages, numKvHeads, headDim] smallest and largest key channel of each page; made when first asked for. */
  bounds?: { readonly min: Float32Array; readonly max: Float32Array };
}

export function createLayerCache(shape: BackendShape): LayerCache {
  const size = [shape.numPages * shape.pageSize, shape.numKvHeads, shape.headDim];
  return { keys: allocate(Float32Array, size, "keys"), values: allocate(Float32Array, size, "values") };
}

/** The cache slot of a position of a sequence: page × pageSize + offset. */
export function slotOf(batch: StepBatch, shape: BackendShape, sequence: number, position: number): number {
  const page = batch.pageTables[sequence * batch.maxPagesPerSequence + Math.floor(position / shape.pageSize)];
  return page * shape.pageSize + (position % shape.pageSize);
}

/** Takes this step's keys of a sequence into the bounds of their pages; a page's first token starts it anew. */
export function updateBounds(
  cache: LayerCache,
  shape: BackendShape,
  batch: StepBatch,
  sequence: number,
): void {
  const width = shape.numKvHeads * shape.headDim;
  const size = [shape.numPages, width];
  cache.bounds ??= {
    min: allocate(Float32Array, size, "page bounds"),
    max: allocate(Float32Array, size, "page bounds"),
  };
  const { min, max } = cache.bounds;
  const length = batch.lengths[sequence];
  for (let position = length - batch.rowCounts[sequence]; position < length; position++) {
    const slot = slotOf(batch, shape, sequence, position);
    const page = Math.floor(slot / shape.pageSize);
    const isFirst = slot % shape.pageSize === 0;
    for (let i = 0; i < width; i++) {
      const key = cache.keys[slot * width + i];
      min[page * width + i] = isFirst ? key : Math.min(min[page * width + i], key);
      max[page * width + i] = isFirst ? key : Math.max(max[page * width + i], key);
    }
  }
}
