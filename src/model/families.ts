/** What a model family adds to the common decoder. A new family of the same shape is one more row. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  /** Biases on the q, k and v projections, always (Qwen2) or as `attention_bias` says. */
  readonly qkvBias: "always" | "attention_bias";
  /** A bias on the output projection where `attention_bias` is set. */
  readonly hasOutputBias: boolean;
  /** RMS norm of every q and k head before RoPE. */
  readonly hasQkNorm: boolean;
  /** Values that `transformers` takes where config.json leaves them out. */
  readonly defaults: {
    readonly rmsNormEps: number;
    readonly headDim: number | undefined;
    readonly maxPositionEmbeddings: number;
  };
}

export const FAMILIES: readonly Family[] = [
  {
    modelType: "llama",
    architecture: "LlamaForCausalLM",
    qkvBias: "attention_bias",
    hasOutputBias: true,
    hasQkNorm: false,
    defaults: { rmsNormEps: 1e-6, headDim: undefined, maxPositionEmbeddings: 2048 },
  },
  {
    modelType: "qwen2",
    architecture: "Qwen2ForCausalLM",
    qkvBias: "always",
    hasOutputBias: false,
    hasQkNorm: false,
    defaults: { rmsNormEps: 1e-6, headDim: undefined, maxPositionEmbeddings: 32768 },
  },
  {
    modelType: "qwen3",
    architecture: "Qwen3ForCausalLM",
    qkvBias: "attention_bias",
    hasOutputBias: true,
    hasQkNorm: true,
    defaults: { rmsNormEps: 1e-6, headDim: 128, maxPositionEmbeddings: 32768 },
  },
];
