/**
 * Published models to begin with. Sizes are computed from the models' own config.json with the engine's formulae, so that the
 * table cannot drift from the engine. docs/models.md is this table.
 */
import type { SelectionLayersSource } from "../attention/policy.ts";
import { rowBytes, type WeightFormat } from "../base/weight-format.ts";
import type { JsonObject } from "../load/json-file.ts";
import { type ModelConfig, parseModelConfig } from "./config.ts";
import { kvBytesPerToken } from "./model-size.ts";
import { defaultSelectionLayers } from "./selection-layers.ts";

/** A published model, with the values of its config.json that say its sizes. */
interface Published {
  /** As `-m` takes it. */
  readonly name: string;
  readonly licence: string;
  readonly config: JsonObject;
  /** The quantisation of a GGUF file. Default: safetensors in bf16. */
  readonly quantisation?: keyof typeof QUANTISATIONS;
  /** What ran here, beyond the tests of its family on small random checkpoints. */
  readonly wasRun?: string;
}

const qwen3 = (
  layers: number,
  hidden: number,
  heads: number,
  intermediate: number,
  isTied: boolean,
): JsonObject => ({
  model_type: "qwen3",
  num_hidden_layers: layers,
  hidden_size: hidden,
  num_attention_heads: heads,
  num_key_value_heads: 8,
  head_dim: 128,
  intermediate_size: intermediate,
  vocab_size: 151_936,
  max_position_embeddings: 40_960,
  rope_theta: 1_000_000,
  tie_word_embeddings: isTied,
});

const distilledQwen = (
  layers: number,
  hidden: number,
  heads: number,
  kvHeads: number,
  sizes: { readonly intermediate: number; readonly vocab: number },
): JsonObject => ({
  model_type: "qwen2",
  num_hidden_layers: layers,
  hidden_size: hidden,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  intermediate_size: sizes.intermediate,
  vocab_size: sizes.vocab,
  max_position_embeddings: 131_072,
  rope_theta: 10_000,
  tie_word_embeddings: false,
});

const smol = (
  layers: number,
  hidden: number,
  heads: number,
  kvHeads: number,
  intermediate: number,
): JsonObject => ({
  model_type: "llama",
  num_hidden_layers: layers,
  hidden_size: hidden,
  num_attention_heads: heads,
  num_key_value_heads: kvHeads,
  intermediate_size: intermediate,
  vocab_size: 49_152,
  max_position_embeddings: 8192,
  rope_theta: 100_000,
  tie_word_embeddings: true,
});

const SMOLLM3: JsonObject = {
  model_type: "smollm3",
  num_hidden_layers: 36,
  hidden_size: 2048,
  num_attention_heads: 16,
  num_key_value_heads: 4,
  intermediate_size: 11_008,
  vocab_size: 128_256,
  max_position_embeddings: 65_536,
  rope_theta: 5_000_000,
  no_rope_layer_interval: 4,
  tie_word_embeddings: true,
};

const PUBLISHED: readonly Published[] = [
  {
    name: "HuggingFaceTB/SmolLM2-135M-Instruct",
    licence: "Apache-2.0",
    config: smol(30, 576, 9, 3, 1536),
    wasRun: "yes",
  },
  { name: "HuggingFaceTB/SmolLM2-360M-Instruct", licence: "Apache-2.0", config: smol(32, 960, 15, 5, 2560) },
  { name: "Qwen/Qwen3-0.6B", licence: "Apache-2.0", config: qwen3(28, 1024, 16, 3072, true) },
  {
    name: "HuggingFaceTB/SmolLM2-1.7B-Instruct",
    licence: "Apache-2.0",
    config: { ...smol(24, 2048, 32, 32, 8192), rope_theta: 130_000 },
  },
  { name: "Qwen/Qwen3-1.7B", licence: "Apache-2.0", config: qwen3(28, 2048, 16, 6144, true) },
  {
    name: "deepseek-ai/DeepSeek-R1-Distill-Qwen-1.5B",
    licence: "MIT",
    config: distilledQwen(28, 1536, 12, 2, { intermediate: 8960, vocab: 151_936 }),
  },
  { name: "HuggingFaceTB/SmolLM3-3B", licence: "Apache-2.0", config: SMOLLM3 },
  { name: "Qwen/Qwen3-4B", licence: "Apache-2.0", config: qwen3(36, 2560, 32, 9728, true) },
  {
    name: "deepseek-ai/DeepSeek-R1-Distill-Qwen-7B",
    licence: "MIT",
    config: distilledQwen(28, 3584, 28, 4, { intermediate: 18_944, vocab: 152_064 }),
  },
  { name: "Qwen/Qwen3-8B", licence: "Apache-2.0", config: qwen3(36, 4096, 32, 12_288, false) },
  { name: "Qwen/Qwen3-14B", licence: "Apache-2.0", config: qwen3(40, 5120, 40, 17_408, false) },
  ggufOf("Qwen/Qwen3-0.6B-GGUF", "Q8_0", qwen3(28, 1024, 16, 3072, true)),
  ggufOf("Qwen/Qwen3-1.7B-GGUF", "Q8_0", qwen3(28, 2048, 16, 6144, true)),
  ggufOf("ggml-org/SmolLM3-3B-GGUF", "Q4_K_M", SMOLLM3),
  ggufOf("Qwen/Qwen3-4B-GGUF", "Q4_K_M", qwen3(36, 2560, 32, 9728, true)),
  ggufOf("Qwen/Qwen3-8B-GGUF", "Q4_K_M", qwen3(36, 4096, 32, 12_288, false)),
];

