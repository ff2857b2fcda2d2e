import { expect, test } from "vitest";
import { architectureOf, configOf } from "./architectures.ts";
import type { GgufMetadata, GgufValue } from "./metadata.ts";
import { MetadataKeys } from "./metadata-keys.ts";

/** The config of an architecture with some metadata. Keys are those after its name. */
function configFrom(architecture: string, metadata: Readonly<Record<string, GgufValue>>) {
  const sizes: Readonly<Record<string, GgufValue>> = {
    block_count: 6,
    context_length: 128,
    embedding_length: 48,
    feed_forward_length: 96,
    vocab_size: 10,
    "attention.head_count": 4,
    "attention.head_count_kv": 2,
    "attention.layer_norm_rms_epsilon": Math.fround(1e-6),
  };
  const named = Object.entries({ ...sizes, ...metadata }).map(
    ([key, value]) => [`${architecture}.${key}`, value] as const,
  );
  const all: GgufMetadata = new Map<string, GgufValue>([["general.architecture", architecture], ...named]);
  const keys = new MetadataKeys(all, "m.gguf");
  return configOf(architectureOf(keys), keys, new Map(), {});
}

const FULL = "full_attention";
const LOCAL = "sliding_attention";

test("Gemma 3 has llama.cpp's windows and RoPE where the file says nothing of them", () => {
  const metadata = {
    "attention.sliding_window": 512,
    "attention.key_length": 16,
    "attention.value_length": 16,
  };
  expect(
    configFrom("gemma3", { ...metadata, "rope.freq_base": 1e6, "rope.scaling.factor": 8 }),
  ).toMatchObject({
    model_type: "gemma3_text",
    head_dim: 16,
    hidden_activation: "gelu_pytorch_tanh",
    query_pre_attn_scalar: 16,
    sliding_window: 512,
    layer_types: [LOCAL, LOCAL, LOCAL, LOCAL, LOCAL, FULL],
    rope_parameters: {
      full_attention: { rope_type: "linear", rope_theta: 1e6, factor: 8 },
      sliding_attention: { rope_type: "default", rope_theta: 10_000 },
    },
  });
});

test.each<[string, GgufValue, readonly string[]]>([
  ["a number", 3, [LOCAL, LOCAL, FULL, LOCAL, LOCAL, FULL]],
  ["one of 1", 1, [FULL, FULL, FULL, FULL, FULL, FULL]],
  ["truths", [true, false, true, false, true, false], [LOCAL, FULL, LOCAL, FULL, LOCAL, FULL]],
  ["numbers", Int32Array.of(0, 1, 0, 1, 0, 1), [FULL, LOCAL, FULL, LOCAL, FULL, LOCAL]],
])("the pattern of windows may be %s", (_, pattern, layers) => {
  const metadata = { "attention.sliding_window": 512, "attention.sliding_window_pattern": pattern };
  expect(configFrom("gemma3", metadata).layer_types).toEqual(layers);
});

test("a pattern of another length is refused, and so is a text", () => {
  for (const pattern of [[true], "all"])
    expect(() =>
      configFrom("gemma3", { "attention.sliding_window": 5, "attention.sliding_window_pattern": pattern }),
    ).toThrow("expected a number, or 6 values, one a layer");
});

test("Gemma 3 without a window has none, and its largest model its own scale", () => {
  const config = configFrom("gemma3", { block_count: 62, final_logit_softcapping: 30 });
  expect(config).toMatchObject({
    sliding_window: null,
    query_pre_attn_scalar: 12,
    final_logit_softcapping: 30,
  });
  expect(new Set(config.layer_types as readonly string[])).toEqual(new Set([FULL]));
  const wide = { block_count: 62, "attention.key_length": 32, "attention.value_length": 32 };
  expect(configFrom("gemma3", wide)).toMatchObject({ head_dim: 32, query_pre_attn_scalar: 12 });
});

test("mistral3 is Mistral, or Ministral 3 if it scales queries", () => {
  expect(configFrom("mistral3", {})).toMatchObject({ model_type: "mistral", sliding_window: null });
  const yarn = {
    "rope.scaling.type": "yarn",
    "rope.scaling.factor": 16,
    "rope.scaling.original_context_length": 8,
    "rope.scaling.yarn_log_multiplier": 1,
  };
  expect(configFrom("mistral3", { ...yarn, "attention.temperature_scale": Math.fround(0.1) })).toMatchObject({
    model_type: "ministral3",
    rope_parameters: { rope_type: "yarn", llama_4_scaling_beta: 0.1, mscale: 1, mscale_all_dim: 1 },
  });
});

test("experts have a width of their own, or a share of the dense one", () => {
  const experts = { expert_count: 8, expert_used_count: 2 };
  expect(configFrom("qwen3moe", experts)).toMatchObject({ moe_intermediate_size: 48, norm_topk_prob: true });
  expect(configFrom("qwen3moe", { ...experts, expert_feed_forward_length: 20 })).toMatchObject({
    num_experts: 8,
    num_experts_per_tok: 2,
    moe_intermediate_size: 20,
  });
  expect(() => configFrom("qwen3moe", { expert_count: 8 })).toThrow("qwen3moe.expert_used_count is missing");
});

test("Phi-3 turns a part of each head and follows its window; 0 is none", () => {
  const turned = { "rope.dimension_count": 9, "attention.sliding_window": 2047 };
  expect(configFrom("phi3", turned)).toMatchObject({
    rope_parameters: { rope_type: "default", partial_rotary_factor: 0.75 },
    sliding_window: 2047,
  });
  expect(configFrom("phi3", { "attention.sliding_window": 0 })).toMatchObject({ sliding_window: null });
});

test("a limit on layers comes before the lists of them", () => {
  expect(() => configFrom("smollm3", { block_count: 2 ** 31 })).toThrow(
    "smollm3.block_count is 2147483648; expected at most 4096",
  );
  expect(configFrom("smollm3", {}).no_rope_layers).toEqual([1, 1, 1, 0, 1, 1]);
});
