/** Keys and values of pages in one form, whatever the layout of a backend. */
import { type CacheDtype, cacheRowBytes } from "../base/cache-dtype.ts";
import { ShapeError } from "../base/errors.ts";
import type { ModelShape } from "./model-shape.ts";

/**
 * Copies keys and values of pages out and in. The form of a page: [pageSize, numLayers, key and value, numKvHeads] rows of
 * `cacheRowBytes`: headDim elements of the cache's type, little-endian, and of q8 the row's f32 scale behind them.
 */
export interface CachePages {
  /** Bytes of a page. */
  readonly pageBytes: number;
  /**
   * Copies pages as the recorded steps leave them, in the order of the list; later steps do not change the copy.
   * out: [pages.length * pageBytes]
   * @throws ShapeError for a page that the pool lacks, and for an array of another length
   */
  read(pages: readonly number[], out: Uint8Array): Promise<void>;
  /**
   * Replaces keys and values of pages, in order with the recorded steps. Data that policies keep of the pages stay as they are.
   * bytes: [pages.length * pageBytes]
   * @throws ShapeError as `read`
   */
  write(pages: readonly number[], bytes: Uint8Array): void;
}

/** Sizes of the form. */
export interface CachePageSizes {
  readonly model: ModelShape;
  readonly capacity: { readonly pageSize: number };
  readonly cacheDtype: CacheDtype;
}

export function cachePageBytes({ model, capacity, cacheDtype }: CachePageSizes): number {
  const { numLayers, numKvHeads, headDim } = model;
  return capacity.pageSize * numLayers * 2 * numKvHeads * cacheRowBytes(cacheDtype, headDim);
}

/** Offset of the row of token 0, head 0 in a page, and the bytes from head to head and from token to token. */
export function rowPlaces(
  { model, cacheDtype }: CachePageSizes,
  layer: number,
  part: "keys" | "values",
): { readonly first: number; readonly headBytes: number; readonly tokenBytes: number } {
  const { numLayers, numKvHeads, headDim } = model;
  const headBytes = cacheRowBytes(cacheDtype, headDim);
  const partBytes = numKvHeads * headBytes;
  return {
    first: (2 * layer + (part === "values" ? 1 : 0)) * partBytes,
    headBytes,
    tokenBytes: 2 * numLayers * partBytes,
  };
}

/** numPages: of the pool */
export function checkCachePages(
  pages: readonly number[],
  bytes: Uint8Array,
  { pageBytes, numPages }: { readonly pageBytes: number; readonly numPages: number },
): void {
  if (bytes.length !== pages.length * pageBytes)
    throw new ShapeError(
      `copying ${pages.length} pages of ${pageBytes} bytes to or from an array of ${bytes.length}`,
    );
  for (const page of pages)
    if (!(Number.isSafeInteger(page) && page >= 0 && page < numPages))
      throw new ShapeError(`copying page ${page}: the KV cache has ${numPages} pages`);
}
