import {
  gemmaLayers,
  ministralLayers,
  oneWindow,
  type PlanLayers,
  plainLayers,
  qwenLayers,
  qwenMoeLayers,
  smolLayers,
} from "./layer-plans.ts";

/** Differences of a model family from the common decoder. A new family without others is one more row. */
export interface Family {
  /** `model_type` in config.json. */
  readonly modelType: string;
  readonly architecture: string;
  /** Names of a config that holds this family's text model under `text_config`, beside a vision tower that is not run. */
  readonly wrapper?: { readonly modelType: string; readonly architecture: string };
  /** Windows, RoPE and feed-forward of each layer. */
  readonly layers: PlanLayers;
  /** Condition for biases of the q, k and v projections: always (Qwen2), or `attention_bias`. */
  readonly qkvBias: "always" | "attention_bias" | "never";
  /** True if `attention_bias` gives the output projection a bias. */
  readonly hasOutputBias: boolean;
  /** True if the family reads `mlp_bias`. */
  readonly hasMlpBiasKey: boolean;
  /** True if each q and k head has an RMS norm before RoPE. */
  readonly hasQkNorm: boolean;
  /** True if layers may have experts: `num_experts` and its companions. */
  readonly hasExperts: boolean;
  /** True if the checkpoint stores q, k and v as one matrix, and gate and up as one (Phi-3). */
  readonly isFused: boolean;
  /** True if RoPE turns the first `partial_rotary_factor` of each head (Phi-3). */
  readonly isPartlyRotary: boolean;
  /** Gemma: RMS norms store w - 1, results of attention and feed-forward have norms of their own, embeddings are scaled. */
  readonly isGemma: boolean;
  /** Key of the activation: silu or gelu_pytorch_tanh. */
  readonly activationKey: "hidden_act" | "hidden_activation";
  /** Keys whose value must be null or false: what they switch on is not supported. */
  readonly refusedKeys: readonly string[];
  /** Values of `transformers` 5.24 for keys absent from config.json. */
  readonly defaults: {
    /** undefined: hiddenSize / numQueryHeads. */
    readonly headDim: number | undefined;
    readonly maxPositionEmbeddings: number;
    readonly eosTokenIds: readonly number[];
    readonly activation: "silu" | "gelu_pytorch_tanh";
    readonly rmsNormEps: number;
    readonly tiesEmbeddings: boolean;
    readonly ropeTheta: number;
    /** Sizes that published configs leave out. */
    readonly sizes?: Readonly<Record<string, number>>;
    /** RoPE if the config has none. */
    readonly rope?: Readonly<Record<string, number | string>>;
  };
}

const LLAMA: Family = {
  modelType: "llama",
  architecture: "LlamaForCausalLM",
  layers: plainLayers,
  qkvBias: "attention_bias",
  hasOutputBias: true,
  hasMlpBiasKey: true,
  hasQkNorm: false,
  hasExperts: false,
  isFused: false,
  isPartlyRotary: false,
  isGemma: false,
  activationKey: "hidden_act",
  refusedKeys: [],
  defaults: {
    headDim: undefined,
    maxPositionEmbeddings: 2048,
    eosTokenIds: [2],
    activation: "silu",
    rmsNormEps: 1e-6,
    tiesEmbeddings: false,
    ropeTheta: 10_000,
  },
};

const QWEN2: Family = {
  ...LLAMA,
  modelType: "qwen2",
  architecture: "Qwen2ForCausalLM",
  layers: qwenLayers,
  qkvBias: "always",
  hasOutputBias: false,
  hasMlpBiasKey: false,
  defaults: { ...LLAMA.defaults, maxPositionEmbeddings: 32768, eosTokenIds: [] },
};

const QWEN3: Family = {
  ...QWEN2,
  modelType: "qwen3",
  architecture: "Qwen3ForCausalLM",
  qkvBias: "attention_bias",
  hasOutputBias: true,
  hasQkNorm: true,
  defaults: { ...QWEN2.defaults, headDim: 128 },
};

const MISTRAL: Family = {
  ...LLAMA,
  modelType: "mistral",
  architecture: "MistralForCausalLM",
  layers: oneWindow(4096),
  qkvBias: "never",
  hasOutputBias: false,
  hasMlpBiasKey: false,
  defaults: { ...LLAMA.defaults, maxPositionEmbeddings: 131_072 },
};

const MISTRAL3 = { modelType: "mistral3", architecture: "Mistral3ForConditionalGeneration" };

export const FAMILIES: readonly Family[] = [
  LLAMA,
  QWEN2,
  QWEN3,
  {
    ...QWEN3,
    modelType: "qwen3_moe",
    architecture: "Qwen3MoeForCausalLM",
    layers: qwenMoeLayers,
    hasExperts: true,
    defaults: { ...QWEN3.defaults, headDim: undefined },
  },
  { ...MISTRAL, wrapper: MISTRAL3 },
  { ...MISTRAL, modelType: "ministral", architecture: "MinistralForCausalLM", layers: ministralLayers },
  {
    ...MISTRAL,
    modelType: "ministral3",
    architecture: "Ministral3ForCausalLM",
    wrapper: MISTRAL3,
    layers: oneWindow(null),
    defaults: {
      ...MISTRAL.defaults,
      headDim: 128,
      maxPositionEmbeddings: 262_144,
      rmsNormEps: 1e-5,
      rope: {
        rope_type: "yarn",
        rope_theta: 1e6,
        factor: 16,
        original_max_position_embeddings: 16_384,
        beta_fast: 32,
        beta_slow: 1,
        mscale: 1,
        mscale_all_dim: 1,
        llama_4_scaling_beta: 0.1,
      },
    },
  },
  {
    ...LLAMA,
    modelType: "smollm3",
    architecture: "SmolLM3ForCausalLM",
    layers: smolLayers,
    defaults: {
      ...LLAMA.defaults,
      maxPositionEmbeddings: 32_768,
      eosTokenIds: [128_001],
      tiesEmbeddings: true,
      ropeTheta: 2_000_000,
    },
  },
  {
    ...MISTRAL,
    modelType: "phi3",
    architecture: "Phi3ForCausalLM",
    layers: oneWindow(null),
    isFused: true,
    isPartlyRotary: true,
    defaults: {
      ...LLAMA.defaults,
      maxPositionEmbeddings: 4096,
      eosTokenIds: [32_000],
      rmsNormEps: 1e-5,
    },
  },
  {
    ...LLAMA,
    modelType: "gemma3_text",
    architecture: "Gemma3ForCausalLM",
    wrapper: { modelType: "gemma3", architecture: "Gemma3ForConditionalGeneration" },
    layers: gemmaLayers,
    hasMlpBiasKey: false,
    hasQkNorm: true,
    isGemma: true,
    activationKey: "hidden_activation",
    refusedKeys: ["attn_logit_softcapping", "final_logit_softcapping", "use_bidirectional_attention"],
    defaults: {
      headDim: 256,
      maxPositionEmbeddings: 131_072,
      eosTokenIds: [1],
      activation: "gelu_pytorch_tanh",
      rmsNormEps: 1e-6,
      tiesEmbeddings: true,
      ropeTheta: 1_000_000,
      sizes: { vocab_size: 262_208, num_attention_heads: 8, num_key_value_heads: 4 },
    },
  },
];
