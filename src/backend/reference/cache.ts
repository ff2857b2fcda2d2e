import type { BackendShape, StepBatch } from "../backend.ts";
import { allocate } from "./memory.ts";

/** Keys and values of one layer. f32 [numPages * pageSize, numKvHeads, headDim] by slot; bounds by page. */
export interface LayerCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** f32 [numPages, numKvHeads, headDim] smallest and largest key channel of each page; made when first asked for. */
  bounds?: { readonly min: Float32Array; readonly max: Float32Array };
}

/** A cache of `numPages` pages with what `old` holds of them. @throws BackendError where there is no memory. */
export function resizeLayerCache(shape: BackendShape, old: LayerCache | undefined, numPages: number): LayerCache {
  const width = shape.numKvHeads * shape.headDim;
  const slots = numPages * shape.pageSize;
  const resized = (from: Float32Array | undefined, rows: number, what: string) => {
    const to = allocate(Float32Array, [rows, width], what);
    if (from) to.set(from.subarray(0, to.length));
    return to;
  };
  const cache: LayerCache = {
    keys: resized(old?.keys, slots, "keys"),
    values: resized(old?.values, slots, "values"),
  };
  if (old?.bounds)
    cache.bounds = {
      min: resized(old.bounds.min, numPages, "page bounds"),
      max: resized(old.bounds.max, numPages, "page bounds"),
    };
  return cache;
}

/** The cache slot of a position of a sequence: page × pageSize + offset. */
export function slotOf(batch: StepBatch, shape: BackendShape, sequence: number, position: number): number {
  const page = batch.pageTables[sequence * batch.maxPagesPerSequence + Math.floor(position / shape.pageSize)];
  return page * shape.pageSize + (position % shape.pageSize);
}

/** Takes the keys of a sequence, from `boundsFrom` on, into the bounds of their pages; a page's first token starts it anew. */
export function updateBounds(
  cache: LayerCache,
  shape: BackendShape,
  batch: StepBatch,
  sequence: number,
): void {
  const width = shape.numKvHeads * shape.headDim;
  const size = [cache.keys.length / (width * shape.pageSize), width];
  cache.bounds ??= {
    min: allocate(Float32Array, size, "page bounds"),
    max: allocate(Float32Array, size, "page bounds"),
  };
  const { min, max } = cache.bounds;
  const length = batch.lengths[sequence];
  for (let position = batch.boundsFrom[sequence]; position < length; position++) {
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
