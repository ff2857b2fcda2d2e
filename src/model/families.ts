/** What a model family adds to the common decoder. A new family of the same shape is one more row. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  /** Biases on the q, k and v projections: always (Qwen2), or where `attention_bias` is set. */
  readonly qkvBias: "always" | "attention_bias";
  /** A bias on the output projection where `attention_bias` is set. */
  readonly hasOutputBias: boolean;
  /** Whether `mlp_bias` means anything. */
  readonly hasMlpBiasKey: boolean;
  /** Whether `use_sliding_window` and the keys beside it mean anything. */
  readonly hasSlidingWindow: boolean;
  /** RMS norm of every q and k head before RoPE. */
  readonly hasQkNorm: boolean;
  /** Values that `transformers` 5.24 takes where config.json leaves the key out. */
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

/** Of all three families. */
export const DEFAULT_RMS_NORM_EPS = 1e-6;
