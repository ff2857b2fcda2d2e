/** Facts of published models, from the values of their config.json that inference reads. */
import { expect, test } from "vitest";
import {
  GEMMA_1B,
  GEMMA_4B,
  LLAMA_8B,
  llama3,
  MINISTRAL3_8B,
  MISTRAL_7B,
  PHI_4_MINI,
  QWEN3_30B,
  qwen,
  SMOLLM3,
} from "../../test/published-configs.ts";
import { ConfigError } from "../base/errors.ts";
import { type ModelConfig, parseModelConfig } from "./config.ts";

const parse = (json: object) => parseModelConfig(json, "config.json");

/** Layers with a window, by its length. */
function windows({ layers }: ModelConfig): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const { window = "none" } of layers) counts[window] = (counts[window] ?? 0) + 1;
  return counts;
}

test.each<[string, object, object, Record<string, number>]>([
  [
    "Qwen2.5-1.5B",
    {
      ...{
        architectures: ["Qwen2ForCausalLM"],
        model_type: "qwen2",
        ...qwen,
        hidden_size: 1536,
        vocab_size: 151936,
      },
      ...{ intermediate_size: 8960, num_hidden_layers: 28, num_attention_heads: 12, num_key_value_heads: 2 },
      ...{
        max_position_embeddings: 32768,
        max_window_layers: 21,
        sliding_window: 32768,
        tie_word_embeddings: true,
      },
    },
    {
      headDim: 128,
      hasQkvBias: true,
      contextLength: 32768,
      numRopes: 1,
      activation: "silu",
      embeddingScale: 1,
    },
    { none: 28 },
  ],
  [
    "DeepSeek-R1-Distill-Qwen-7B",
    {
      ...{
        architectures: ["Qwen2ForCausalLM"],
        model_type: "qwen2",
        ...qwen,
        hidden_size: 3584,
        vocab_size: 152064,
      },
      ...{ intermediate_size: 18944, num_hidden_layers: 28, num_attention_heads: 28, num_key_value_heads: 4 },
      ...{ max_position_embeddings: 131072, max_window_layers: 28, sliding_window: 4096, rope_theta: 1e4 },
    },
    {
      headDim: 128,
      hasQkvBias: true,
      contextLength: 131072,
      ropes: [{ type: "default", theta: 1e4, headDim: 128 }],
    },
    { none: 28 },
  ],
  [
    "DeepSeek-R1-Distill-Llama-8B",
    LLAMA_8B,
    { headDim: 128, contextLength: 131072, ropes: [{ type: "llama3" }] },
    { none: 32 },
  ],
  [
    "Llama-3.2-1B",
    {
      ...{ ...LLAMA_8B, hidden_size: 2048, intermediate_size: 8192, num_hidden_layers: 16, head_dim: 64 },
      ...{ rope_scaling: { ...llama3, factor: 32 }, tie_word_embeddings: true },
    },
    { headDim: 64, contextLength: 131072, attentionScale: 0.125 },
    { none: 16 },
  ],
  ["Mistral-7B-v0.1", MISTRAL_7B, { contextLength: 32768, hasQkvBias: false }, { 4096: 32 }],
  [
    "Mistral-7B-Instruct-v0.3",
    { ...MISTRAL_7B, sliding_window: null, rope_theta: 1e6, vocab_size: 32768 },
    { contextLength: 32768 },
    { none: 32 },
  ],
  [
    "Ministral-8B-Instruct-2410",
    {
      ...{ ...MISTRAL_7B, head_dim: 128, intermediate_size: 12288, num_hidden_layers: 36, rope_theta: 1e8 },
      ...{ sliding_window: 32768, vocab_size: 131072 },
    },
    { headDim: 128, contextLength: 32768 },
    { none: 36 },
  ],
  [
    "Ministral-3-8B-Reasoning-2512",
    MINISTRAL3_8B,
    {
      family: { modelType: "ministral3" },
      ...{ headDim: 128, contextLength: 262144, numRopes: 2, tieWordEmbeddings: false },
      ropes: [
        { type: "yarn", attentionFactor: 1 },
        { type: "yarn", queryScale: { beta: 0.1, originalMaxPositions: 16384 } },
      ],
    },
    { none: 34 },
  ],
  [
    "SmolLM2-135M",
    {
      ...{
        ...LLAMA_8B,
        hidden_size: 576,
        intermediate_size: 1536,
        num_hidden_layers: 30,
        num_attention_heads: 9,
      },
      ...{ num_key_value_heads: 3, max_position_embeddings: 8192, rope_theta: 1e5, rope_scaling: null },
      ...{ vocab_size: 49152, tie_word_embeddings: true, rope_interleaved: false, is_llama_config: true },
    },
    { headDim: 64, contextLength: 8192, tieWordEmbeddings: true },
    { none: 30 },
  ],
  [
    "SmolLM3-3B",
    SMOLLM3,
    { numRopes: 2, ropes: [{ type: "default", theta: 5e6 }, { type: "none" }], tieWordEmbeddings: true },
    { none: 36 },
  ],
  [
    "Phi-4-mini",
    PHI_4_MINI,
    {
      ...{ headDim: 128, contextLength: 131072, hasQkvBias: false },
      ropes: [
        {
          type: "longrope",
          rotaryDim: 96,
          originalMaxPositions: 4096,
          attentionFactor: Math.sqrt(1 + Math.log(32) / Math.log(4096)),
        },
      ],
    },
    { none: 32 },
  ],
  [
    "Phi-3-mini-4k",
    {
      ...{ ...PHI_4_MINI, num_attention_heads: 32, num_key_value_heads: 32, max_position_embeddings: 4096 },
      ...{
        rope_scaling: null,
        sliding_window: 2047,
        vocab_size: 32064,
        tie_word_embeddings: false,
        partial_rotary_factor: undefined,
      },
    },
    { headDim: 96, contextLength: 4096, ropes: [{ type: "default", headDim: 96 }] },
    { 2047: 32 },
  ],
  [
    "Gemma 3 1B",
    GEMMA_1B,
    {
      ...{ activation: "gelu_tanh", attentionScale: 1 / 16, contextLength: 32768, tieWordEmbeddings: true },
      embeddingScale: 34, // √1152 = 33.94, in bf16
      ropes: [
        { type: "default", theta: 1e6 },
        { type: "default", theta: 1e4 },
      ],
    },
    { 512: 22, none: 4 },
  ],
  [
    "Gemma 3 4B, whose config leaves out what is usual",
    GEMMA_4B,
    {
      family: { modelType: "gemma3_text" },
      ...{ vocabSize: 262208, numQueryHeads: 8, numKvHeads: 4, headDim: 256, contextLength: 131072 },
      embeddingScale: 50.5, // √2560 = 50.60, in bf16
      ropes: [
        { type: "linear", factor: 8, theta: 1e6 },
        { type: "default", theta: 1e4 },
      ],
      eosTokenIds: [1, 106],
    },
    { 1024: 29, none: 5 },
  ],
  [
    "Qwen3-30B-A3B",
    QWEN3_30B,
    {
      headDim: 128,
      experts: { numExperts: 128, topExperts: 8, intermediateSize: 768, isNormalised: true },
      layers: Array(48).fill({ rope: 0, feedForward: "experts" }),
    },
    { none: 48 },
  ],
])("%s", (_, json, facts, layers) => {
  const config = parse(json);
  expect(config).toMatchObject(facts);
  expect(config.layers.length).toBe(config.numLayers);
  expect(config.numRopes).toBe(config.ropes.length);
  expect(windows(config)).toEqual(layers);
});

