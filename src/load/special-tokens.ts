import { isObject } from "../base/is-object.ts";
import type { JsonObject } from "./json-file.ts";

/** Special tokens that transformers knows by name. */
const NAMES = ["bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token"];

/**
 * Returns the special tokens that a chat template sees as variables, as transformers does: the known names, other keys of
 * tokenizer_config.json that end in `_token`, and the entries of `extra_special_tokens` if it is an object.
 * special_tokens_map.json overrides the config only when the config has no `added_tokens_decoder`.
 */
export function templateTokens(
  config: JsonObject,
  specialTokensMap: JsonObject,
): ReadonlyMap<string, string> {
  const isLegacy = config.added_tokens_decoder === undefined;
  const merged: JsonObject = isLegacy ? { ...config, ...specialTokensMap } : config;
  const tokens = new Map<string, string>();
  const put = (key: string, value: unknown) => {
    const text = tokenText(value);
    if (text === undefined) tokens.delete(key);
    else tokens.set(key, text);
  };
  for (const key of NAMES) put(key, merged[key]);
  for (const [key, value] of Object.entries(merged))
    if (key.endsWith("_token") && !NAMES.includes(key)) put(key, value);
  const extra = merged.extra_special_tokens ?? merged.additional_special_tokens;
  for (const [key, value] of isObject(extra) ? Object.entries(extra) : []) put(key, value);
  return tokens;
}

/** Reads a special token, which files write as a text or as an object with `content`. */
export function tokenText(value: unknown): string | undefined {
  if (typeof value === "string") return value;
  return isObject(value) && typeof value.content === "string" ? value.content : undefined;
}
