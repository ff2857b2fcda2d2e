import type { ModelConfig } from "./config.ts";

/**
 * Published second selection layers, by (layers, hidden size): LessIsMore (arXiv 2508.07101, Table 10) and TidalDecode
 * (arXiv 2410.05076). The first is always layer 2.
 */
const PUBLISHED: readonly (readonly [numLayers: number, hiddenSize: number, layer: number])[] = [
  [36, 2560, 20], // Qwen3-4B
  [36, 4096, 12], // Qwen3-8B
  [40, 5120, 12], // Qwen3-14B
  [32, 4096, 13], // Llama-3.1-8B
  [28, 3072, 12], // Llama-3.2-3B
];

/**
 * The selection layers to use where neither the request nor the checkpoint names any: published ones, else layer 2 and
 * the layer at a third of the depth (where most published ones lie). Models of up to three layers select in their last.
 */
export function defaultSelectionLayers(config: ModelConfig): readonly number[] {
  const { numLayers, hiddenSize } = config;
  const published = PUBLISHED.find(([layers, hidden]) => layers === numLayers && hidden === hiddenSize);
  if (published) return [2, published[2]];
  if (numLayers <= 3) return [numLayers - 1];
  return [2, Math.min(numLayers - 1, Math.max(3, Math.round(numLayers / 3)))];
}
