import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { JsonObject } from "../json-file.ts";
import type { GgufTensor } from "./header.ts";
import type { MetadataKeys } from "./metadata-keys.ts";
import { type RopeFactors, ropeParameters } from "./rope-parameters.ts";

/** What config.json is made of. */
interface ConfigSource {
  readonly keys: MetadataKeys;
  readonly tensors: ReadonlyMap<string, GgufTensor>;
  readonly ropeFactors: RopeFactors;
  /** Keys that all architectures have. */
  readonly common: CommonConfig;
}

/** An architecture of llama.cpp, and how Hugging Face names it and its values. */
export interface Architecture {
  /** True if the rows of q and k are in the order of interleaved RoPE: (0, h/2, 1, h/2 + 1, …) of a head of h. */
  readonly interleavesQk: boolean;
  /** True if norms include the 1 that Hugging Face's checkpoints leave out. */
  readonly includesOne?: boolean;
  /** Names of tensors in a layer that differ from the common ones. */
  readonly names?: Readonly<Record<string, string>>;
  /** Keys of config.json besides the common ones. */
  config(source: ConfigSource): JsonObject;
}

interface CommonConfig {
  readonly vocab_size: number;
  readonly hidden_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads: number;
  readonly head_dim: number;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly tie_word_embeddings: boolean;
}

const named = (modelType: string, architecture: string): JsonObject => ({
  model_type: modelType,
  architectures: [architecture],
});

const GEMMA_NAMES = {
  ffn_norm: "pre_feedforward_layernorm",
  post_attention_norm: "post_attention_layernorm",
  post_ffw_norm: "post_feedforward_layernorm",
};

const PHI_NAMES = { attn_qkv: "self_attn.qkv_proj", ffn_up: "mlp.gate_up_proj" };

/** One row an architecture, as llama.cpp spells it. */
const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  llama: {
    interleavesQk: true,
    config: (source) => {
      if (source.keys.number("expert_count", 0) > 0)
        throw source.keys.refuse("expert_count", "0 (Mixtral is not supported)");
      return { ...named("llama", "LlamaForCausalLM"), ...dense(source), ...biases(source), ...rope(source) };
    },
  },
  mistral3: { interleavesQk: true, config: mistral3Config },
  smollm3: {
    interleavesQk: true,
    config: (source) => ({
      ...named("smollm3", "SmolLM3ForCausalLM"),
      ...dense(source),
      ...biases(source),
      ...rope(source),
      // llama.cpp's own: every fourth layer has no RoPE
      no_rope_layers: layersOf(source, (layer) => ((layer + 1) % 4 === 0 ? 0 : 1)),
    }),
  },
  qwen2: {
    interleavesQk: false,
    config: (source) => ({ ...named("qwen2", "Qwen2ForCausalLM"), ...dense(source), ...rope(source) }),
  },
  qwen3: {
    interleavesQk: false,
    config: (source) => ({
      ...named("qwen3", "Qwen3ForCausalLM"),
      ...dense(source),
      ...biases(source),
      ...rope(source),
    }),
  },
  qwen3moe: { interleavesQk: false, config: qwen3MoeConfig },
  phi3: { interleavesQk: false, names: PHI_NAMES, config: phi3Config },
  gemma3: { interleavesQk: false, includesOne: true, names: GEMMA_NAMES, config: gemma3Config },
};

/** Finds a file's architecture. @throws ModelFileError naming those that run */
export function architectureOf(keys: MetadataKeys): Architecture {
  const { architecture, fileName } = keys;
  if (Object.hasOwn(ARCHITECTURES, architecture)) {
    const found = ARCHITECTURES[architecture];
    if (found) return found;
  }
  throw new ModelFileError(
    `reading ${fileName}: its architecture ${printValue(architecture)} is not supported; supported are ` +
      Object.keys(ARCHITECTURES).join(", "),
  );
}

