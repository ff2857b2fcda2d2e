import { ConfigError } from "../base/errors.ts";
import { isObject } from "../base/is-object.ts";
import { printValue } from "../base/print-value.ts";
import type { JsonObject } from "../load/json-file.ts";
import type { RopeKind } from "./layer-plans.ts";

/** Rotary position embedding of one of the supported types. */
export type RopeConfig = {
  readonly theta: number;
  readonly headDim: number;
  /** Elements of a head that turn, if not all: element i with element i + rotaryDim / 2. The others stay. */
  readonly rotaryDim?: number;
  /** Ministral 3: a query at position p is scaled by 1 + beta * ln(1 + floor(p / originalMaxPositions)). */
  readonly queryScale?: { readonly beta: number; readonly originalMaxPositions: number };
} & (
  | { readonly type: "default" }
  /** Turns nothing. */
  | { readonly type: "none" }
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
  | {
      /** A sequence that stays within originalMaxPositions divides frequencies by shortFactors, a longer one by longFactors. */
      readonly type: "longrope";
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly originalMaxPositions: number;
      readonly attentionFactor: number;
    }
);

/** What differs between families in their reading of RoPE. */
export interface RopeRules {
  readonly fileName: string;
  /** Which of a config's RoPEs; "all": its only one. */
  readonly kind?: RopeKind;
  /**
   * phi3: `partial_rotary_factor` counts for every type, and `su` and `yarn` are old names of `longrope`.
   * ministral3: `llama_4_scaling_beta` counts.
   */
  readonly variant?: "phi3" | "ministral3" | undefined;
  /** Values if the config has none. */
  readonly fallback?: JsonObject | undefined;
  readonly theta?: number;
}

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
  rules: RopeRules,
): RopeConfig {
  const { kind = "all", variant } = rules;
  const isPhi = variant === "phi3";
  if (kind === "none") return { type: "none", theta: DEFAULT_THETA, headDim };
  const values = new RopeReader(json, rules);
  const thetaKey = kind === "sliding_attention" ? "rope_local_base_freq" : "rope_theta";
  const theta =
    values.get("rope_theta") === undefined
      ? (values.beside(thetaKey) ?? rules.theta ?? DEFAULT_THETA)
      : values.number("rope_theta");
  const whole = { theta, headDim };
  const base = isPhi ? { ...whole, ...partOf(values, headDim) } : whole;
  const named: unknown = values.get("rope_type") ?? values.get("type") ?? "default";
  const type = isPhi && (named === "su" || named === "yarn") ? "longrope" : named;
  const originalMaxPositions = () =>
    values.beside("original_max_position_embeddings") ??
    values.number("original_max_position_embeddings", maxPositions);
  if (type === "default") return { ...base, type };
  // The default type rotates whole heads, whatever this factor is; the others would rotate a part.
  if (!isPhi && values.number("partial_rotary_factor", values.beside("partial_rotary_factor") ?? 1) !== 1)
    throw values.fail("partial_rotary_factor", "1");
  if (isPhi && type !== "longrope")
    throw values.fail(values.get("rope_type") === undefined ? "type" : "rope_type", "default or longrope");
  switch (type) {
    case "longrope":
      return { ...base, type, ...readLongRope(values, base, originalMaxPositions(), maxPositions) };
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
      return {
        ...base,
        type,
        ...readYarn(values, originalMaxPositions(), maxPositions),
        ...(variant === "ministral3" && queryScale(values, originalMaxPositions())),
      };
    default:
      throw values.fail(
        values.get("rope_type") === undefined ? "type" : "rope_type",
        "default, linear, dynamic, llama3, yarn or longrope",
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
  if (original === undefined || !("factor" in rope))
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
  #where: string;

  constructor(json: JsonObject, { fileName, kind = "all", fallback = {} }: RopeRules) {
    const { rope_scaling: scaling, rope_parameters: parameters } = json;
    const isScaling = scaling !== undefined && scaling !== null && !(isObject(scaling) && isEmpty(scaling));
    this.#json = json;
    this.#fileName = fileName;
    this.#where = isScaling ? "rope_scaling" : "rope_parameters";
    if (kind === "all") {
      this.#values = this.#object(isScaling ? scaling : (parameters ?? fallback));
      for (const key of LAYER_TYPES)
        if (isObject(this.#values[key])) throw this.fail(key, "one RoPE for all layers");
      return;
    }
    // As in `transformers`, rope_scaling is of the global layers alone, and changes what rope_parameters has of them.
    const changes = isScaling && kind === "full_attention" ? this.#object(scaling) : {};
    this.#where = "rope_parameters";
    const ofKind = this.#object(this.#object(parameters ?? {})[kind] ?? {});
    this.#values = { ...ofKind, ...changes };
    this.#where = isEmpty(changes) ? `rope_parameters.${kind}` : "rope_scaling";
  }

  #object(value: unknown): JsonObject {
    if (isObject(value)) return value;
    throw new ConfigError(
      `reading ${this.#fileName}: ${this.#where} is ${printValue(value)}; expected an object`,
    );
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

  /** `count` numbers above 0. */
  numbers(key: string, count: number): readonly number[] {
    const value = this.get(key);
    const isValid = (one: unknown): one is number =>
      typeof one === "number" && Number.isFinite(one) && one > 0;
    if (!Array.isArray(value) || value.length !== count || !value.every(isValid))
      throw this.fail(key, `a list of ${count} numbers above 0, one for each pair of elements that turn`);
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
    const isBeside = this.#values[key] === undefined && this.#json[key] !== undefined;
    const value = isBeside ? this.#json[key] : this.#values[key];
    const got = value === undefined ? "is missing" : `is ${printValue(value)}`;
    const where = isBeside ? "" : `${this.#where}.`;
    return new ConfigError(`reading ${this.#fileName}: ${where}${key} ${got}; expected ${expected}`);
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

/** The elements of a head that turn, if `partial_rotary_factor` is below 1. */
function partOf(values: RopeReader, headDim: number): { readonly rotaryDim?: number } {
  const factor = values.number("partial_rotary_factor", values.beside("partial_rotary_factor") ?? 1);
  const rotaryDim = Math.floor(headDim * factor);
  if (factor > 1 || rotaryDim % 2 !== 0 || rotaryDim === 0)
    throw values.fail(
      "partial_rotary_factor",
      `at most 1, and an even number of the ${headDim} elements of a head, because RoPE turns pairs`,
    );
  return rotaryDim === headDim ? {} : { rotaryDim };
}

/** LongRoPE (arXiv 2402.13753). A null factor means the quotient of the two context lengths. */
function readLongRope(
  values: RopeReader,
  { headDim, rotaryDim = headDim }: { readonly headDim: number; readonly rotaryDim?: number },
  originalMaxPositions: number,
  maxPositions: number,
) {
  const factor = values.number("factor", maxPositions / originalMaxPositions);
  const attentionFactor =
    values.get("attention_factor") === undefined
      ? factor <= 1
        ? 1
        : Math.sqrt(1 + Math.log(factor) / Math.log(originalMaxPositions))
      : values.anyNumber("attention_factor");
  return {
    shortFactors: values.numbers("short_factor", rotaryDim / 2),
    longFactors: values.numbers("long_factor", rotaryDim / 2),
    originalMaxPositions,
    attentionFactor,
  };
}

function queryScale(values: RopeReader, originalMaxPositions: number) {
  if (values.get("llama_4_scaling_beta") === undefined) return {};
  return { queryScale: { beta: values.anyNumber("llama_4_scaling_beta"), originalMaxPositions } };
}
