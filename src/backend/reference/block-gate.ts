import type { TensorRef } from "../../base/tensor-ref.ts";
import { capacityOf } from "../../base/tensor-ref.ts";
import type { BlockGate, Scores, SequenceRange, StepBatch } from "../backend.ts";
import type { Sizes } from "./cache.ts";
import { rmsNorm, rotateHalf } from "./linear.ts";
import { floats } from "./refs.ts";

/** The page at an index of a sequence's table. */
function pageOf(batch: StepBatch, sequence: number, index: number): number {
  return batch.pageTables[sequence * batch.maxPagesPerSequence + index];
}

/** `Backend.updateBlockKeys`. */
export function updateBlockKeys(
  sizes: Sizes,
  batch: StepBatch,
  range: SequenceRange,
  keys: TensorRef,
  gate: BlockGate,
): void {
  for (let s = range.first; s < range.first + range.count; s++) {
    const first = batch.lengths[s] - batch.rowCounts[s];
    for (let i = 0; i < batch.rowCounts[s]; i++) {
      poolRow(sizes, batch, { sequence: s, position: first + i, row: batch.firstRows[s] + i }, keys, gate);
      if ((first + i + 1) % gate.blockSize === 0)
        computeBlockKey(sizes, batch, s, Math.floor((first + i) / gate.blockSize), gate);
    }
  }
}

/** Extends the pools of the page of a position by the keys of a row. */
function poolRow(
  { model: { numKvHeads, headDim }, capacity: { pageSize } }: Sizes,
  batch: StepBatch,
  at: { readonly sequence: number; readonly position: number; readonly row: number },
  keys: TensorRef,
  gate: BlockGate,
): void {
  const pools = floats(gate.pools);
  const page = pageOf(batch, at.sequence, Math.floor(at.position / pageSize));
  const isFirst = at.position % pageSize === 0;
  for (let head = 0; head < numKvHeads; head++)
    for (let d = 0; d < headDim; d++) {
      const key = floats(keys)[(at.row * numKvHeads + head) * headDim + d];
      const pool = (page * numKvHeads + head) * 3 * headDim + d;
      pools[pool] = isFirst ? key : Math.max(pools[pool], key);
      pools[pool + headDim] = isFirst ? key : Math.min(pools[pool + headDim], key);
      pools[pool + 2 * headDim] = isFirst ? key : pools[pool + 2 * headDim] + key;
    }
}

/** Computes the key of a whole block from the pools of its pages. */
function computeBlockKey(
  { model: { numKvHeads, headDim }, capacity: { pageSize } }: Sizes,
  batch: StepBatch,
  sequence: number,
  block: number,
  gate: BlockGate,
): void {
  const { blockSize, gateDim, normEps, rope } = gate;
  const pages = blockSize / pageSize;
  const lastPage = pageOf(batch, sequence, (block + 1) * pages - 1);
  const blockKeys = floats(gate.blockKeys);
  for (let head = 0; head < numKvHeads; head++) {
    const pooled = new Float64Array(3 * headDim);
    for (let i = 0; i < pages; i++) {
      const start = (pageOf(batch, sequence, block * pages + i) * numKvHeads + head) * 3 * headDim;
      for (let d = 0; d < headDim; d++) {
        const [most, least, sum] = [0, 1, 2].map((which) => floats(gate.pools)[start + which * headDim + d]);
        pooled[d] = i === 0 ? most : Math.max(pooled[d], most);
        pooled[headDim + d] = i === 0 ? least : Math.min(pooled[headDim + d], least);
        pooled[2 * headDim + d] += sum / blockSize;
      }
    }
    const key = new Float32Array(gateDim);
    const weights = floats(gate.k);
    for (let o = 0; o < gateDim; o++) {
      let sum = 0;
      for (let i = 0; i < 3 * headDim; i++)
        sum += pooled[i] * weights[(head * 3 * headDim + i) * gateDim + o];
      key[o] = sum;
    }
    if (gate.kNorm) rmsNorm(key, 0, gateDim, floats(gate.kNorm), normEps, key, 0);
    if (rope) rotateHalf(key, 0, gateDim, floats(rope), block * blockSize * gateDim);
    blockKeys.set(key, (lastPage * numKvHeads + head) * gateDim);
  }
}

/** `Backend.blockScores`. */
export function blockScores(
  sizes: Sizes,
  batch: StepBatch,
  range: SequenceRange,
  query: TensorRef,
  gate: BlockGate,
  out: Scores,
): void {
  const { numKvHeads } = sizes.model;
  const pages = gate.blockSize / sizes.capacity.pageSize;
  for (let i = 0; i < range.count; i++) {
    const s = range.first + i;
    for (let head = 0; head < numKvHeads; head++) {
      const gateQuery = queryOf(sizes, { row: batch.firstRows[s], position: batch.lengths[s] - 1 }, head, {
        query: floats(query),
        gate,
      });
      const start = (i * out.heads + head) * capacityOf(out.values);
      const whole = Math.floor(batch.lengths[s] / gate.blockSize);
      for (let block = 0; block * gate.blockSize < batch.lengths[s]; block++) {
        const key = (block < whole ? pageOf(batch, s, (block + 1) * pages - 1) : 0) * numKvHeads + head;
        let sum = 0;
        if (block < whole)
          for (let o = 0; o < gate.gateDim; o++)
            sum += gateQuery[o] * floats(gate.blockKeys)[key * gate.gateDim + o];
        floats(out.values)[start + block] = sum / Math.sqrt(gate.gateDim);
      }
    }
  }
}

/** The gate's query of a kv head of a row. */
function queryOf(
  { model: { numQueryHeads, numKvHeads, headDim } }: Sizes,
  { row, position }: { readonly row: number; readonly position: number },
  kvHead: number,
  { query, gate }: { readonly query: Float32Array; readonly gate: BlockGate },
): Float32Array {
  const { gateDim } = gate;
  const weights = floats(gate.q);
  const width = (numQueryHeads / numKvHeads) * headDim;
  const out = new Float32Array(gateDim);
  for (let o = 0; o < gateDim; o++) {
    let sum = 0;
    for (let i = 0; i < width; i++)
      sum +=
        query[row * numQueryHeads * headDim + kvHead * width + i] *
        weights[(kvHead * width + i) * gateDim + o];
    out[o] = sum;
  }
  if (gate.qNorm) rmsNorm(out, 0, gateDim, floats(gate.qNorm), gate.normEps, out, 0);
  if (gate.rope) rotateHalf(out, 0, gateDim, floats(gate.rope), position * gateDim);
  return out;
}
