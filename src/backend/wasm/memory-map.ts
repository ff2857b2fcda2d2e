import type { Capacity, ModelShape } from "../backend.ts";
import { decoderBytes } from "../decoder-memory.ts";

/** Where the words that kernels read stand; see assembly/state.ts. */
export const WORDS_ADDRESS = 4096;
/** Counts the workers that have started; see assembly/control.ts. */
export const ARRIVED_ADDRESS = 1536;
/** First byte that is the arena's: past the kernels' own data. */
export const ARENA_START = 131072;
export const PAGE_BYTES = 65536;
/** What a 32-bit address reaches. */
export const MAX_BYTES = 2 ** 32;
/** Positions of an attention chunk; CHUNK in assembly/attention.ts. */
const CHUNK = 256;

/** Index of each word; the order is that of assembly/state.ts. */
export const WORDS = {
  hiddenSize: 0,
  intermediateSize: 1,
  numQueryHeads: 2,
  numKvHeads: 3,
  headDim: 4,
  rowFloats: 5,
  vocabSize: 6,
  rmsNormEps: 7,
  pageSize: 8,
  pageShift: 9,
  maxSequenceLength: 10,
  maxBatchRows: 11,
  maxBatchSequences: 12,
  cache: 13,
  packed: 14,
  layerBytes: 15,
  bounds: 16,
  normed: 17,
  gate: 18,
  newKeys: 19,
  newValues: 20,
  partials: 21,
  ranks: 22,
  scratch: 23,
  scratchBytes: 24,
  workers: 25,
  boundsLayerBytes: 27,
  numRows: 32,
  numSequences: 33,
  tokenIds: 34,
  slots: 35,
  rope: 36,
  firstRows: 37,
  rowCounts: 38,
  lengths: 39,
  pageTables: 40,
  maxPagesPerSequence: 41,
  logitsRows: 42,
  aheadF32: 64,
  itemF32: 65,
  aheadBf16: 66,
  itemBf16: 67,
  aheadF16: 68,
  itemF16: 69,
  aheadF16Special: 70,
  itemF16Special: 71,
  attendTouch: 80,
  attendBlock: 81,
  attendSpan: 82,
  streamThreads: 83,
  soloBytes: 84,
  spinMicroseconds: 85,
} as const;

export type Word = keyof typeof WORDS;

/** Floats of a cached row: headDim rounded up to a vector. */
export function rowFloats(model: ModelShape): number {
  return Math.ceil(model.headDim / 4) * 4;
}

/** Bytes of K and V of one layer: f32 [maxPages, numKvHeads, pageSize, 2, rowFloats]. */
export function layerBytes(model: ModelShape, capacity: Capacity): number {
  return 8 * capacity.maxPages * model.numKvHeads * capacity.pageSize * rowFloats(model);
}

/** Bytes of the page bounds of one layer: f32 [maxPages, numKvHeads, 2, rowFloats]. */
export function boundsLayerBytes(model: ModelShape, capacity: Capacity): number {
  return 8 * capacity.maxPages * model.numKvHeads * rowFloats(model);
}

/** Bytes of the staging area that weights pass on the way to their place: at least 8 f32 rows of any weight. */
export function stagingBytes(model: ModelShape): number {
  const cols = Math.max(
    model.hiddenSize,
    model.intermediateSize,
    model.numQueryHeads * model.headDim,
    model.vocabSize,
  );
  return Math.max(1 << 20, 32 * cols);
}

/**
 * Bytes of everything but the weights: fixed regions, staging, KV cache, page bounds, and room for the decoder and the
 * policies.
 */
export function workingBytes(model: ModelShape, capacity: Capacity): number {
  const fixed = regions(model, capacity).reduce((sum, [, bytes]) => sum + bytes, 0);
  const cache = model.numLayers * (layerBytes(model, capacity) + boundsLayerBytes(model, capacity));
  return fixed + stagingBytes(model) + cache + decoderBytes(model, capacity);
}

/** Regions of fixed size that the kernels use, in bytes, by the word that holds their address. */
export function regions(model: ModelShape, capacity: Capacity): readonly (readonly [Word, number])[] {
  const { maxBatchRows: rows, maxBatchSequences: sequences, maxSequenceLength: length } = capacity;
  const maxPages = Math.ceil(length / capacity.pageSize);
  const widest = Math.max(model.hiddenSize, model.intermediateSize, model.numQueryHeads * model.headDim);
  const kvRow = model.numKvHeads * model.headDim;
  const partials = sequences * model.numQueryHeads * Math.ceil(length / CHUNK) * (rowFloats(model) + 4);
  return [
    ["tokenIds", 4 * rows],
    ["slots", 4 * rows],
    ["rope", 4 * rows * model.headDim],
    ["firstRows", 4 * sequences],
    ["rowCounts", 4 * sequences],
    ["lengths", 4 * sequences],
    ["pageTables", 4 * sequences * maxPages],
    ["logitsRows", 4 * rows],
    ["normed", 4 * rows * model.hiddenSize],
    ["gate", 4 * rows * model.intermediateSize],
    ["packed", 4 * Math.ceil(rows / 4) * 4 * widest],
    ["newKeys", 4 * rows * kvRow],
    ["newValues", 4 * rows * kvRow],
    ["partials", 4 * partials],
    ["ranks", 4 * model.numQueryHeads * length],
  ];
}