/** Says a file's metadata as the config.json of its model. Absent keys get llama.cpp's defaults. */
export function configOf(
  architecture: Architecture,
  keys: MetadataKeys,
  tensors: ReadonlyMap<string, GgufTensor>,
  ropeFactors: RopeFactors,
): JsonObject {
  if (keys.raw("attention.causal") === false)
    throw keys.refuse("attention.causal", "true: it is a model of embeddings, which does not generate");
  const common = commonConfig(keys, tensors);
  // tokens that end an output are in the generation config: null keeps a family's default away
  return { eos_token_id: null, ...common, ...architecture.config({ keys, tensors, ropeFactors, common }) };
}

function commonConfig(keys: MetadataKeys, tensors: ReadonlyMap<string, GgufTensor>): CommonConfig {
  const hiddenSize = keys.size("embedding_length");
  const heads = keys.size("attention.head_count");
  const headDim = keys.size("attention.key_length", hiddenSize / heads);
  if (keys.size("attention.value_length", headDim) !== headDim)
    throw keys.refuse("attention.value_length", `${headDim}, the length of a key`);
  return {
    vocab_size: tensors.get("token_embd.weight")?.shape[0] ?? keys.size("vocab_size"),
    hidden_size: hiddenSize,
    num_hidden_layers: keys.size("block_count"),
    num_attention_heads: heads,
    num_key_value_heads: keys.size("attention.head_count_kv", heads),
    head_dim: headDim,
    max_position_embeddings: keys.size("context_length"),
    rms_norm_eps: keys.number("attention.layer_norm_rms_epsilon"),
    tie_word_embeddings: !tensors.has("output.weight"),
  };
}

/** Keys of metadata after the architecture's name, by the keys of config.json that are made of them. */
const METADATA_KEYS: Readonly<Record<string, string>> = {
  vocab_size: "vocab_size",
  hidden_size: "embedding_length",
  num_hidden_layers: "block_count",
  num_attention_heads: "attention.head_count",
  num_key_value_heads: "attention.head_count_kv",
  head_dim: "attention.key_length",
  max_position_embeddings: "context_length",
  rms_norm_eps: "attention.layer_norm_rms_epsilon",
  intermediate_size: "feed_forward_length",
  moe_intermediate_size: "expert_feed_forward_length",
  num_experts: "expert_count",
  num_experts_per_tok: "expert_used_count",
  sliding_window: "attention.sliding_window",
  layer_types: "attention.sliding_window_pattern",
  final_logit_softcapping: "final_logit_softcapping",
  llama_4_scaling_beta: "attention.temperature_scale",
  rope_theta: "rope.freq_base",
  partial_rotary_factor: "rope.dimension_count",
  rope_type: "rope.scaling.type",
  factor: "rope.scaling.factor",
  original_max_position_embeddings: "rope.scaling.original_context_length",
};

/** The metadata's key that a key of config.json is made of; undefined if it is of none. */
export function metadataKeyOf(key: string, architecture: string): string | undefined {
  return Object.hasOwn(METADATA_KEYS, key) ? `${architecture}.${METADATA_KEYS[key]}` : undefined;
}

const dense = ({ keys }: ConfigSource): JsonObject => ({
  intermediate_size: keys.size("feed_forward_length"),
});

const biases = ({ tensors }: ConfigSource): JsonObject => ({
  attention_bias: tensors.has("blk.0.attn_q.bias") || tensors.has("blk.0.attn_qkv.bias"),
  mlp_bias: tensors.has("blk.0.ffn_gate.bias") || tensors.has("blk.0.ffn_up.bias"),
});

const rope = (source: ConfigSource): JsonObject => ({ rope_parameters: ropeOf(source) });

function ropeOf({ keys, common, ropeFactors }: ConfigSource): JsonObject {
  const sizes = { headDim: common.head_dim, contextLength: common.max_position_embeddings };
  return ropeParameters(keys, sizes, ropeFactors);
}

