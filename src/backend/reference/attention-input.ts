import type { WeightRef } from "../../base/tensor-ref.ts";
import type { Backend, LayerTensors, NextLayer, StepBatch } from "../backend.ts";
import { type LayerCache, roundHead, type Sizes } from "./cache.ts";
import { matvec, rmsNorm, rotateHalf } from "./linear.ts";
import { floats, matrix, vector } from "./refs.ts";

/** `Backend.attentionInput`, of a backend that stores keys and values in `cache`. */
export function attentionInput(
  { model, cacheDtype }: Sizes & Pick<Backend, "cacheDtype">,
  batch: StepBatch,
  cache: LayerCache,
  { layer, weights }: NextLayer,
  { x, query, raw }: Pick<LayerTensors, "x" | "query" | "raw">,
): void {
  const { hiddenSize, headDim, numQueryHeads, numKvHeads, rmsNormEps } = model;
  const normed = new Float32Array(hiddenSize);
  const width = numKvHeads * headDim;
  const bias = (ref: WeightRef | undefined) => ({ bias: ref && vector(ref) });
  for (let row = 0; row < batch.numRows; row++) {
    rmsNorm(floats(x), row * hiddenSize, hiddenSize, vector(weights.norm), rmsNormEps, normed, 0);
    const q = row * numQueryHeads * headDim;
    const kv = batch.slots[row] * width;
    matvec(matrix(weights.q), normed, 0, floats(query), q, bias(weights.qBias));
    matvec(matrix(weights.k), normed, 0, cache.keys, kv, bias(weights.kBias));
    matvec(matrix(weights.v), normed, 0, cache.values, kv, bias(weights.vBias));
    const { rope, queryRope = rope } = model.layers[layer];
    const ropeOf = (table: number) => {
      const offset = (table * batch.tokenIds.length + row) * headDim;
      return batch.rope.subarray(offset, offset + headDim);
    };
    const queries = floats(query).subarray(q, q + numQueryHeads * headDim);
    const keys = cache.keys.subarray(kv, kv + width);
    normHeads(queries, headDim, weights.qNorm, rmsNormEps);
    normHeads(keys, headDim, weights.kNorm, rmsNormEps);
    if (raw) {
      floats(raw.query).set(queries, q);
      floats(raw.keys).set(keys, row * width);
    }
    rotateHeads(queries, headDim, ropeOf(queryRope));
    rotateHeads(keys, headDim, ropeOf(rope));
    for (let offset = kv; offset < kv + width; offset += headDim) {
      roundHead(cacheDtype, cache.keys, { offset, headDim });
      roundHead(cacheDtype, cache.values, { offset, headDim });
    }
  }
}

/** Norm of each head if given; in place. */
function normHeads(heads: Float32Array, headDim: number, norm: WeightRef | undefined, eps: number): void {
  if (!norm) return;
  for (let at = 0; at < heads.length; at += headDim)
    rmsNorm(heads, at, headDim, vector(norm), eps, heads, at);
}

/** RoPE of each head by the same row; in place. */
function rotateHeads(heads: Float32Array, headDim: number, rope: Float32Array): void {
  for (let at = 0; at < heads.length; at += headDim) rotateHalf(heads, at, headDim, rope, 0);
}
