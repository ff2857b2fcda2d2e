import { ModelFileError } from "../base/errors.ts";
import type { JsonObject } from "./json-file.ts";

/** What a checkpoint recommends for generation. */
export interface GenerationConfig {
  readonly eosTokenIds: readonly number[] | undefined;
  readonly temperature: number | undefined;
  readonly topK: number | undefined;
  readonly topP: number | undefined;
  readonly minP: number | undefined;
  readonly repetitionPenalty: number | undefined;
  /** Our own key `sparse_attention`: the attention spec that suits the model. */
  readonly attention: string | undefined;
}

/**
 * Reads generation_config.json. As in `transformers`, sampling is greedy unless `do_sample` is true.
 * @throws ModelFileError naming the file and the value.
 */
export function parseGenerationConfig(json: JsonObject, fileName: string): GenerationConfig {
  const number = (key: string, isValid: (value: number) => boolean) => {
    const value = json[key];
    if (value === undefined || value === null) return undefined;
    if (typeof value !== "number" || !isValid(value))
      throw new ModelFileError(`reading ${fileName}: ${key} is ${JSON.stringify(value)}, which cannot be`);
    return value;
  };
  const attention = json.sparse_attention;
  if (attention !== undefined && typeof attention !== "string")
    throw new ModelFileError(`reading ${fileName}: sparse_attention must be an attention spec, got ${JSON.stringify(attention)}`);
  const samples = json.do_sample === true;
  const temperature = number("temperature", (t) => t >= 0);
  return {
    eosTokenIds: parseTokenIds(json.eos_token_id, "eos_token_id", fileName),
    temperature: samples ? (temperature ?? 1) : 0,
    topK: samples ? number("top_k", (k) => Number.isSafeInteger(k) && k >= 0) : undefined,
    topP: samples ? number("top_p", (p) => p > 0 && p <= 1) : undefined,
    minP: samples ? number("min_p", (p) => p >= 0 && p <= 1) : undefined,
    repetitionPenalty: number("repetition_penalty", (r) => r > 0),
    attention,
  };
}

/** Token ids given as one number or a list; undefined where there is none. */
export function parseTokenIds(value: unknown, key: string, fileName: string): readonly number[] | undefined {
  if (value === undefined || value === null) return undefined;
  const ids: unknown[] = Array.isArray(value) ? value : [value];
  const isId = (id: unknown): id is number => typeof id === "number" && Number.isSafeInteger(id) && id >= 0;
  if (!ids.every(isId))
    throw new ModelFileError(`reading ${fileName}: ${key} must be a token id or a list of them, got ${JSON.stringify(value)}`);
  return ids;
}
