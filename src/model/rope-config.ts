import { ConfigError } from "../base/errors.ts";
import { isJsonObject, type JsonObject, showValue } from "../load/json-file.ts";

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
 * `type`). As in `transformers`, `rope_scaling` counts where both are given, and an
 * `original_max_position_embeddings` beside them counts before one inside.
 * Source: transformers 5.17, modeling_rope_utils.py.
 * @throws ConfigError naming the file, the key and the value.
 */
export function parseRopeConfig(
  json: JsonObject,
  headDim: number,
  maxPositions: number,
  fileName: string,
): RopeConfig {
  const values = new RopeReader(json, fileName);
  if (values.number("partial_rotary_factor", 1) !== 1) throw values.fail("partial_rotary_factor", "1");
  const base = { theta: values.number("rope_theta", values.beside("rope_theta") ?? DEFAULT_THETA), headDim };
  const type = values.get("rope_type") ?? values.get("type") ?? "default";
  const originalMaxPositions = () =>
    values.beside("original_max_position_embeddings") ??
    values.number("original_max_position_embeddings", maxPositions);
  switch (type) {
    case "default":
      return { ...base, type: "default" };
    case "linear":
      return { ...base, type: "linear", factor: values.number("factor") };
    case "llama3": {
      const factor = values.number("factor");
      const lowFreqFactor = values.number("low_freq_factor");
      const highFreqFactor = values.number("high_freq_factor");
      if (highFreqFactor <= lowFreqFactor)
        throw values.fail("high_freq_factor", `more than low_freq_factor, which is ${lowFreqFactor}`);
      return {
        ...base,
        type: "llama3",
        factor,
        lowFreqFactor,
        highFreqFactor,
        originalMaxPositions: originalMaxPositions(),
      };
    }
    case "yarn":
      return { ...base, type: "yarn", ...readYarn(values, originalMaxPositions(), maxPositions) };
    default:
      throw values.fail(
        values.get("rope_type") === undefined ? "type" : "rope_type",
        "default, linear, llama3 or yarn",
      );
  }
}

const DEFAULT_THETA = 10_000;

/** RoPE's values of one config, each checked as it is read. */
class RopeReader {
  readonly #json: JsonObject;
  readonly #values: JsonObject;
  readonly #fileName: string;
  readonly #where: string;

  constructor(json: JsonObject, fileName: string) {
    const { rope_scaling: scaling, rope_parameters: parameters } = json;
    const isScaling =
      scaling !== undefined && scaling !== null && !(isJsonObject(scaling) && isEmpty(scaling));
    const values = isScaling ? scaling : (parameters ?? {});
    this.#json = json;
    this.#fileName = fileName;
    this.#where = isScaling ? "rope_scaling" : "rope_parameters";
    if (!isJsonObject(values))
      throw new ConfigError(
        `reading ${fileName}: ${this.#where} is ${showValue(values)}; expected an object`,
      );
    this.#values = values;
    for (const [key, value] of Object.entries(values))
      if (isJsonObject(value)) throw this.fail(key, "one RoPE for all layers");
  }

  get(key: string): unknown {
    return this.#values[key] ?? undefined;
  }

  /** A number above 0. */
  number(key: string, otherwise?: number): number {
    const value = this.get(key) ?? otherwise;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
      throw this.fail(key, "a number above 0");
    return value;
  }

  /** A number above 0 that stands beside rope_scaling in config.json, where there is one. */
  beside(key: string): number | undefined {
    const value = this.#json[key] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
      throw new ConfigError(
        `reading ${this.#fileName}: ${key} is ${showValue(value)}; expected a number above 0`,
      );
    return value;
  }

  fail(key: string, expected: string): ConfigError {
    const value = this.#values[key];
    const got = value === undefined ? "is missing" : `is ${showValue(value)}`;
    return new ConfigError(`reading ${this.#fileName}: ${this.#where}.${key} ${got}; expected ${expected}`);
  }
}

function isEmpty(object: JsonObject): boolean {
  return Object.keys(object).length === 0;
}

/** A factor of null means the quotient of the two context lengths. */
function readYarn(values: RopeReader, originalMaxPositions: number, maxPositions: number) {
  const factor = values.number("factor", maxPositions / originalMaxPositions);
  const truncate = values.get("truncate") ?? true;
  if (typeof truncate !== "boolean") throw values.fail("truncate", "true or false");
  const betaFast = values.number("beta_fast", 32);
  const betaSlow = values.number("beta_slow", 1);
  if (betaFast < betaSlow) throw values.fail("beta_fast", `at least beta_slow, which is ${betaSlow}`);
  const attentionFactor = values.number("attention_factor", yarnAttentionFactor(values, factor));
  return { factor, originalMaxPositions, betaFast, betaSlow, attentionFactor, truncate };
}

/** The factor on cos and sin: 0.1 ln(factor) + 1, or the quotient of the two mscale forms. arXiv 2309.00071, §3.4. */
function yarnAttentionFactor(values: RopeReader, factor: number): number {
  const scale = (mscale: number) => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);
  if (!values.get("mscale") || !values.get("mscale_all_dim")) return scale(1);
  return scale(values.number("mscale")) / scale(values.number("mscale_all_dim"));
}