test("layers take the RoPE of their kind", () => {
  const ropes = (json: object) => parse(json).layers.map(({ rope }) => rope);
  expect(ropes(SMOLLM3).slice(0, 5)).toEqual([0, 0, 0, 1, 0]);
  expect(ropes(GEMMA_1B).slice(0, 7)).toEqual([1, 1, 1, 1, 1, 0, 1]);
  expect(parse(MINISTRAL3_8B).layers[33]).toEqual({ rope: 0, queryRope: 1, feedForward: "dense" });
});

test("decoder_sparse_step and mlp_only_layers leave layers without experts", () => {
  const kinds = (change: object) =>
    parse({ ...QWEN3_30B, num_hidden_layers: 4, ...change }).layers.map(({ feedForward }) => feedForward);
  expect(kinds({ mlp_only_layers: [0] })).toEqual(["dense", "experts", "experts", "experts"]);
  expect(kinds({ decoder_sparse_step: 2 })).toEqual(["dense", "experts", "dense", "experts"]);
  const dense = parse({ ...QWEN3_30B, num_hidden_layers: 2, mlp_only_layers: [0, 1], num_experts: "x" });
  expect(dense.experts).toBeUndefined();
});

test("the embedding scale rounds to the checkpoint's dtype", () => {
  const scale = (change: object) => parse({ ...GEMMA_1B, ...change }).embeddingScale;
  expect(scale({ torch_dtype: "float16" })).toBe(33.9375);
  expect(scale({ torch_dtype: "float32" })).toBe(Math.fround(Math.sqrt(1152)));
  expect(scale({ torch_dtype: undefined })).toBe(Math.fround(Math.sqrt(1152)));
  expect(scale({ torch_dtype: undefined, dtype: "bfloat16", hidden_size: 640 })).toBe(25.25);
});

