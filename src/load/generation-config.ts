import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { JsonObject } from "./json-file.ts";

/** Fields of a request that a checkpoint may recommend. */
export type RecommendedName = "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "maxTokens";

/** A checkpoint's recommended generation values; undefined means no recommendation. */
export interface GenerationConfig {
  /** Without ids that no token can have: `transformers` keeps them, and they never match. */
  readonly eosTokenIds: readonly number[] | undefined;
  /** 0 (greedy) unless `do_sample` is true. */
  readonly temperature: number;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  /** Maximum output tokens. Takes precedence: `maxLength` is undefined when this is set. */
  readonly maxNewTokens: number | undefined;
  /** Maximum tokens of prompt and output. A prompt of this length is an error, as in `transformers`. */
  readonly maxLength: number | undefined;
  /** Attention spec that suits the model, from our own key `sparse_attention`. */
  readonly attention: string | undefined;
  /** Invalid values: each error goes to requests that rely on the recommendation. */
  readonly problems: ReadonlyMap<RecommendedName, ModelFileError>;
  /** Keys, with their values, that change the output of `transformers` and that the engine ignores. */
  readonly unsupported: readonly string[];
}

/**
 * Reads generation_config.json as `transformers` 5.24 uses it:
 * - `do_sample` turns sampling on. Greedy decoding ignores all sampling values.
 * - The default temperature of a sampling checkpoint is 1.
 * - A top_p of 0 keeps the best token; a top_p of 1 or more keeps all tokens.
 * - max_new_tokens takes precedence over max_length. Unknown keys are ignored.
 * - A value with which `transformers` refuses to generate fails requests that rely on it.
 * Departures: a missing top_k keeps all tokens, not 50; without a length the output may fill the context, not 20 tokens;
 * a temperature of 0 with do_sample is greedy, not an error.
 * @throws ModelFileError naming the file, the key and the value.
 */
export function parseGenerationConfig(json: JsonObject, fileName: string): GenerationConfig {
  const problems = new Map<RecommendedName, ModelFileError>();
  const number: Read = (name, key, expected, isValid) => {
    const value = json[key] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value === "number" && Number.isFinite(value) && isValid(value)) return value;
    problems.set(
      name,
      new ModelFileError(
        `reading ${fileName}: ${key} must be ${expected}, got ${printValue(value)}; give ${name} with the request, or mend the file`,
      ),
    );
    return undefined;
  };
  const attention = json.sparse_attention ?? undefined;
  if (attention !== undefined && (typeof attention !== "string" || attention.length > MAX_SPEC_LENGTH))
    throw new ModelFileError(
      `reading ${fileName}: sparse_attention must be an attention spec, got ${printValue(attention)}`,
    );
  return {
    eosTokenIds: parseTokenIds(json.eos_token_id, "eos_token_id", fileName),
    ...readSampling(json, number),
    repetitionPenalty: number("repetitionPenalty", "repetition_penalty", "a number above 0", (r) => r > 0),
    ...readLengths(json, number),
    attention,
    problems,
    unsupported: findUnsupported(json),
  };
}

/** Limit on an attention spec, which messages quote whole. */
const MAX_SPEC_LENGTH = 500;

type Read = (
  name: RecommendedName,
  key: string,
  expected: string,
  isValid: (value: number) => boolean,
) => number | undefined;

function readSampling(json: JsonObject, number: Read) {
  // Python's truthiness: for the JSON values of this key the same as JavaScript's
  const temperature = json.do_sample
    ? (number("temperature", "temperature", "a number of at least 0", (t) => t >= 0) ?? 1)
    : 0;
  const topK = number(
    "topK",
    "top_k",
    "a whole number of at least 0",
    (k) => Number.isSafeInteger(k) && k >= 0,
  );
  const topP = number("topP", "top_p", "a number of at least 0", (p) => p >= 0);
  const minP = number("minP", "min_p", "in [0, 1]", (p) => p >= 0 && p <= 1);
  if (topP === 0) return { temperature, topK: 1, topP: undefined, minP };
  return { temperature, topK, topP: topP !== undefined && topP >= 1 ? undefined : topP, minP };
}

function readLengths(json: JsonObject, number: Read) {
  const expected = "a number of at least 1";
  const isLength = (length: number) => length >= 1;
  const whole = (length: number | undefined) =>
    length === undefined ? undefined : Math.min(Math.ceil(length), Number.MAX_SAFE_INTEGER);
  if ((json.max_new_tokens ?? undefined) !== undefined)
    return {
      maxNewTokens: whole(number("maxTokens", "max_new_tokens", expected, isLength)),
      maxLength: undefined,
    };
  return { maxNewTokens: undefined, maxLength: whole(number("maxTokens", "max_length", expected, isLength)) };
}

/** Keys of `transformers` with the values that have no effect. */
const WITHOUT_EFFECT: Readonly<Record<string, readonly unknown[]>> = {
  num_beams: [1],
  num_return_sequences: [1],
  no_repeat_ngram_size: [0],
  encoder_repetition_penalty: [1],
  min_length: [0],
  min_new_tokens: [0],
  typical_p: [1],
  top_h: [],
  epsilon_cutoff: [0],
  eta_cutoff: [0],
  penalty_alpha: [0],
  guidance_scale: [1],
  bad_words_ids: [],
  force_words_ids: [],
  sequence_bias: [],
  suppress_tokens: [],
  begin_suppress_tokens: [],
  forced_bos_token_id: [],
  forced_eos_token_id: [],
  exponential_decay_length_penalty: [],
  stop_strings: [],
  watermarking_config: [],
};

/** Keys that greedy decoding ignores. */
const OF_SAMPLING = new Set(["typical_p", "top_h", "epsilon_cutoff", "eta_cutoff"]);

function findUnsupported(json: JsonObject): string[] {
  const hasEffect = ([key, without]: readonly [string, readonly unknown[]]) => {
    const value = json[key] ?? undefined;
    const isEmpty = value === undefined || (Array.isArray(value) && value.length === 0);
    return !isEmpty && !without.includes(value) && (json.do_sample || !OF_SAMPLING.has(key));
  };
  return Object.entries(WITHOUT_EFFECT)
    .filter(hasEffect)
    .map(([key]) => `${key} ${printValue(json[key])}`);
}

/**
 * Reads token ids from a number or a list of numbers; undefined when the value is absent. Drops numbers that cannot be ids.
 * @throws ModelFileError when a value is not a number.
 */
export function parseTokenIds(value: unknown, key: string, fileName: string): readonly number[] | undefined {
  if (value === undefined || value === null) return undefined;
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  if (ids.every((id) => typeof id === "number"))
    return ids.filter((id) => Number.isSafeInteger(id) && id >= 0);
  throw new ModelFileError(
    `reading ${fileName}: ${key} must be a token id or a list of them, got ${printValue(value)}`,
  );
}
