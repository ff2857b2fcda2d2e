import type { AttentionModel } from "../attention/policy.ts";
import type { CacheDtype } from "../backend/backend.ts";
import { cacheRowBytes } from "../base/cache-dtype.ts";
import type { Checkpoint } from "../load/checkpoint.ts";
import type { ModelConfig } from "./config.ts";
import { defaultSelectionLayers } from "./selection-layers.ts";

/** The sizes of a model that policies may depend on. */
export function attentionModelOf(config: ModelConfig, pageSize: number): AttentionModel {
  const { numLayers, numQueryHeads, numKvHeads, headDim } = config;
  const { layers, from } = defaultSelectionLayers(config);
  return {
    numLayers,
    numQueryHeads,
    numKvHeads,
    headDim,
    pageSize,
    defaultSelectionLayers: layers,
    defaultSelectionLayersFrom: from,
  };
}

/** Bytes of one token's keys and values over all layers. */
export function kvBytesPerToken(config: ModelConfig, cacheDtype: CacheDtype): number {
  return 2 * config.numLayers * config.numKvHeads * cacheRowBytes(cacheDtype, config.headDim);
}

/** Counts the elements of all tensors; a tied tensor counts once. */
export function countParameters(checkpoint: Checkpoint): number {
  let count = 0;
  for (const { shape } of checkpoint.tensors.values()) count += shape.reduce((a, b) => a * b, 1);
  return count;
}
