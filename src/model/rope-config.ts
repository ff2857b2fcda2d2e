import { ConfigError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { JsonObject } from "../load/json-file.ts";

/** Rotary position embedding of one of the supported types. */
export type RopeConfig = { readonly theta: number; readonly headDim: number } & (
  | { readonly type: "default" }
  | { readonly type: "dynamic" }
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
 * `type`). As in `transformers`, `rope_scaling` wins over `rope_parameters`, an `original_max_position_embeddings` beside
 * them wins over one inside, and keys of another type are ignored. `dynamic` changes frequencies only past
 * max_position_embeddings; up to there, its context here, it equals `default`.
 * Source: transformers 5.24, modeling_rope_utils.py.
 * @throws ConfigError naming the file, the key and the value.
 */
export function parseRopeConfig(
  json: JsonObject,
  headDim: number,
  maxPositions: number,
  fileName: string,
): RopeConfig {
  const values = new RopeReader(json, fileName);
  const given = values.get("rope_theta");
  const theta =
    given === undefined ? (values.beside("rope_theta") ?? DEFAULT_THETA) : values.number("rope_theta");
  const base = { theta, headDim };
  const type: unknown = values.get("rope_type") ?? values.get("type") ?? "default";
  const originalMaxPositions = () =>
    values.beside("original_max_position_embeddings") ??
    values.number("original_max_position_embeddings", maxPositions);
  if (type === "default") return { ...base, type };
  // The default type rotates whole heads, whatever this factor is; the others would rotate a part.
  if (values.number("partial_rotary_factor", values.beside("partial_rotary_factor") ?? 1) !== 1)
    throw values.fail("partial_rotary_factor", "1");
  switch (type) {
    case "dynamic":
      return { ...base, type };
    case "linear":
      return { ...base, type, factor: values.number("factor") };
    case "llama3":
      return {
        ...base,
        type,
        factor: values.number("factor"),
        lowFreqFactor: values.number("low_freq_factor"),
        highFreqFactor: values.number("high_freq_factor"),
        originalMaxPositions: originalMaxPositions(),
      };
    case "yarn":
      return { ...base, type, ...readYarn(values, originalMaxPositions(), maxPositions) };
    default:
      throw values.fail(
        values.get("rope_type") === undefined ? "type" : "rope_type",
        "default, linear, dynamic, llama3 or yarn",
      );
  }
}

/**
 * The context of a scaling, if it exceeds max_position_embeddings, which `transformers` never enforces.
 * Linear: "when using this flag, don't update max_position_embeddings" (its documentation). Llama 3: if
 * max_position_embeddings was left at the original length; the factor of Llama 3.2 exceeds the trained context. YaRN:
 * always, since Qwen's own instructions leave 40960 beside 4 × 32768. Dynamic: none, since it is supported only while it
 * equals `default`.
 */
export function scaledContext(
  rope: RopeConfig,
  maxPositions: number,
): { readonly contextLength: number; readonly contextNote: string | undefined } {
  if (rope.type === "dynamic")
    return {
      contextLength: maxPositions,
      contextNote: `context of ${maxPositions} tokens: RoPE scaling "dynamic" is followed up to max_position_embeddings`,
    };
  const original = scaledFrom(rope, maxPositions);
  if (rope.type === "default" || original === undefined)
    return { contextLength: maxPositions, contextNote: undefined };
  const contextLength = Math.min(Math.floor(original * rope.factor), MAX_CONTEXT);
  if (contextLength <= maxPositions) return { contextLength: maxPositions, contextNote: undefined };
  return {
    contextLength,
    contextNote:
      `context of ${contextLength} tokens: RoPE scaling "${rope.type}" by ${rope.factor} makes it of ${original}; ` +
      `max_position_embeddings is ${maxPositions}`,
  };
}

/** The context that a factor multiplies; undefined if it multiplies none. */
function scaledFrom(rope: RopeConfig, maxPositions: number): number | undefined {
  switch (rope.type) {
    case "linear":
      return maxPositions;
    case "llama3":
      return rope.originalMaxPositions < maxPositions ? undefined : rope.originalMaxPositions;
    case "yarn":
      return rope.originalMaxPositions;
    default:
      return undefined;
  }
}

/** RoPE's angles are f32, which has no exact value for positions past this one. */
const MAX_CONTEXT = 2 ** 24;

const DEFAULT_THETA = 10_000;

/** Keys of `rope_parameters` for a RoPE of some of the layers. */
const LAYER_TYPES = ["full_attention", "sliding_attention", "chunked_attention", "linear_attention"];

/** Reads RoPE's values of one config and checks each. */
class RopeReader {
  readonly #json: JsonObject;
  readonly #values: JsonObject;
  readonly #fileName: string;
  readonly #where: string;

  constructor(json: JsonObject, fileName: string) {
    const { rope_scaling: scaling, rope_parameters: parameters } = json;
    const isScaling = scaling !== undefined && scaling !== null && !(isObject(scaling) && isEmpty(scaling));
    const values = isScaling ? scaling : (parameters ?? {});
    this.#json = json;
    this.#fileName = fileName;
    this.#where = isScaling ? "rope_scaling" : "rope_parameters";
    if (!isObject(values))
      throw new ConfigError(
        `reading ${fileName}: ${this.#where} is ${printValue(values)}; expected an object`,
      );
    this.#values = values;
    for (const key of LAYER_TYPES) if (isObject(values[key])) throw this.fail(key, "one RoPE for all layers");
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

  /** Any number. */
  anyNumber(key: string): number {
    const value = this.get(key);
    if (typeof value !== "number" || !Number.isFinite(value)) throw this.fail(key, "a number");
    return value;
  }

  /** Python's truth of a value; undefined if the key is absent. */
  truth(key: string): boolean | undefined {
    const value = this.#values[key];
    if (value === undefined) return undefined;
    return (
      Boolean(value) && !(Array.isArray(value) && value.length === 0) && !(isObject(value) && isEmpty(value))
    );
  }

  /** A number above 0 beside rope_scaling in config.json; undefined if there is none. */
  beside(key: string): number | undefined {
    const value = this.#json[key] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isFinite(value) || value <= 0)
      throw new ConfigError(
        `reading ${this.#fileName}: ${key} is ${printValue(value)}; expected a number above 0`,
      );
    return value;
  }

  fail(key: string, expected: string): ConfigError {
    const value = this.#values[key];
    const got = value === undefined ? "is missing" : `is ${printValue(value)}`;
    return new ConfigError(`reading ${this.#fileName}: ${this.#where}.${key} ${got}; expected ${expected}`);
  }
}

function isEmpty(object: JsonObject): boolean {
  return Object.keys(object).length === 0;
}

/** A null factor means the quotient of the two context lengths; a beta of 0 or null means its default. */
function readYarn(values: RopeReader, originalMaxPositions: number, maxPositions: number) {
  const factor = values.number("factor", maxPositions / originalMaxPositions);
  const beta = (key: string, otherwise: number) => (values.truth(key) ? values.number(key) : otherwise);
  return {
    factor,
    originalMaxPositions,
    betaFast: beta("beta_fast", 32),
    betaSlow: beta("beta_slow", 1),
    attentionFactor:
      values.get("attention_factor") === undefined
        ? yarnAttentionFactor(values, factor)
        : values.anyNumber("attention_factor"),
    truncate: values.truth("truncate") ?? true, // A null counts, as false.
  };
}

/** The factor on cos and sin: 0.1 ln(factor) + 1, or the quotient of the two mscale forms. arXiv 2309.00071, §3.4. */
function yarnAttentionFactor(values: RopeReader, factor: number): number {
  const scale = (mscale: number) => (factor <= 1 ? 1 : 0.1 * mscale * Math.log(factor) + 1);
  if (!values.truth("mscale") || !values.truth("mscale_all_dim")) return scale(1);
  return scale(values.anyNumber("mscale")) / scale(values.anyNumber("mscale_all_dim"));
}
