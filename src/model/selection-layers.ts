import type { SelectionLayersSource } from "../attention/policy.ts";
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
export function defaultSelectionLayers(config: ModelConfig): {
  readonly layers: readonly number[];
  readonly from: SelectionLayersSource;
} {
  const { numLayers, hiddenSize } = config;
  const published = PUBLISHED.find(([layers, hidden]) => layers === numLayers && hidden === hiddenSize);
  if (published) return { layers: [2, published[2]], from: "paper" };
  if (numLayers <= 3) return { layers: [numLayers - 1], from: "guess" };
  return { layers: [2, Math.min(numLayers - 1, Math.max(3, Math.round(numLayers / 3)))], from: "guess" };
}

/** What a person must know where a policy runs on guessed selection layers. */
export function guessNote(name: string, layers: unknown): string {
  const named = Array.isArray(layers) ? layers.join("+") : String(layers);
  return (
    `${name}: selection layers ${named} are a GUESS by the model's depth; neither the request, nor the checkpoint, nor ` +
    "the paper names any for it. A wrong guess can be less accurate than a sliding window: compare it " +
    `with full attention, and name layers that were measured (${name}:layers=A+B)`
  );
}
