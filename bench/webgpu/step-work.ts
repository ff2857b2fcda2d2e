/** The work of a step: bytes to read, operations to compute. */
import {
  type AttentionModel,
  type AttentionPolicy,
  type CacheDtype,
  cacheRowBytes as headRowBytes,
  type ModelConfig,
  predictReads,
} from "../../src/node/internal.ts";
import { matrixBytes, type WeightMix } from "./weight-mix.ts";

export interface Dtypes {
  readonly dtype: WeightMix;
  readonly cacheDtype: CacheDtype;
}

/** Elements of a layer's matrices, in the order of a step. */
export function layerMatrices(config: ModelConfig) {
  const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim } = config;
  return {
    qkv: hiddenSize * (numQueryHeads + 2 * numKvHeads) * headDim,
    o: hiddenSize * numQueryHeads * headDim,
    gateUp: 2 * hiddenSize * intermediateSize,
    down: hiddenSize * intermediateSize,
  };
}

function layerElements(config: ModelConfig): number {
  return Object.values(layerMatrices(config)).reduce((sum, one) => sum + one, 0);
}

/** Bytes of the key and the value of a token in one layer. */
export function cacheRowBytes({ numKvHeads, headDim }: ModelConfig, cacheDtype: CacheDtype): number {
  return 2 * numKvHeads * headRowBytes(cacheDtype, headDim);
}

/** A sequence of a step: its cached tokens and its policy, bound to the model. */
export interface SteppedSequence {
  readonly length: number;
  readonly policy: AttentionPolicy;
}

/** Bytes that a decode step of these sequences reads: all matrices once, and what attention and selection read of each cache. */
export function stepBytes(
  config: ModelConfig,
  { dtype, cacheDtype }: Dtypes,
  model: AttentionModel,
  sequences: readonly SteppedSequence[],
): number {
  const rows = sequences.reduce(
    (sum, { policy, length }) => sum + predictReads(policy, model, { length, cacheDtype }),
    0,
  );
  return matrixBytes(config, dtype) + rows * cacheRowBytes(config, cacheDtype);
}

/** Floating-point operations of the prefill of a prompt, two a multiply-add; attention counts the causal half. */
export function prefillOperations(config: ModelConfig, tokens: number): number {
  const { numLayers, numQueryHeads, headDim } = config;
  const pairs = (tokens * (tokens + 1)) / 2;
  return 2 * numLayers * (tokens * layerElements(config) + 2 * pairs * numQueryHeads * headDim);
}