test.each<[string, object, object, string]>([
  ["soft-capped logits", GEMMA_1B, { final_logit_softcapping: 30 }, "final_logit_softcapping is 30"],
  ["soft-capped attention", GEMMA_1B, { attn_logit_softcapping: 50 }, "attn_logit_softcapping is 50"],
  [
    "attention to later tokens",
    GEMMA_1B,
    { use_bidirectional_attention: true },
    "use_bidirectional_attention is true",
  ],
  ["local layers without a window", GEMMA_1B, { sliding_window: null }, "sliding_window is null"],
  [
    "another GELU",
    GEMMA_1B,
    { hidden_activation: "gelu" },
    'hidden_activation is "gelu"; expected "silu" or "gelu_pytorch_tanh"',
  ],
  ["layer types of a wrong number", GEMMA_1B, { layer_types: ["full_attention"] }, "a list of 26 layers"],
  ["another kind of layer", GEMMA_1B, { layer_types: Array(26).fill("chunked_attention") }, "layer_types"],
  [
    "more top experts than experts",
    QWEN3_30B,
    { num_experts_per_tok: 129 },
    "num_experts_per_tok is 129; expected a whole number of experts, at most the 128",
  ],
  ["no experts", QWEN3_30B, { num_experts: 0 }, "num_experts is 0"],
  ["a layer without experts that is no number", QWEN3_30B, { mlp_only_layers: ["1"] }, "mlp_only_layers"],
  ["factors of a wrong number", PHI_4_MINI, { partial_rotary_factor: 0.5 }, "short_factor"],
  [
    "a factor of 0",
    PHI_4_MINI,
    { rope_scaling: { ...PHI_4_MINI.rope_scaling, long_factor: Array(48).fill(0) } },
    "rope_scaling.long_factor",
  ],
  ["an odd part of a head", PHI_4_MINI, { partial_rotary_factor: 0.7 }, "partial_rotary_factor is 0.7"],
  ["more than a head", PHI_4_MINI, { partial_rotary_factor: 1.5 }, "partial_rotary_factor is 1.5"],
  [
    "another RoPE than Phi-3's",
    PHI_4_MINI,
    { rope_scaling: { type: "linear", factor: 2 } },
    'rope_scaling.type is "linear"; expected default or longrope',
  ],
  ["flags that are no flags", SMOLLM3, { no_rope_layers: Array(36).fill(2) }, "no_rope_layers"],
  [
    "a window that nothing switches on",
    SMOLLM3,
    { layer_types: Array(36).fill("sliding_attention") },
    "since no sliding window is set",
  ],
  ["a window of 0", MISTRAL_7B, { sliding_window: 0 }, "sliding_window is 0"],
])("%s is a ConfigError that names the value", (_, json, change, message) => {
  expect(() => parse({ ...json, ...change })).toThrow(ConfigError);
  expect(() => parse({ ...json, ...change })).toThrow(message);
});

test("a wrapper of an unknown text model is refused", () => {
  const text = { ...GEMMA_4B.text_config, model_type: "gemma4_text" };
  expect(() => parse({ ...GEMMA_4B, text_config: text })).toThrow("is not supported");
});
