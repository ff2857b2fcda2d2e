import type { JsonObject } from "../json-file.ts";
import type { MetadataKeys } from "./metadata-keys.ts";

/** Factors that a file holds as tensors: each divides the frequency of its pair of elements. */
export interface RopeFactors {
  /** `rope_freqs.weight` of Llama 3: the finished factors of its scaling. */
  readonly all?: readonly number[];
  /** `rope_factors_short.weight` and `rope_factors_long.weight` of Phi-3. */
  readonly short?: readonly number[];
  readonly long?: readonly number[];
}

/** Sizes that RoPE depends on. */
export interface RopeSizes {
  readonly headDim: number;
  readonly contextLength: number;
}

/** llama.cpp's, for files without the key. */
const DEFAULT_THETA = 10_000;

/**
 * Says a file's RoPE as `rope_parameters` of config.json. The factors of Llama 3 are a LongRoPE with the same factors at
 * every length: a GGUF file does not hold what they were computed from.
 */
export function ropeParameters(keys: MetadataKeys, sizes: RopeSizes, factors: RopeFactors): JsonObject {
  const { headDim, contextLength } = sizes;
  const base = {
    rope_theta: keys.number("rope.freq_base", DEFAULT_THETA),
    ...partial(keys, headDim),
  };
  if (factors.all)
    return {
      ...base,
      rope_type: "longrope",
      short_factor: factors.all,
      long_factor: factors.all,
      attention_factor: 1,
      original_max_position_embeddings: contextLength,
    };
  const original = keys.number("rope.scaling.original_context_length", contextLength);
  if (factors.short && factors.long)
    return {
      ...base,
      rope_type: "longrope",
      short_factor: factors.short,
      long_factor: factors.long,
      attention_factor: keys.number("rope.scaling.attn_factor", 1),
      original_max_position_embeddings: original,
    };
  // 0 and 1 scale nothing; an old key has the same meaning
  const factor = keys.number("rope.scaling.factor", keys.number("rope.scale_linear", 0));
  const isScaled = factor !== 0 && factor !== 1;
  const type = keys.text("rope.scaling.type", "linear");
  switch (type) {
    case "none":
      return { ...base, rope_type: "default" };
    case "longrope":
      // a model with the type scales nothing only if it has neither list of factors and no longer context
      if (!factors.short && !factors.long && original === contextLength)
        return { ...base, rope_type: "default" };
      throw keys.refuse(
        "rope.scaling.type",
        "longrope with the tensors rope_factors_short and rope_factors_long",
      );
    case "linear":
      return isScaled ? { ...base, rope_type: "linear", factor } : { ...base, rope_type: "default" };
    case "yarn":
      return isScaled
        ? {
            ...base,
            rope_type: "yarn",
            factor,
            original_max_position_embeddings: original,
            ...yarn(keys, factor),
          }
        : { ...base, rope_type: "default" };
    default:
      throw keys.refuse("rope.scaling.type", "none, linear, yarn or longrope");
  }
}

/** Phi-3 turns a part of each head. */
function partial(keys: MetadataKeys, headDim: number): JsonObject {
  const dimensions = keys.size("rope.dimension_count", headDim);
  if (dimensions === headDim) return {};
  if (keys.architecture !== "phi3" || dimensions > headDim)
    throw keys.refuse("rope.dimension_count", `${headDim}, the size of a head`);
  return { partial_rotary_factor: dimensions / headDim };
}

function yarn(keys: MetadataKeys, factor: number): JsonObject {
  const logMultiplier = keys.number("rope.scaling.yarn_log_multiplier", 0);
  const scale = keys.number("rope.scaling.attn_factor", 1);
  const own = keys.has("rope.scaling.yarn_attn_factor")
    ? keys.number("rope.scaling.yarn_attn_factor")
    : scale !== 1
      ? 0.1 * Math.log(factor) + 1
      : undefined;
  return {
    beta_fast: keys.number("rope.scaling.yarn_beta_fast", 32),
    beta_slow: keys.number("rope.scaling.yarn_beta_slow", 1),
    ...(own !== undefined && { attention_factor: own * scale }),
    ...(logMultiplier !== 0 && { mscale: 1, mscale_all_dim: logMultiplier }),
  };
}
