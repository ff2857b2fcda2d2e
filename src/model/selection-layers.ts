import type { SelectionLayersSource } from "../attention/policy.ts";
import type { ModelConfig } from "./config.ts";

/** The second selection layer that a paper names for a model of these sizes. The first is always layer 2. */
interface Published {
  readonly sizes: Pick<ModelConfig, "numLayers" | "hiddenSize" | "intermediateSize" | "vocabSize">;
  readonly layer: number;
}

const published = (
  numLayers: number,
  hiddenSize: number,
  intermediateSize: number,
  vocabSize: number,
  layer: number,
): Published => ({ sizes: { numLayers, hiddenSize, intermediateSize, vocabSize }, layer });

/** LessIsMore (arXiv 2508.07101, Table 10) and, for the Llamas, TidalDecode (arXiv 2410.05076), by model family. */
const PUBLISHED: Readonly<Record<string, readonly Published[]>> = {
  qwen3: [
    published(36, 2560, 9728, 151_936, 20), // Qwen3-4B
    published(36, 4096, 12_288, 151_936, 12), // Qwen3-8B
    published(40, 5120, 17_408, 151_936, 12), // Qwen3-14B
  ],
  llama: [
    published(32, 4096, 14_336, 128_256, 13), // Llama-3.1-8B
    published(28, 3072, 8192, 128_256, 12), // Llama-3.2-3B
  ],
};

/**
 * Selection layers for requests and checkpoints that name none: the published ones, else layer 2 and the layer at a third of
 * the depth, where most published ones are. Models of up to three layers select in their last.
 */
export function defaultSelectionLayers(config: ModelConfig): {
  readonly layers: readonly number[];
  readonly from: SelectionLayersSource;
} {
  const { numLayers, family } = config;
  const known = PUBLISHED[family.modelType]?.find(
    ({ sizes }) =>
      sizes.numLayers === numLayers &&
      sizes.hiddenSize === config.hiddenSize &&
      sizes.intermediateSize === config.intermediateSize &&
      sizes.vocabSize === config.vocabSize,
  );
  if (known) return { layers: [2, known.layer], from: "paper" };
  if (numLayers <= 3) return { layers: [numLayers - 1], from: "guess" };
  return { layers: [2, Math.min(numLayers - 1, Math.max(3, Math.round(numLayers / 3)))], from: "guess" };
}

/** Warns that a policy runs on guessed selection layers. */
export function guessNote(name: string, layers: unknown): string {
  const named = Array.isArray(layers) ? layers.join("+") : String(layers);
  return (
    `${name}: selection layers ${named} are a GUESS by the model's depth; neither the request, nor the checkpoint, nor ` +
    "the paper names any for it. A wrong guess can be less accurate than a sliding window: compare it " +
    `with full attention, and name layers that were measured (${name}:layers=A+B)`
  );
}
