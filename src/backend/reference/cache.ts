import type { Backend, Capacity, ModelShape, StepBatch } from "../backend.ts";
import { allocate } from "./memory.ts";

/** Sizes that a backend was opened for. */
export type Sizes = Pick<Backend, "model" | "capacity">;

/** Keys and values of one layer. f32 [maxPages * pageSize, numKvHeads, headDim] by slot; bounds by page. */
export interface LayerCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** f32 [maxPages, numKvHeads, headDim] least and greatest key channel of each page; allocated on first use. */
  bounds?: { readonly min: Float32Array; readonly max: Float32Array };
}

export function createLayerCache(model: ModelShape, capacity: Capacity): LayerCache {
  const size = [capacity.maxPages * capacity.pageSize, model.numKvHeads, model.headDim];
  return { keys: allocate(Float32Array, size, "keys"), values: allocate(Float32Array, size, "values") };
}

/** The cache slot of a position of a sequence: page × pageSize + offset. */
export function slotOf(batch: StepBatch, { pageSize }: Capacity, sequence: number, position: number): number {
  const page = batch.pageTables[sequence * batch.maxPagesPerSequence + Math.floor(position / pageSize)];
  return page * pageSize + (position % pageSize);
}

/** Extends the bounds of a sequence's pages by this step's keys; a page's first token resets them. */
export function updateBounds(
  cache: LayerCache,
  { model, capacity }: Sizes,
  batch: StepBatch,
  sequence: number,
): void {
  const width = model.numKvHeads * model.headDim;
  const size = [capacity.maxPages, width];
  cache.bounds ??= {
    min: allocate(Float32Array, size, "page bounds"),
    max: allocate(Float32Array, size, "page bounds"),
  };
  const { min, max } = cache.bounds;
  const length = batch.lengths[sequence];
  for (let position = length - batch.rowCounts[sequence]; position < length; position++) {
    const slot = slotOf(batch, capacity, sequence, position);
    const page = Math.floor(slot / capacity.pageSize);
    const isFirst = slot % capacity.pageSize === 0;
    for (let i = 0; i < width; i++) {
      const key = cache.keys[slot * width + i];
      min[page * width + i] = isFirst ? key : Math.min(min[page * width + i], key);
      max[page * width + i] = isFirst ? key : Math.max(max[page * width + i], key);
    }
  }
}
