import { globalLayers } from "../attention/layer-windows.ts";
import type { AttentionPolicy, SelectionLayersSource } from "../attention/policy.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { ModelConfig } from "./config.ts";

/** The tokens of a checkpoint. */
export type Vocabulary = Pick<Tokenizer, "tokenId">;

/** The second selection layer that a paper names for a model. The first is always layer 2. */
interface Published {
  readonly model: string;
  /** Layers, hidden size, intermediate size, vocabulary. */
  readonly sizes: readonly [number, number, number, number];
  readonly layer: number;
  /** A token that tells the model from others of its sizes and configuration. */
  readonly token?: string;
}

/**
 * DeepSeek's distillations keep the sizes, RoPE and token ids of the models that they start from. What differs is the tokenizer:
 * DeepSeek's special tokens stand in the place of the reserved ones.
 */
const DEEPSEEK_TOKEN = "<｜begin▁of▁sentence｜>";

/** LessIsMore (arXiv 2508.07101, Table 10) and, for the other Llamas, TidalDecode (arXiv 2410.05076), by model family. */
const PUBLISHED: Readonly<Record<string, readonly Published[]>> = {
  qwen3: [
    { model: "Qwen3-4B", sizes: [36, 2560, 9728, 151_936], layer: 20 },
    { model: "Qwen3-8B", sizes: [36, 4096, 12_288, 151_936], layer: 12 },
    { model: "Qwen3-14B", sizes: [40, 5120, 17_408, 151_936], layer: 12 },
  ],
  llama: [
    {
      ...{ model: "DeepSeek-R1-Distill-Llama-8B", sizes: [32, 4096, 14_336, 128_256], layer: 12 },
      token: DEEPSEEK_TOKEN,
    },
    { model: "Llama-3.1-8B", sizes: [32, 4096, 14_336, 128_256], layer: 13 },
    { model: "Llama-3.2-3B", sizes: [28, 3072, 8192, 128_256], layer: 12 },
  ],
};

/**
 * Selection layers for requests and checkpoints that name none: the published ones, else layer 2 and the layer at a third of
 * the depth, where most published ones are. Models of up to three layers select in their last. A layer with a sliding window
 * selects nothing: the next global layer takes its place, and there may be one alone, or none.
 */
export function defaultSelectionLayers(
  config: ModelConfig,
  vocabulary?: Vocabulary,
): {
  readonly layers: readonly number[];
  readonly from: SelectionLayersSource;
  /** The published model. */
  readonly of?: string;
} {
  const { numLayers, family, hiddenSize, intermediateSize, vocabSize } = config;
  const sizes = [numLayers, hiddenSize, intermediateSize, vocabSize];
  const known = PUBLISHED[family.modelType]?.find(
    (one) =>
      one.sizes.every((size, i) => size === sizes[i]) &&
      (one.token === undefined || vocabulary?.tokenId(one.token) !== undefined),
  );
  const global = globalLayers({ numLayers, windows: slidingWindows(config) });
  if (known && global.length === numLayers)
    return { layers: [2, known.layer], from: "paper", of: known.model };
  if (numLayers <= 3) return { layers: global.slice(-1), from: "guess" };
  const first = global.find((layer) => layer >= 2) ?? global.at(-1);
  if (first === undefined) return { layers: [], from: "guess" };
  const second = global.find((layer) => layer > first && layer >= Math.round(numLayers / 3));
  return { layers: second === undefined ? [first] : [first, second], from: "guess" };
}

/** The window of each layer by layer, unless it holds the whole context. */
export function slidingWindows({ layers, contextLength }: ModelConfig): readonly (number | undefined)[] {
  return layers.map(({ window }) => (window !== undefined && window < contextLength ? window : undefined));
}

/** Warns that a policy runs on guessed selection layers. */
export function guessNote({ name, settings }: Pick<AttentionPolicy, "name" | "settings">): string {
  const key = "anchors" in settings ? "anchors" : "layers";
  const layers = settings[key];
  const named = Array.isArray(layers) ? layers.join("+") : String(layers);
  return (
    `${name}: selection layers ${named} are a GUESS by the model's depth; neither the request, nor the checkpoint, nor ` +
    "the paper names any for it. A wrong guess can be less accurate than a sliding window: compare it " +
    `with full attention, and name layers that were measured (${name}:${key}=A+B)`
  );
}