function layersOf<T>({ common, keys }: ConfigSource, value: (layer: number) => T): T[] {
  if (common.num_hidden_layers > MAX_LAYERS) throw keys.fail("block_count", `at most ${MAX_LAYERS}`);
  return Array.from({ length: common.num_hidden_layers }, (_, layer) => value(layer));
}

/** Limit on lists of layers, above all models in use. */
const MAX_LAYERS = 4096;

/** Mistral Small 3 is a plain Mistral; Ministral 3 also scales queries at far positions. */
function mistral3Config(source: ConfigSource): JsonObject {
  const beta = source.keys.number("attention.temperature_scale", 0);
  if (beta === 0)
    return {
      ...named("mistral", "MistralForCausalLM"),
      ...dense(source),
      ...rope(source),
      sliding_window: null,
    };
  return {
    ...named("ministral3", "Ministral3ForCausalLM"),
    ...dense(source),
    rope_parameters: { ...ropeOf(source), llama_4_scaling_beta: beta },
    sliding_window: null,
  };
}

function qwen3MoeConfig(source: ConfigSource): JsonObject {
  const { keys } = source;
  const used = keys.size("expert_used_count");
  const experts = keys.size("expert_count");
  // llama.cpp divides the dense width when the experts' is absent
  const width = keys.has("expert_feed_forward_length")
    ? keys.size("expert_feed_forward_length")
    : keys.size("feed_forward_length") / used;
  return {
    ...named("qwen3_moe", "Qwen3MoeForCausalLM"),
    ...biases(source),
    ...rope(source),
    intermediate_size: keys.size("feed_forward_length", width),
    moe_intermediate_size: width,
    num_experts: experts,
    num_experts_per_tok: used,
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
  };
}

/** 0 stands for no window. llama.cpp 2026 ignores the window of Phi-3; `transformers`, and so this engine, follows it. */
function phi3Config(source: ConfigSource): JsonObject {
  const window = source.keys.number("attention.sliding_window", 0);
  const rope = ropeOf(source);
  return {
    ...named("phi3", "Phi3ForCausalLM"),
    ...dense(source),
    rope_parameters: rope,
    original_max_position_embeddings:
      rope.original_max_position_embeddings ?? source.common.max_position_embeddings,
    sliding_window: window > 0 ? window : null,
  };
}

function gemma3Config(source: ConfigSource): JsonObject {
  const { keys, common } = source;
  const window = keys.number("attention.sliding_window", 0);
  const isLocal = window > 0 ? localLayers(source) : () => false;
  const softcap = keys.number("final_logit_softcapping", 0);
  const isLargest = common.num_hidden_layers === 62; // Gemma 3 27B alone scales by another size than a head's.
  return {
    ...named("gemma3_text", "Gemma3ForCausalLM"),
    ...dense(source),
    hidden_activation: "gelu_pytorch_tanh",
    query_pre_attn_scalar: isLargest ? common.hidden_size / common.num_attention_heads : common.head_dim,
    sliding_window: window > 0 ? window : null,
    layer_types: layersOf(source, (layer) => (isLocal(layer) ? "sliding_attention" : "full_attention")),
    rope_parameters: {
      full_attention: ropeOf(source),
      sliding_attention: { rope_type: "default", rope_theta: keys.number("rope.freq_base_swa", 10_000) },
    },
    ...(softcap !== 0 && { final_logit_softcapping: softcap }),
  };
}

/** Layers with a window: a list, or all but each n-th. */
function localLayers({ keys, common }: ConfigSource): (layer: number) => boolean {
  const key = "attention.sliding_window_pattern";
  const pattern = keys.raw(key) ?? 6;
  if (typeof pattern === "number") return (layer) => pattern === 0 || layer % pattern < pattern - 1;
  const list =
    Array.isArray(pattern) || ArrayBuffer.isView(pattern) ? Array.from<unknown>(pattern as never) : [];
  if (list.length !== common.num_hidden_layers)
    throw keys.fail(key, `a number, or ${common.num_hidden_layers} values, one a layer`);
  return (layer) => Boolean(list[layer]);
}
