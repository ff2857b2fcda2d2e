/** Differences of a model family from the common decoder. A new family without others is one more row. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  /** Condition for biases of the q, k and v projections: always (Qwen2), or `attention_bias`. */
  readonly qkvBias: "always" | "attention_bias";
  /** True if `attention_bias` gives the output projection a bias. */
  readonly hasOutputBias: boolean;
  /** True if the family reads `mlp_bias`. */
  readonly hasMlpBiasKey: boolean;
  /** True if the family reads `use_sliding_window` and its companions. */
  readonly hasSlidingWindow: boolean;
  /** True if each q and k head has an RMS norm before RoPE. */
  readonly hasQkNorm: boolean;
  /** Values of `transformers` 5.24 for keys absent from config.json. */
  readonly defaults: {
    /** undefined: hiddenSize / numQueryHeads. */
    readonly headDim: number | undefined;
    readonly maxPositionEmbeddings: number;
    readonly eosTokenIds: readonly number[];
  };
}

export const FAMILIES: readonly Family[] = [
  {
    modelType: "llama",
    architecture: "LlamaForCausalLM",
    qkvBias: "attention_bias",
    hasOutputBias: true,
    hasMlpBiasKey: true,
    hasSlidingWindow: false,
    hasQkNorm: false,
    defaults: {
      headDim: undefined,
      maxPositionEmbeddings: 2048,
      eosTokenIds: [2],
    },
  },
  {
    modelType: "qwen2",
    architecture: "Qwen2ForCausalLM",
    qkvBias: "always",
    hasOutputBias: false,
    hasMlpBiasKey: false,
    hasSlidingWindow: true,
    hasQkNorm: false,
    defaults: {
      headDim: undefined,
      maxPositionEmbeddings: 32768,
      eosTokenIds: [],
    },
  },
  {
    modelType: "qwen3",
    architecture: "Qwen3ForCausalLM",
    qkvBias: "attention_bias",
    hasOutputBias: true,
    hasMlpBiasKey: false,
    hasSlidingWindow: true,
    hasQkNorm: true,
    defaults: {
      headDim: 128,
      maxPositionEmbeddings: 32768,
      eosTokenIds: [],
    },
  },
];

/** Common to all families. */
export const DEFAULT_RMS_NORM_EPS = 1e-6;
