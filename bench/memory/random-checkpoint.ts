import { mkdir, mkdtemp, open, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A Qwen3 of 222 million parameters: large beside the runtime, small enough to prefill in seconds. */
const QWEN3_222M = {
  architectures: ["Qwen3ForCausalLM"],
  model_type: "qwen3",
  hidden_size: 1024,
  intermediate_size: 3072,
  num_hidden_layers: 12,
  num_attention_heads: 16,
  num_key_value_heads: 8,
  head_dim: 128,
  vocab_size: 32000,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-6,
  rope_theta: 1e6,
  tie_word_embeddings: true,
  eos_token_id: 0,
};

/** The sizes of SmolLM2-135M, a model for CPUs. */
const SMOLLM2_135M = {
  architectures: ["LlamaForCausalLM"],
  model_type: "llama",
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  head_dim: 64,
  vocab_size: 49152,
  max_position_embeddings: 8192,
  rms_norm_eps: 1e-5,
  rope_theta: 1e5,
  tie_word_embeddings: true,
  eos_token_id: 2,
};

/** The shape of Qwen3-MoE in small: 16 experts, of which 4 compute a token. */
const QWEN3_MOE = {
  ...QWEN3_222M,
  architectures: ["Qwen3MoeForCausalLM"],
  model_type: "qwen3_moe",
  num_experts: 16,
  num_experts_per_tok: 4,
  moe_intermediate_size: 384,
  norm_topk_prob: true,
};

/** The dense model that reads as many weights for a token as `QWEN3_MOE`, but for the router. */
const QWEN3_ACTIVE = {
  ...QWEN3_222M,
  intermediate_size: QWEN3_MOE.num_experts_per_tok * QWEN3_MOE.moe_intermediate_size,
};

export const RANDOM_CONFIGS = {
  "qwen3-222m": QWEN3_222M,
  "smollm2-135m": SMOLLM2_135M,
  "qwen3-moe": QWEN3_MOE,
  "qwen3-active": QWEN3_ACTIVE,
} as const;
export type RandomModel = keyof typeof RANDOM_CONFIGS;
type RandomConfig = (typeof RANDOM_CONFIGS)[RandomModel];

const NOISE_BYTES = 1 << 20;

/** Writes a checkpoint of random bf16 weights into a folder; returns the bytes of the weights. */
export async function writeRandomCheckpoint(model: RandomModel, folder: string): Promise<number> {
  const config = RANDOM_CONFIGS[model];
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, "config.json"), JSON.stringify(config));
  return writeWeights(config, join(folder, "model.safetensors"));
}

/** Runs `work` with a folder that holds a checkpoint of random bf16 weights, and removes the folder. */
export async function withRandomCheckpoint<T>(
  model: RandomModel,
  work: (folder: string, fileBytes: number) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), "lessismore-memory-"));
  try {
    return await work(folder, await writeRandomCheckpoint(model, folder));
  } finally {
    await rm(folder, { recursive: true });
  }
}

async function writeWeights(config: RandomConfig, path: string): Promise<number> {
  const entries: Record<string, { dtype: "BF16"; shape: readonly number[]; data_offsets: [number, number] }> =
    {};
  let end = 0;
  for (const [name, shape] of shapes(config)) {
    const start = end;
    end += 2 * shape.reduce((a, b) => a * b, 1);
    entries[name] = { dtype: "BF16", shape, data_offsets: [start, end] };
  }
  const header = Buffer.from(JSON.stringify(entries));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(header.length));
  const file = await open(path, "w");
  try {
    await file.write(Buffer.concat([length, header]));
    const noise = makeNoise();
    for (let left = end; left > 0; left -= NOISE_BYTES)
      await file.write(noise, 0, Math.min(left, NOISE_BYTES));
  } finally {
    await file.close();
  }
  return end;
}

function* shapes(config: RandomConfig): Generator<[string, readonly number[]]> {
  const { hidden_size: hidden, intermediate_size: inner, head_dim: d } = config;
  const { num_attention_heads: heads, num_key_value_heads: kvHeads } = config;
  yield ["model.embed_tokens.weight", [config.vocab_size, hidden]];
  for (let layer = 0; layer < config.num_hidden_layers; layer++) {
    const name = (rest: string) => `model.layers.${layer}.${rest}.weight`;
    yield [name("input_layernorm"), [hidden]];
    yield [name("post_attention_layernorm"), [hidden]];
    yield [name("self_attn.q_proj"), [heads * d, hidden]];
    yield [name("self_attn.k_proj"), [kvHeads * d, hidden]];
    yield [name("self_attn.v_proj"), [kvHeads * d, hidden]];
    yield [name("self_attn.o_proj"), [hidden, heads * d]];
    if (config.model_type !== "llama") {
      yield [name("self_attn.q_norm"), [d]];
      yield [name("self_attn.k_norm"), [d]];
    }
    if (!("num_experts" in config)) yield* feedForward("mlp", hidden, inner);
    else {
      yield [name("mlp.gate"), [config.num_experts, hidden]];
      for (let expert = 0; expert < config.num_experts; expert++)
        yield* feedForward(`mlp.experts.${expert}`, hidden, config.moe_intermediate_size);
    }

    function* feedForward(where: string, hidden: number, inner: number): ReturnType<typeof shapes> {
      yield [name(`${where}.gate_proj`), [inner, hidden]];
      yield [name(`${where}.up_proj`), [inner, hidden]];
      yield [name(`${where}.down_proj`), [hidden, inner]];
    }
  }
  yield ["model.norm.weight", [hidden]];
}

/** bf16 of magnitude about 1/128, either sign. */
function makeNoise(): Uint8Array {
  const words = new Uint16Array(NOISE_BYTES / 2);
  let state = 1;
  for (let i = 0; i < words.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0;
    words[i] = ((state >>> 16) & 0x807f) | 0x3c00;
  }
  return new Uint8Array(words.buffer);
}
