import { f16ToF32, f32ToF16 } from "../../base/half.ts";
import {
  type CachePageSizes,
  type CachePages,
  cachePageBytes,
  checkCachePages,
  rowPlaces,
} from "../cache-pages.ts";
import type { LayerCache } from "./cache.ts";

const PARTS = ["keys", "values"] as const;

/** layers: the current ones */
export function referenceCachePages(sizes: CachePageSizes, layers: () => readonly LayerCache[]): CachePages {
  const { model, capacity, cacheDtype } = sizes;
  const { numKvHeads, headDim } = model;
  const pageBytes = cachePageBytes(sizes);
  /** Calls `copy` with each row of the cache and the offset of its bytes. */
  const visit = (
    pages: readonly number[],
    bytes: Uint8Array,
    copy: (row: Float32Array, view: DataView, at: number) => void,
  ) => {
    const all = layers();
    const numPages = (all[0]?.keys.length ?? 0) / (numKvHeads * headDim * capacity.pageSize);
    checkCachePages(pages, bytes, { pageBytes, numPages });
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (const [layer, cache] of all.entries())
      for (const part of PARTS) {
        const { first, headBytes, tokenBytes } = rowPlaces(sizes, layer, part);
        for (const [i, page] of pages.entries())
          for (let token = 0; token < capacity.pageSize; token++)
            for (let head = 0; head < numKvHeads; head++) {
              const from = ((page * capacity.pageSize + token) * numKvHeads + head) * headDim;
              const at = i * pageBytes + first + token * tokenBytes + head * headBytes;
              copy(cache[part].subarray(from, from + headDim), view, at);
            }
      }
  };
  const { encode, decode } = ROWS[cacheDtype];
  return {
    pageBytes,
    read: async (pages, out) => visit(pages, out, encode),
    write: (pages, bytes) => visit(pages, bytes, decode),
  };
}

interface RowCodec {
  encode(row: Float32Array, view: DataView, at: number): void;
  decode(row: Float32Array, view: DataView, at: number): void;
}

const ROWS: Readonly<Record<CachePageSizes["cacheDtype"], RowCodec>> = {
  f32: {
    encode: (row, view, at) => {
      for (const [i, x] of row.entries()) view.setFloat32(at + 4 * i, x, true);
    },
    decode: (row, view, at) => {
      for (const i of row.keys()) row[i] = view.getFloat32(at + 4 * i, true);
    },
  },
  f16: {
    encode: (row, view, at) => {
      for (const [i, x] of row.entries()) view.setUint16(at + 2 * i, f32ToF16(x), true);
    },
    decode: (row, view, at) => {
      for (const i of row.keys()) row[i] = f16ToF32(view.getUint16(at + 2 * i, true));
    },
  },
  q8: {
    encode: (row, view, at) => {
      const scale = scaleOf(row);
      for (const [i, x] of row.entries()) view.setInt8(at + i, scale === 0 ? 0 : Math.round(x / scale));
      view.setFloat32(at + row.length, scale, true);
    },
    decode: (row, view, at) => {
      const scale = view.getFloat32(at + row.length, true);
      for (const i of row.keys()) row[i] = view.getInt8(at + i) * scale;
    },
  },
};

/**
 * The scale of a row that is rounded already: the cache here has products of elements and scale alone. The largest product is 127
 * scales, rounded to f32, so that a quotient by 127 may miss the scale by one step of f32.
 */
function scaleOf(row: Float32Array): number {
  let largest = 0;
  for (const x of row) largest = Math.max(largest, Math.abs(x));
  const near = Math.fround(largest / 127);
  const fits = (scale: number) =>
    row.every(
      (x) => Math.fround(Math.round(x / scale) * scale) === x && Math.abs(Math.round(x / scale)) <= 127,
    );
  for (const scale of [near, nextFloat(near, 1), nextFloat(near, -1)])
    if (scale > 0 && fits(scale)) return scale;
  return near; // a row of zeros, or of NaN
}

/** The f32 so many steps from a positive one. */
function nextFloat(x: number, steps: number): number {
  const bits = new Uint32Array(Float32Array.of(x).buffer);
  bits[0] = (bits[0] as number) + steps;
  return new Float32Array(bits.buffer)[0] as number;
}
