import { ModelFileError } from "../base/errors.ts";
import { printValue } from "../base/print-value.ts";
import type { JsonObject } from "./json-file.ts";

/** The values of a request that a checkpoint may recommend, by their names there. */
export type RecommendedName = "temperature" | "topK" | "topP" | "minP" | "repetitionPenalty" | "maxTokens";

/** What a checkpoint recommends for generation; undefined where it says nothing. */
export interface GenerationConfig {
  /** Ids that no token can have are left out: as in `transformers`, nothing ever matches them. */
  readonly eosTokenIds: readonly number[] | undefined;
  /** 0 unless the checkpoint asks for sampling. */
  readonly temperature: number;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  /** Tokens of an answer; where it is set, `maxLength` is undefined. */
  readonly maxNewTokens: number | undefined;
  /** Tokens of prompt and answer together. A prompt that is as long is refused, as `transformers` refuses it. */
  readonly maxLength: number | undefined;
  /** Our own key `sparse_attention`: the attention spec that suits the model. */
  readonly attention: string | undefined;
  /** Values that cannot be, each as the error for a request that leaves the value open. */
  readonly problems: ReadonlyMap<RecommendedName, ModelFileError>;
  /** Keys that would change what `transformers` generates and that the engine does not follow, with their values. */
  readonly unsupported: readonly string[];
}

/**
 * Reads generation_config.json as `transformers` 5.24 uses it. Decoding is greedy unless `do_sample` is true, and a greedy
 * request looks at no value of sampling; the temperature is 1 where a sampling checkpoint names none; a top_p of 0 keeps the
 * best token, one of 1 or more keeps all; max_new_tokens counts before max_length; keys it does not know are passed over.
 * Where `transformers` refuses to generate with a value, so do requests that leave it to the checkpoint.
 * Departures: a missing top_k keeps all tokens, not 50; without a length an answer may fill the context, not 20 tokens;
 * a temperature of 0 beside do_sample is greedy, not an error.
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

/** Characters of an attention spec, which stands in messages whole. */
const MAX_SPEC_LENGTH = 500;

type Read = (
  name: RecommendedName,
  key: string,
  expected: string,
  isValid: (value: number) => boolean,
) => number | undefined;

function readSampling(json: JsonObject, number: Read) {
  // Python's truth, which for JSON's values of this key is ours
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

/** Keys of `transformers` with the values at which they do nothing. */
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

/** Keys that greedy decoding passes over. */
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
 * Token ids given as one number or a list; undefined where there is none. Numbers that are no id are left out.
 * @throws ModelFileError on what is no number.
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
