import type { Capacity, ModelShape } from "../backend.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";
import { decoderBytes } from "../decoder-memory.ts";
import { RECORD_BYTES, RECORD_OF_FOUR_BYTES, SPLIT, TILED_ROWS_QUANTISED } from "./assembly/layout.ts";
import * as words from "./assembly/words.ts";

/** First byte of the arena: the kernels' own data end below it. */
export const ARENA_START = 131072;
export const PAGE_BYTES = 65536;
/** The reach of a 32-bit address. */
export const MAX_BYTES = 2 ** 32;
/** Target size of a KV extent: growth in small steps, few extents. */
const EXTENT_BYTES = 16 << 20;

/** Index of each word that kernels read. */
export const WORDS = { ...words };

export type Word = keyof typeof WORDS;

/** Elements of a cached row: headDim rounded up to what the kernels load at once. */
export function rowFloats(model: ModelShape, cacheDtype: CpuCacheDtype): number {
  const vector = cacheDtype === "q8" ? 8 : 4;
  return Math.ceil(model.headDim / vector) * vector;
}

/** Bytes of the key and the value of a token in one kv head, and of their scales if they are int8. */
function slotBytes(model: ModelShape, cacheDtype: CpuCacheDtype): number {
  const elements = 2 * rowFloats(model, cacheDtype);
  return cacheDtype === "q8" ? elements + 2 * 4 : 4 * elements;
}

/** Sizes in bytes of an extent of the KV cache: `pages` pages of all layers, slots [layer, page, kvHead, pageSize]. */
export interface ExtentGeometry {
  /** A power of two. */
  readonly pages: number;
  readonly pageBytes: number;
  readonly layerBytes: number;
  readonly bytes: number;
  /** Page bounds of an extent: f32 [layer, page, kvHead, 2, rowFloats]. */
  readonly boundsPageBytes: number;
  readonly boundsLayerBytes: number;
  readonly boundsBytes: number;
  /** Extents of a full pool. */
  readonly maxExtents: number;
}

/** The most pages that stay below EXTENT_BYTES, one at least, and no more than the pool may have. */
export function extentGeometry(
  model: ModelShape,
  capacity: Capacity,
  cacheDtype: CpuCacheDtype,
): ExtentGeometry {
  const { numLayers, numKvHeads } = model;
  const { pageSize, maxPages } = capacity;
  const boundsPageBytes = 8 * numKvHeads * rowFloats(model, cacheDtype);
  const pageBytes = numKvHeads * pageSize * slotBytes(model, cacheDtype);
  let pages = 1;
  while (pages < maxPages && 2 * pages * numLayers * pageBytes <= EXTENT_BYTES) pages *= 2;
  return {
    ...{ pages, pageBytes, layerBytes: pages * pageBytes, bytes: numLayers * pages * pageBytes },
    ...{ boundsPageBytes, boundsLayerBytes: pages * boundsPageBytes },
    boundsBytes: numLayers * pages * boundsPageBytes,
    maxExtents: Math.ceil(maxPages / pages),
  };
}

/** Bytes of the staging area that weights pass on their way: at least 8 f32 rows of any weight. */
export function stagingBytes(model: ModelShape): number {
  const cols = Math.max(
    model.hiddenSize,
    widestInner(model),
    model.numQueryHeads * model.headDim,
    model.vocabSize,
  );
  return Math.max(1 << 20, 32 * cols);
}

/**
 * Bytes of everything but the weights: fixed regions, staging, the full KV cache, key bounds, and room for the decoder and
 * the policies.
 */
export function workingBytes(model: ModelShape, capacity: Capacity, cacheDtype: CpuCacheDtype): number {
  const fixed = regions(model, capacity, cacheDtype).reduce((sum, [, bytes]) => sum + bytes, 0);
  const { bytes, boundsBytes, maxExtents } = extentGeometry(model, capacity, cacheDtype);
  const cache = maxExtents * (bytes + boundsBytes);
  return fixed + stagingBytes(model) + cache + decoderBytes(model, capacity);
}

/** Regions of fixed size that the kernels use: the word that holds the address, and the size in bytes. */
export function regions(
  model: ModelShape,
  capacity: Capacity,
  cacheDtype: CpuCacheDtype,
): readonly (readonly [Word, number])[] {
  const { maxBatchRows: rows, maxBatchSequences: sequences, maxSequenceLength: length } = capacity;
  const maxPages = Math.ceil(length / capacity.pageSize);
  const widest = Math.max(model.hiddenSize, widestInner(model), model.numQueryHeads * model.headDim);
  const kvRow = model.numKvHeads * model.headDim;
  const { maxExtents } = extentGeometry(model, capacity, cacheDtype);
  const partials =
    sequences * model.numQueryHeads * Math.ceil(length / SPLIT) * (rowFloats(model, cacheDtype) + 4);
  return [
    ["tokenIds", 4 * rows],
    ["slots", 4 * rows],
    ["rope", 4 * model.numRopes * rows * model.headDim],
    ["firstRows", 4 * sequences],
    ["rowCounts", 4 * sequences],
    ["lengths", 4 * sequences],
    ["validBounds", 4 * sequences],
    ["pageTables", 4 * sequences * maxPages],
    ["logitsRows", 4 * rows],
    ["normed", 4 * rows * model.hiddenSize],
    ["gate", 4 * rows * widestInner(model)],
    ["packed", 4 * Math.ceil(rows / 4) * 4 * widest],
    ["quantised", quantisedBytes(rows) * Math.ceil(widest / 32)],
    ["newKeys", 4 * rows * kvRow],
    ["newValues", 4 * rows * kvRow],
    ["partials", 4 * partials],
    ["ranks", 4 * model.numQueryHeads * length],
    ["extents", 4 * maxExtents],
    ["boundsExtents", 4 * maxExtents],
    ...expertRegions(model, rows),
  ];
}

/** Bytes of 32 columns of `rows` rows of quantised activations. */
function quantisedBytes(rows: number): number {
  return Math.max(
    Math.min(rows, TILED_ROWS_QUANTISED - 1) * RECORD_BYTES,
    Math.ceil(rows / 4) * RECORD_OF_FOUR_BYTES,
  );
}

/** The widest inner row of any feed-forward. */
function widestInner({ intermediateSize, experts }: ModelShape): number {
  return Math.max(intermediateSize, experts?.intermediateSize ?? 0);
}

function expertRegions(
  { experts, hiddenSize }: ModelShape,
  rows: number,
): readonly (readonly [Word, number])[] {
  if (!experts) return [];
  return [
    ["routed", 4 * rows * experts.numExperts],
    ["chosen", 8 * rows * experts.topExperts],
    ["expertRows", 8 * rows],
    ["expertInput", 4 * rows * hiddenSize],
    ["expertOutput", 4 * rows * hiddenSize],
  ];
}
