import { ConfigError } from "../base/errors.ts";
import { parseTokenIds } from "../load/generation-config.ts";
import type { JsonObject } from "../load/json-file.ts";
import { FAMILIES, type Family } from "./families.ts";
import { parseRopeConfig, type RopeConfig } from "./rope-config.ts";

/** The sizes and choices of a model, from config.json. */
export interface ModelConfig {
  readonly family: Family;
  readonly numLayers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly rmsNormEps: number;
  readonly maxPositionEmbeddings: number;
  readonly tieWordEmbeddings: boolean;
  readonly hasQkvBias: boolean;
  readonly hasOutputBias: boolean;
  readonly rope: RopeConfig;
  readonly eosTokenIds: readonly number[];
}

/** Reads config.json. @throws ConfigError naming the file, the key, the value and what is supported. */
export function parseModelConfig(json: JsonObject, fileName: string): ModelConfig {
  const fail = (key: string, expected: string) =>
    new ConfigError(`reading ${fileName}: ${key} is ${JSON.stringify(json[key])}, expected ${expected}`);
  const size = (key: string, otherwise?: number) => {
    const value = json[key] ?? otherwise;
    if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 1)
      throw fail(key, "a whole number of at least 1");
    return value;
  };
  const flag = (key: string, otherwise: boolean) => {
    const value = json[key] ?? otherwise;
    if (typeof value !== "boolean") throw fail(key, "true or false");
    return value;
  };
  const family = findFamily(json, fileName);
  refuseUnsupported(json, fail);
  const hiddenSize = size("hidden_size");
  const numQueryHeads = size("num_attention_heads");
  const numKvHeads = size("num_key_value_heads", numQueryHeads);
  if (numQueryHeads % numKvHeads !== 0)
    throw fail("num_key_value_heads", `a divisor of num_attention_heads (${numQueryHeads})`);
  const headDim = size("head_dim", family.defaults.headDim ?? hiddenSize / numQueryHeads);
  if (headDim % 2 !== 0) throw fail("head_dim", `an even size (it is ${headDim})`);
  const rmsNormEps = json.rms_norm_eps ?? family.defaults.rmsNormEps;
  if (typeof rmsNormEps !== "number" || !(rmsNormEps >= 0))
    throw fail("rms_norm_eps", "a number of at least 0");
  const attentionBias = flag("attention_bias", false);
  const maxPositionEmbeddings = size("max_position_embeddings", family.defaults.maxPositionEmbeddings);
  refuseSlidingWindow(json, maxPositionEmbeddings, fail);
  return {
    family,
    numLayers: size("num_hidden_layers"),
    hiddenSize,
    intermediateSize: size("intermediate_size"),
    numQueryHeads,
    numKvHeads,
    headDim,
    vocabSize: size("vocab_size"),
    rmsNormEps,
    maxPositionEmbeddings,
    tieWordEmbeddings: flag("tie_word_embeddings", false),
    hasQkvBias: family.qkvBias === "always" || attentionBias,
    hasOutputBias: family.hasOutputBias && attentionBias,
    rope: parseRopeConfig(json, headDim, maxPositionEmbeddings, fileName),
    eosTokenIds: parseTokenIds(json.eos_token_id, "eos_token_id", fileName) ?? [],
  };
}

function findFamily(json: JsonObject, fileName: string): Family {
  const architecture = Array.isArray(json.architectures) ? json.architectures[0] : undefined;
  const found = FAMILIES.find(
    (family) =>
      family.architecture === architecture ||
      (architecture === undefined && family.modelType === json.model_type),
  );
  if (!found)
    throw new ConfigError(
      `reading ${fileName}: architecture ${JSON.stringify(architecture ?? json.model_type)} is not supported; ` +
        `supported are ${FAMILIES.map((family) => family.architecture).join(", ")}`,
    );
  return found;
}

type Fail = (key: string, expected: string) => ConfigError;

function refuseUnsupported(json: JsonObject, fail: Fail): void {
  if ((json.hidden_act ?? "silu") !== "silu") throw fail("hidden_act", '"silu"');
  if (json.mlp_bias === true) throw fail("mlp_bias", "false: biases in the MLP are not supported");
  if (json.quantization_config !== undefined && json.quantization_config !== null)
    throw fail("quantization_config", "none: take the checkpoint in bf16, f16 or f32");
  if ((json.partial_rotary_factor ?? 1) !== 1) throw fail("partial_rotary_factor", "1");
}

/** A sliding window as long as the context changes nothing; a shorter one would change the model. */
function refuseSlidingWindow(json: JsonObject, maxPositions: number, fail: Fail): void {
  const window = json.sliding_window;
  const isShort = typeof window === "number" && window < maxPositions;
  if (json.use_sliding_window === true && isShort) throw fail("use_sliding_window", "false");
  if (
    json.use_sliding_window !== false &&
    Array.isArray(json.layer_types) &&
    json.layer_types.some((type) => type !== "full_attention")
  )
    throw fail("layer_types", '"full_attention" in every layer');
}
