import { ModelFileError } from "../base/errors.ts";
import { type JsonObject, showValue } from "./json-file.ts";

/** What a checkpoint recommends for generation; undefined where it says nothing. */
export interface GenerationConfig {
  readonly eosTokenIds: readonly number[] | undefined;
  /** 0 unless the checkpoint asks for sampling. */
  readonly temperature: number;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  readonly maxNewTokens: number | undefined;
  /** Our own key `sparse_attention`: the attention spec that suits the model. */
  readonly attention: string | undefined;
}

/**
 * Reads generation_config.json. As in `transformers`, decoding is greedy unless `do_sample` is true, and the
 * temperature is 1 where a sampling checkpoint names none. Departure: a missing top_k keeps all tokens, not 50.
 * @throws ModelFileError naming the file, the key and the value.
 */
export function parseGenerationConfig(json: JsonObject, fileName: string): GenerationConfig {
  const fail = (key: string, expected: string) =>
    new ModelFileError(`reading ${fileName}: ${key} must be ${expected}, got ${showValue(json[key])}`);
  const number = (key: string, expected: string, isValid: (value: number) => boolean) => {
    const value = json[key] ?? undefined;
    if (value === undefined) return undefined;
    if (typeof value !== "number" || !Number.isFinite(value) || !isValid(value)) throw fail(key, expected);
    return value;
  };
  const doSample = json.do_sample ?? false;
  if (typeof doSample !== "boolean") throw fail("do_sample", "true or false");
  const attention = json.sparse_attention ?? undefined;
  if (attention !== undefined && typeof attention !== "string")
    throw fail("sparse_attention", "an attention spec");
  const temperature = number("temperature", "a number of at least 0", (t) => t >= 0) ?? 1;
  const topK = number("top_k", "a whole number of at least 0", (k) => Number.isSafeInteger(k) && k >= 0);
  const topP = number("top_p", "in (0, 1]", (p) => p > 0 && p <= 1);
  const minP = number("min_p", "in [0, 1]", (p) => p >= 0 && p <= 1);
  return {
    eosTokenIds: parseTokenIds(json.eos_token_id, "eos_token_id", fileName),
    temperature: doSample ? temperature : 0,
    topK: doSample ? topK : undefined,
    topP: doSample ? topP : undefined,
    minP: doSample ? minP : undefined,
    repetitionPenalty: number("repetition_penalty", "a number above 0", (r) => r > 0),
    maxNewTokens: number(
      "max_new_tokens",
      "a whole number of at least 1",
      (n) => Number.isSafeInteger(n) && n > 0,
    ),
    attention,
  };
}

/** Token ids given as one number or a list; undefined where there is none. @throws ModelFileError */
export function parseTokenIds(value: unknown, key: string, fileName: string): readonly number[] | undefined {
  if (value === undefined || value === null) return undefined;
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  const isId = (id: unknown): id is number => typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
  if (ids.every(isId)) return ids;
  throw new ModelFileError(
    `reading ${fileName}: ${key} must be a token id or a list of them, got ${showValue(value)}`,
  );
}
