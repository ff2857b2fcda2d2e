import type { ModelShape, StepBatch } from "../backend.ts";
import { type KeyBounds, type LayerCache, type Sizes, slotOf } from "./cache.ts";

/** One query head of one row: offset of its query and output, and the kv head that it reads. */
export interface HeadRow {
  readonly queryOffset: number;
  readonly kvHead: number;
}

/** The query heads of a row. */
export function headsOf({ numQueryHeads, numKvHeads, headDim }: ModelShape, row: number): HeadRow[] {
  const groupSize = numQueryHeads / numKvHeads;
  return Array.from({ length: numQueryHeads }, (_, head) => ({
    queryOffset: (row * numQueryHeads + head) * headDim,
    kvHead: Math.floor(head / groupSize),
  }));
}

/** Positions first, first + 1, …, end - 1. */
export function positionsFrom(first: number, end: number): number[] {
  return Array.from({ length: end - first }, (_, i) => first + i);
}

/** Scaled logits of one query head against the keys at `positions`. Sums in f64. */
export function headLogits(
  cache: LayerCache,
  { model, capacity }: Sizes,
  batch: StepBatch,
  sequence: number,
  query: Float32Array,
  head: HeadRow,
  positions: Iterable<number>,
): number[] {
  const { headDim, numKvHeads } = model;
  const logits: number[] = [];
  for (const position of positions) {
    const row = (slotOf(batch, capacity, sequence, position) * numKvHeads + head.kvHead) * headDim;
    let dot = 0;
    for (let i = 0; i < headDim; i++) dot += query[head.queryOffset + i] * cache.keys[row + i];
    logits.push(dot * model.attentionScale);
  }
  return logits;
}

/** Softmax of the logits times the values at `positions`, into output at head.queryOffset. */
export function attendHead(
  cache: LayerCache,
  { model, capacity }: Sizes,
  batch: StepBatch,
  sequence: number,
  logits: readonly number[],
  head: HeadRow,
  positions: Iterable<number>,
  output: Float32Array,
): void {
  const { headDim, numKvHeads } = model;
  const largest = logits.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const sums = new Float64Array(headDim);
  let mass = 0;
  let n = 0;
  for (const position of positions) {
    const weight = Math.exp(logits[n++] - largest);
    mass += weight;
    const row = (slotOf(batch, capacity, sequence, position) * numKvHeads + head.kvHead) * headDim;
    for (let i = 0; i < headDim; i++) sums[i] += weight * cache.values[row + i];
  }
  for (let i = 0; i < headDim; i++) output[head.queryOffset + i] = sums[i] / mass;
}

/** Quest's bound of one query head: sum over channels of max(q * min, q * max) over the keys of positions from..to-1. */
export function pageScore(
  bounds: KeyBounds,
  { model, capacity }: Sizes,
  batch: StepBatch,
  { sequence, from, to }: { readonly sequence: number; readonly from: number; readonly to: number },
  query: Float32Array,
  head: HeadRow,
): number {
  const { headDim, numKvHeads } = model;
  const { pageSize } = capacity;
  let score = 0;
  for (let c = 0; c < headDim; c++) {
    let min = Number.POSITIVE_INFINITY;
    let max = Number.NEGATIVE_INFINITY;
    for (let p = from; p < to; p += pageSize) {
      const page = Math.floor(slotOf(batch, capacity, sequence, p) / pageSize);
      const at = (page * numKvHeads + head.kvHead) * headDim + c;
      min = Math.min(min, bounds.min[at]);
      max = Math.max(max, bounds.max[at]);
    }
    const q = query[head.queryOffset + c];
    score += Math.max(q * min, q * max);
  }
  return score;
}
