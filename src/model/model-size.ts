import type { AttentionModel } from "../attention/policy.ts";
import type { CacheDtype } from "../backend/backend.ts";
import { cacheRowBytes } from "../base/cache-dtype.ts";
import type { Checkpoint } from "../load/checkpoint.ts";
import type { ModelConfig } from "./config.ts";
import { defaultSelectionLayers, slidingWindows, type Vocabulary } from "./selection-layers.ts";

/** The sizes of a model that policies may depend on. vocabulary: tells models of the same sizes apart, if it is known. */
export function attentionModelOf(
  config: ModelConfig,
  pageSize: number,
  vocabulary?: Vocabulary,
): AttentionModel {
  const { numLayers, numQueryHeads, numKvHeads, headDim } = config;
  const { layers, from, of } = defaultSelectionLayers(config, vocabulary);
  const windows = slidingWindows(config);
  return {
    numLayers,
    numQueryHeads,
    numKvHeads,
    headDim,
    pageSize,
    ...(windows.some((window) => window !== undefined) && { windows }),
    defaultSelectionLayers: layers,
    defaultSelectionLayersFrom: from,
    ...(of !== undefined && { defaultSelectionLayersOf: of }),
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