/** A GGUF file in its makers' own repository, or llama.cpp's. */
function ggufOf(repo: string, quantisation: keyof typeof QUANTISATIONS, config: JsonObject): Published {
  return { name: `hf:${repo}:${quantisation}`, licence: "Apache-2.0", config, quantisation };
}

/** A matrix of a decoder: all but these are "other". The output matrix of a tied model is its embedding. */
type MatrixRole = "embedding" | "output" | "value" | "down" | "other";

/** The format of a matrix, by its role and its layer. */
type Mixture = (role: MatrixRole, layer: number, numLayers: number) => WeightFormat;

/** What llama.cpp's names of quantisations make of a model. */
const QUANTISATIONS = { Q8_0: () => "q8_0", Q4_K_M: q4KM } as const satisfies Readonly<
  Record<string, Mixture>
>;

/** Q4_K, but Q6_K for the output, and for v and down of the first and last eighth of the layers and each third one between. */
function q4KM(role: MatrixRole, layer: number, numLayers: number): WeightFormat {
  if (role === "output") return "q6_k";
  if (role !== "value" && role !== "down") return "q4_k";
  const eighth = Math.floor(numLayers / 8);
  const isWide = layer < eighth || layer >= Math.floor((7 * numLayers) / 8) || (layer - eighth) % 3 === 2;
  return isWide ? "q6_k" : "q4_k";
}

/** Contexts for which the table has the memory. */
export const STARTER_CONTEXTS = [4096, 32_768] as const;

/** A published model, and what it takes. */
export interface StarterModel {
  readonly name: string;
  readonly licence: string;
  /** The hub's format: what is fetched. */
  readonly format: string;
  readonly parameters: number;
  /** Weights in the checkpoint's precision; a repository that stores a tied matrix twice is larger. */
  readonly weightBytes: number;
  /** Weights whose matrices are quantised to 8 bits on load; undefined for a file that is quantised already. */
  readonly q8WeightBytes: number | undefined;
  /** Weights and the keys and values of one request, by context; undefined for a context that the model was not made for. */
  readonly memory: readonly {
    readonly context: number;
    readonly bytes: number | undefined;
    readonly q8Bytes: number | undefined;
  }[];
  readonly selectionLayers: readonly number[];
  readonly selectionLayersFrom: SelectionLayersSource;
  readonly wasRun: string | undefined;
}

/** Published models to begin with, small ones first. */
export function suggestModels(): readonly StarterModel[] {
  return PUBLISHED.map(({ name, licence, config: json, quantisation, wasRun }) => {
    const config = parseModelConfig(json, name);
    const ownBytes = decoderBytes(config, () => "bf16", "bf16");
    const weightBytes = quantisation ? decoderBytes(config, QUANTISATIONS[quantisation], "f32") : ownBytes;
    const q8WeightBytes = quantisation ? undefined : decoderBytes(config, () => "q8_0", "bf16");
    const tokenBytes = kvBytesPerToken(config, "f16");
    const memory = STARTER_CONTEXTS.map((context) => {
      const isPossible = context <= config.contextLength;
      const withCache = (bytes: number | undefined) =>
        isPossible && bytes !== undefined ? bytes + context * tokenBytes : undefined;
      return { context, bytes: withCache(weightBytes), q8Bytes: withCache(q8WeightBytes) };
    });
    const { layers, from } = defaultSelectionLayers(config);
    return {
      ...{ name, licence, weightBytes, q8WeightBytes, memory, wasRun },
      format: quantisation ? `GGUF, ${quantisation}` : "safetensors, bf16",
      parameters: ownBytes / 2,
      selectionLayers: layers,
      selectionLayersFrom: from,
    };
  });
}

/**
 * Bytes of a dense decoder's weights; a tied matrix counts once, as the output.
 * vector: the format of norms and biases
 */
export function decoderBytes(config: ModelConfig, formatOf: Mixture, vector: WeightFormat): number {
  const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize, numLayers } = config;
  const [queries, keys] = [numQueryHeads * headDim, numKvHeads * headDim];
  const shapes: readonly (readonly [role: MatrixRole, rows: number, cols: number])[] = [
    ["other", queries + keys, hiddenSize],
    ["value", keys, hiddenSize],
    ["other", hiddenSize, queries],
    ["other", 2 * intermediateSize, hiddenSize],
    ["down", hiddenSize, intermediateSize],
  ];
  const vectors =
    2 * hiddenSize +
    (config.hasQkvBias ? queries + 2 * keys : 0) +
    (config.hasOutputBias ? hiddenSize : 0) +
    (config.family.hasQkNorm ? 2 * headDim : 0);
  let bytes = rowBytes(vector, hiddenSize) + numLayers * rowBytes(vector, vectors);
  for (const role of config.tieWordEmbeddings ? (["output"] as const) : (["embedding", "output"] as const))
    bytes += vocabSize * rowBytes(formatOf(role, 0, numLayers), hiddenSize);
  for (let layer = 0; layer < numLayers; layer++)
    for (const [role, rows, cols] of shapes) bytes += rows * rowBytes(formatOf(role, layer, numLayers), cols);
  return bytes;
}
