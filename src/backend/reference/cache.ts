import type { CacheDtype } from "../../base/cache-dtype.ts";
import { f16ToF32, f32ToF16 } from "../../base/half.ts";
import type { Backend, Capacity, StepBatch } from "../backend.ts";
import { allocate } from "./memory.ts";

/** Sizes that a backend was opened for. */
export type Sizes = Pick<Backend, "model" | "capacity">;

/** f32 [maxPages, numKvHeads, headDim] minimum and maximum of each key channel, per page. */
export interface KeyBounds {
  readonly min: Float32Array;
  readonly max: Float32Array;
}

/** Keys and values of one layer. f32 [maxPages * pageSize, numKvHeads, headDim] by slot; bounds by page. */
export interface LayerCache {
  readonly keys: Float32Array;
  readonly values: Float32Array;
  /** Allocated on first use. */
  bounds?: KeyBounds;
}

/** A cache of `numPages` pages with what `old` holds of them. @throws BackendError if there is no memory. */
export function resizeLayerCache(
  { model, capacity }: Sizes,
  old: LayerCache | undefined,
  numPages: number,
): LayerCache {
  const width = model.numKvHeads * model.headDim;
  const slots = numPages * capacity.pageSize;
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
      min: resized(old.bounds.min, numPages, "key bounds"),
      max: resized(old.bounds.max, numPages, "key bounds"),
    };
  return cache;
}

/** Rounds one head's key or value in place as a cache of `dtype` stores it. */
export function roundHead(
  dtype: CacheDtype,
  heads: Float32Array,
  { offset, headDim }: { offset: number; headDim: number },
): void {
  if (dtype === "q8") roundToInt8(heads, offset, headDim);
  if (dtype !== "f16") return;
  for (let i = offset; i < offset + headDim; i++) heads[i] = f16ToF32(f32ToF16(heads[i]));
}

/**
 * Rounds one head's key or value in place as the q8 cache stores it: see `CacheDtype`. Scales and quotients are f32. A head
 * with NaN or Infinity becomes NaN.
 */
function roundToInt8(heads: Float32Array, offset: number, headDim: number): void {
  let largest = 0;
  for (let i = offset; i < offset + headDim; i++) largest = Math.max(largest, Math.abs(heads[i]));
  const scale = Math.fround(largest / 127);
  for (let i = offset; i < offset + headDim; i++)
    heads[i] = scale === 0 ? 0 : halfToEven(Math.fround(heads[i] / scale)) * scale;
}

/** The nearest integer in -127..127; of two as near, the even one. Quotients by a subnormal scale may be past 127. */
function halfToEven(x: number): number {
  const down = Math.floor(x);
  const isTie = x - down === 0.5;
  const nearest = isTie ? down + (down & 1) : Math.round(x);
  return Math.max(-127, Math.min(127, nearest));
}

/** The cache slot of a position of a sequence: page × pageSize + offset. */
export function slotOf(batch: StepBatch, { pageSize }: Capacity, sequence: number, position: number): number {
  const page = batch.pageTables[sequence * batch.maxPagesPerSequence + Math.floor(position / pageSize)];
  return page * pageSize + (position % pageSize);
}

/** Extends the bounds of a sequence's pages by its keys from `validBounds` on; a page's first token resets them. */
export function updateBounds(
  cache: LayerCache,
  { model, capacity }: Sizes,
  batch: StepBatch,
  sequence: number,
): void {
  const width = model.numKvHeads * model.headDim;
  const size = [cache.keys.length / (width * capacity.pageSize), width];
  cache.bounds ??= {
    min: allocate(Float32Array, size, "key bounds"),
    max: allocate(Float32Array, size, "key bounds"),
  };
  const { min, max } = cache.bounds;
  const length = batch.lengths[sequence];
  for (let position = batch.validBounds[sequence]; position < length; position++) {
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
