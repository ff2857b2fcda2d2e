import type { Capacity } from "../backend.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";
import {
  type CachePageSizes,
  type CachePages,
  cachePageBytes,
  checkCachePages,
  rowPlaces,
} from "../cache-pages.ts";
import type { Arena } from "./arena.ts";
import type { KvCache } from "./kv-cache.ts";
import { extentGeometry, rowFloats } from "./memory-map.ts";

/** Bytes of a scale of a q8 row. */
const SCALE_BYTES = 4;

interface CachePageParts extends CachePageSizes {
  readonly capacity: Capacity;
  readonly cacheDtype: CpuCacheDtype;
  readonly arena: Arena;
  readonly cache: KvCache;
}

/** The slots of `state.ts`: per kv head and token the key, the value, and of q8 the scales of both. */
export function wasmCachePages({ arena, cache, ...sizes }: CachePageParts): CachePages {
  const { model, capacity, cacheDtype } = sizes;
  const { numLayers, numKvHeads, headDim } = model;
  const { pageSize } = capacity;
  const pageBytes = cachePageBytes(sizes);
  const geometry = extentGeometry(model, capacity, cacheDtype);
  const isInt8 = cacheDtype === "q8";
  const rowBytes = rowFloats(model, cacheDtype) * (isInt8 ? 1 : 4);
  const elementBytes = headDim * (isInt8 ? 1 : 4);
  const slotBytes = 2 * rowBytes + (isInt8 ? 2 * SCALE_BYTES : 0);

  const addressOf = (page: number) => {
    const extent = arena.integers[arena.word("extents") / 4 + Math.floor(page / geometry.pages)] as number;
    return extent + (page % geometry.pages) * geometry.pageBytes;
  };

  /** Copies `length` bytes between memory and the file's form. */
  const visit = (
    pages: readonly number[],
    bytes: Uint8Array,
    copy: (memory: Uint8Array, address: number, at: number, length: number) => void,
  ) => {
    checkCachePages(pages, bytes, { pageBytes, numPages: cache.numPages });
    const memory = arena.bytes;
    for (const [i, page] of pages.entries())
      for (let layer = 0; layer < numLayers; layer++)
        for (const [index, part] of (["keys", "values"] as const).entries()) {
          const { first, headBytes, tokenBytes } = rowPlaces(sizes, layer, part);
          const inLayer = addressOf(page) + layer * geometry.layerBytes;
          for (let head = 0; head < numKvHeads; head++)
            for (let token = 0; token < pageSize; token++) {
              const slot = inLayer + (head * pageSize + token) * slotBytes;
              const at = i * pageBytes + first + token * tokenBytes + head * headBytes;
              copy(memory, slot + index * rowBytes, at, elementBytes);
              const scale = slot + 2 * rowBytes + index * SCALE_BYTES;
              if (isInt8) copy(memory, scale, at + elementBytes, SCALE_BYTES);
            }
        }
  };
  return {
    pageBytes,
    read: async (pages, out) =>
      visit(pages, out, (memory, address, at, length) =>
        out.set(memory.subarray(address, address + length), at),
      ),
    write: (pages, bytes) =>
      visit(pages, bytes, (memory, address, at, length) =>
        memory.set(bytes.subarray(at, at + length), address),
      ),
  };
}
