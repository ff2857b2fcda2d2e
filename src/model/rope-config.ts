import { ConfigError } from "../base/errors.ts";
import { isJsonObject, type JsonObject } from "../load/json-file.ts";

/** Rotary position embedding of one of the supported types. */
export type RopeConfig = { readonly theta: number; readonly headDim: number } & (
  | { readonly type: "default" }
  | { readonly type: "linear"; readonly factor: number }
  | {
      readonly type: "llama3";
      readonly factor: number;
      readonly lowFreqFactor: number;
      readonly highFreqFactor: number;
      readonly originalMaxPositions: number;
    }
  | {
      readonly type: "yarn";
      readonly factor: number;
      readonly originalMaxPositions: number;
      readonly betaFast: number;
      readonly betaSlow: number;
      readonly attentionFactor: number;
      readonly truncate: boolean;
    }
);

/**
 * Reads RoPE in both spellings: `rope_parameters`, or `rope_theta` beside `rope_scaling` (whose type is `rope_type` or
 * `type`). Source of the rules: transformers 5.17, modeling_rope_utils.py.
 * @throws ConfigError naming the file, the key and the value.
 */
export function parseRopeConfig(
  json: JsonObject,
  headDim: number,
  maxPositions: number,
  fileName: string,
): RopeConfig {
  const scaling = json.rope_parameters ?? json.rope_scaling;
  const where = json.rope_parameters ? "rope_parameters" : "rope_scaling";
  if (scaling !== undefined && scaling !== null && !isJsonObject(scaling))
    throw new ConfigError(`reading ${fileName}: ${where} is ${JSON.stringify(scaling)}, expected an object`);
  const values: JsonObject = isJsonObject(scaling) ? scaling : {};
  const number = (key: string, otherwise?: number) => {
    const value = values[key] ?? otherwise;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
      throw new ConfigError(
        `reading ${fileName}: ${where}.${key} is ${JSON.stringify(values[key])}, expected a number above 0`,
      );
    return value;
  };
  const theta = values.rope_theta ?? json.rope_theta ?? 10000;
  if (typeof theta !== "number" || !(theta > 0))
    throw new ConfigError(
      `reading ${fileName}: rope_theta is ${JSON.stringify(theta)}, expected a number above 0`,
    );
  const type = values.rope_type ?? values.type ?? "default";
  const base = { theta, headDim };
  const original = () =>
    number(
      "original_max_position_embeddings",
      ofNumber(json.original_max_position_embeddings) ?? maxPositions,
    );
  switch (type) {
    case "default":
      return { ...base, type: "default" };
    case "linear":
      return { ...base, type: "linear", factor: number("factor") };
    case "llama3":
      return {
        ...base,
        type: "llama3",
        factor: number("factor"),
        lowFreqFactor: number("low_freq_factor"),
        highFreqFactor: number("high_freq_factor"),
        originalMaxPositions: original(),
      };
    case "yarn": {
      const originalMaxPositions = original();
      const factor = number("factor", maxPositions / originalMaxPositions);
      return {
        ...base,
        type: "yarn",
        factor,
        originalMaxPositions,
        betaFast: number("beta_fast", 32),
        betaSlow: number("beta_slow", 1),
        attentionFactor: ofNumber(values.attention_factor) ?? yarnAttentionFactor(values, factor),
        truncate: values.truncate !== false,
      };
    }
    default:
      throw new ConfigError(
        `reading ${fileName}: RoPE type ${JSON.stringify(type)} is not supported; supported are default, linear, llama3, yarn`,
      );
  }
}

function ofNumber(value: unknown): number | undefined {
  return typeof value === "number" ? value : undefined;
}

/** The factor on cos and sin: 0.1 ln(factor) + 1, or the quotient of the two mscale forms. arXiv 2309.00071, §3.4. */
function yarnAttentionFactor(values: JsonObject, factor: number): number {
  const scale = (mscale: number) => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);
  const { mscale, mscale_all_dim: allDim } = values;
  if (typeof mscale === "number" && typeof allDim === "number" && mscale !== 0 && allDim !== 0)
    return scale(mscale) / scale(allDim);
  return scale(1);
}
