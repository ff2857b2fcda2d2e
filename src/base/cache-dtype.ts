/**
 * Storage types of keys and values. q8: int8 elements with one f32 scale for each token and kv head, of its key and of its value:
 * scale = max|x| / 127, element = x / scale rounded half to even; a row of zeros has scale 0.
 */
export const CACHE_DTYPES = ["f16", "f32", "q8"] as const;

/** Storage type of keys and values. */
export type CacheDtype = (typeof CACHE_DTYPES)[number];

const ELEMENT_BYTES: Readonly<Record<CacheDtype, number>> = { f32: 4, f16: 2, q8: 1 };

const SCALE_BYTES: Readonly<Record<CacheDtype, number>> = { f32: 0, f16: 0, q8: 4 };

const CODES: Readonly<Record<CacheDtype, number>> = { f32: 0, f16: 1, q8: 2 };

/** Bytes of one head's key or value, its scale included. */
export function cacheRowBytes(dtype: CacheDtype, headDim: number): number {
  return headDim * ELEMENT_BYTES[dtype] + SCALE_BYTES[dtype];
}

/** The number that stands for a dtype in WGSL. */
export function cacheCode(dtype: CacheDtype): number {
  return CODES[dtype];
}
