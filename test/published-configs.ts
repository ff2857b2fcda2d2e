/** Values of published config.json files that inference reads, and some that it does not. */

export const qwen = {
  hidden_act: "silu",
  rms_norm_eps: 1e-6,
  use_sliding_window: false,
  rope_theta: 1e6,
  rope_scaling: null,
};
export const llama3 = {
  factor: 8,
  high_freq_factor: 4,
  low_freq_factor: 1,
  original_max_position_embeddings: 8192,
  rope_type: "llama3",
};
export const LLAMA_8B = {
  ...{
    architectures: ["LlamaForCausalLM"],
    model_type: "llama",
    hidden_size: 4096,
    intermediate_size: 14336,
  },
  ...{
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 131072,
  },
  ...{
    rope_theta: 5e5,
    rope_scaling: llama3,
    vocab_size: 128256,
    tie_word_embeddings: false,
    mlp_bias: false,
  },
};
export const MISTRAL_7B = {
  ...{
    architectures: ["MistralForCausalLM"],
    model_type: "mistral",
    hidden_size: 4096,
    intermediate_size: 14336,
  },
  ...{
    num_hidden_layers: 32,
    num_attention_heads: 32,
    num_key_value_heads: 8,
    max_position_embeddings: 32768,
  },
  ...{ rope_theta: 1e4, sliding_window: 4096, vocab_size: 32000, tie_word_embeddings: false },
};
export const MINISTRAL3_8B = {
  architectures: ["Mistral3ForConditionalGeneration"],
  model_type: "mistral3",
  image_token_index: 10,
  text_config: {
    ...{
      model_type: "ministral3",
      hidden_size: 4096,
      intermediate_size: 14336,
      num_hidden_layers: 34,
      head_dim: 128,
    },
    ...{
      num_attention_heads: 32,
      num_key_value_heads: 8,
      max_position_embeddings: 262144,
      sliding_window: null,
    },
    ...{ rms_norm_eps: 1e-5, vocab_size: 131072, tie_word_embeddings: false },
    rope_parameters: {
      ...{ beta_fast: 32, beta_slow: 1, factor: 16, llama_4_scaling_beta: 0.1, mscale: 1, mscale_all_dim: 1 },
      ...{ original_max_position_embeddings: 16384, rope_theta: 1e6, rope_type: "yarn", type: "yarn" },
    },
  },
  vision_config: { model_type: "pixtral", hidden_size: 1024 },
};
export const PHI_4_MINI = {
  ...{ architectures: ["Phi3ForCausalLM"], model_type: "phi3", hidden_size: 3072, intermediate_size: 8192 },
  ...{
    num_hidden_layers: 32,
    num_attention_heads: 24,
    num_key_value_heads: 8,
    max_position_embeddings: 131072,
  },
  ...{
    original_max_position_embeddings: 4096,
    partial_rotary_factor: 0.75,
    rope_theta: 1e4,
    sliding_window: 262144,
  },
  ...{
    rms_norm_eps: 1e-5,
    vocab_size: 200064,
    tie_word_embeddings: true,
    mlp_bias: false,
    lm_head_bias: false,
  },
  rope_scaling: {
    type: "longrope",
    long_factor: Array.from({ length: 48 }, (_, i) => 1 + i),
    short_factor: Array(48).fill(1),
  },
};
export const GEMMA_1B = {
  ...{
    architectures: ["Gemma3ForCausalLM"],
    model_type: "gemma3_text",
    hidden_size: 1152,
    intermediate_size: 6912,
  },
  ...{
    num_hidden_layers: 26,
    num_attention_heads: 4,
    num_key_value_heads: 1,
    head_dim: 256,
    vocab_size: 262144,
  },
  ...{
    max_position_embeddings: 32768,
    query_pre_attn_scalar: 256,
    rope_local_base_freq: 10000,
    rope_theta: 1e6,
  },
  ...{ rope_scaling: null, sliding_window: 512, sliding_window_pattern: 6, torch_dtype: "bfloat16" },
  ...{ attn_logit_softcapping: null, final_logit_softcapping: null, hidden_activation: "gelu_pytorch_tanh" },
};
export const GEMMA_4B = {
  architectures: ["Gemma3ForConditionalGeneration"],
  ...{ model_type: "gemma3", eos_token_id: [1, 106], torch_dtype: "bfloat16" },
  text_config: {
    ...{ hidden_size: 2560, intermediate_size: 10240, model_type: "gemma3_text", num_hidden_layers: 34 },
    ...{ rope_scaling: { factor: 8, rope_type: "linear" }, sliding_window: 1024 },
  },
  vision_config: { hidden_size: 1152, model_type: "siglip_vision_model" },
};
export const SMOLLM3 = {
  ...{
    architectures: ["SmolLM3ForCausalLM"],
    model_type: "smollm3",
    hidden_size: 2048,
    intermediate_size: 11008,
  },
  ...{
    num_hidden_layers: 36,
    num_attention_heads: 16,
    num_key_value_heads: 4,
    max_position_embeddings: 65536,
  },
  ...{
    rope_theta: 5e6,
    rope_scaling: null,
    use_sliding_window: false,
    sliding_window: null,
    vocab_size: 128256,
  },
  ...{
    no_rope_layer_interval: 4,
    no_rope_layers: Array.from({ length: 36 }, (_, i) => Number((i + 1) % 4 !== 0)),
  },
  layer_types: Array(36).fill("full_attention"),
};
export const QWEN3_30B = {
  ...{
    architectures: ["Qwen3MoeForCausalLM"],
    model_type: "qwen3_moe",
    hidden_size: 2048,
    intermediate_size: 6144,
  },
  ...{ ...qwen, num_hidden_layers: 48, num_attention_heads: 32, num_key_value_heads: 4, head_dim: 128 },
  ...{ max_position_embeddings: 40960, max_window_layers: 48, sliding_window: null, vocab_size: 151936 },
  ...{ decoder_sparse_step: 1, mlp_only_layers: [], moe_intermediate_size: 768, norm_topk_prob: true },
  ...{ num_experts: 128, num_experts_per_tok: 8, tie_word_embeddings: false, eos_token_id: 151645 },
};
