import type { TensorRef } from "../base/tensor-ref.ts";

/** Queries and keys of a step's rows as they are before RoPE: with their bias, after the norm of each head. */
export interface RawHeads {
  /** f32 [maxBatchRows, numQueryHeads * headDim] */
  readonly query: TensorRef;
  /** f32 [maxBatchRows, numKvHeads * headDim], exact, whatever the cache stores. */
  readonly keys: TensorRef;
}

/** Sizes of a gate: the same in all layers. */
export interface BlockGateShape {
  /** Tokens of a block; a multiple of the cache's page size. */
  readonly blockSize: number;
  /** Elements of a gate's query and key; even. */
  readonly gateDim: number;
  /** Of both norms. */
  readonly normEps: number;
}

/**
 * The gate of one layer, which scores blocks of cached tokens per kv head. All tensors are f32.
 *
 * Query of a row: the sum over the query heads of a kv head of raw query · q, then `qNorm`, then RoPE of the row's position.
 * Key of a block: (maximum, minimum, mean of its raw keys, per channel) · k, then `kNorm`, then RoPE of the position of its first token.
 */
export interface BlockGate extends BlockGateShape {
  /** [numQueryHeads, headDim, gateDim] */
  readonly q: TensorRef;
  /** [numKvHeads, 3 * headDim, gateDim] */
  readonly k: TensorRef;
  /** [gateDim]. Absent: no norm. */
  readonly qNorm?: TensorRef;
  readonly kNorm?: TensorRef;
  /** [maxSequenceLength, gateDim]: cos of the gateDim / 2 angles of each position, then sin. Absent: no RoPE. */
  readonly rope?: TensorRef;
  /** [maxPages, numKvHeads, 3, headDim]: maximum, minimum and sum of the raw keys of each page so far; an engine's follow the pool (`createPageTensor`), as `blockKeys` do. */
  readonly pools: TensorRef;
  /** [maxPages, numKvHeads, gateDim]: the key of each whole block, at the block's last page. */
  readonly blockKeys: TensorRef;
}
