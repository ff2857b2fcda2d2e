/** Models by the sizes in their config.json. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { bundledModelFolder } from "../../src/node/index.ts";
import { type ModelConfig, parseModelConfig } from "../../src/node/internal.ts";

export interface Shape {
  readonly name: string;
  readonly config: ModelConfig;
}

const LLAMA = {
  model_type: "llama",
  num_hidden_layers: 32,
  hidden_size: 4096,
  intermediate_size: 14336,
  num_attention_heads: 32,
  num_key_value_heads: 8,
  vocab_size: 128256,
  max_position_embeddings: 131072,
  rope_theta: 500000,
  rope_scaling: {
    rope_type: "llama3",
    factor: 8,
    low_freq_factor: 1,
    high_freq_factor: 4,
    original_max_position_embeddings: 8192,
  },
};

const QWEN3 = {
  model_type: "qwen3",
  num_key_value_heads: 8,
  head_dim: 128,
  vocab_size: 151936,
  max_position_embeddings: 40960,
  rope_theta: 1000000,
};

/** The config of a Qwen3 by depth, widths and query heads. */
function qwen3(
  num_hidden_layers: number,
  hidden_size: number,
  intermediate_size: number,
  num_attention_heads: number,
  tie_word_embeddings: boolean,
) {
  const sizes = { num_hidden_layers, hidden_size, intermediate_size, num_attention_heads };
  return { ...QWEN3, ...sizes, tie_word_embeddings };
}

const CONFIGS: Readonly<Record<string, () => unknown>> = {
  "llama-3.1-8b": () => LLAMA,
  "qwen3-8b": () => qwen3(36, 4096, 12288, 32, false),
  "qwen3-4b": () => qwen3(36, 2560, 9728, 32, true),
  "qwen3-1.7b": () => qwen3(28, 2048, 6144, 16, true),
  "qwen3-0.6b": () => qwen3(28, 1024, 3072, 16, true),
  "pico-reasoner": () => readJson(join(bundledModelFolder(), "config.json")),
};

export const SHAPE_NAMES = Object.keys(CONFIGS);

/**
 * A shape by its name or by the path of a config.json.
 * @throws RangeError on neither, ConfigError on an impossible config.
 */
export function readShape(nameOrPath: string): Shape {
  const make = Object.hasOwn(CONFIGS, nameOrPath) ? CONFIGS[nameOrPath] : undefined;
  if (!make && !existsSync(nameOrPath))
    throw new RangeError(
      `no shape "${nameOrPath}"; expected ${SHAPE_NAMES.join(", ")}, or the path of a config.json`,
    );
  const json = make ? make() : readJson(nameOrPath);
  return { name: nameOrPath, config: parseModelConfig(json, nameOrPath) };
}

function readJson(path: string): unknown {
  return JSON.parse(readFileSync(path, "utf8"));
}
