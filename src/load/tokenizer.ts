import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { ModelFileError } from "../base/errors.ts";
import type { JsonObject } from "./json-file.ts";

/** Text to token ids and back. */
export interface Tokenizer {
  /** addSpecialTokens: put in what the tokenizer's post-processor adds (a BOS, say). Default true. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** skipSpecialTokens: leave special tokens out. Default false. */
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
  tokenId(token: string): number | undefined;
  token(id: number): string | undefined;
}

/**
 * A tokenizer from the contents of tokenizer.json and tokenizer_config.json.
 * @throws ModelFileError naming the file when the contents make no tokenizer.
 */
export function createTokenizer(tokenizerJson: JsonObject, config: JsonObject, fileName: string): Tokenizer {
  let hub: HubTokenizer;
  try {
    // byte-level decoders give the text back exactly; white space is cleaned up only where the checkpoint asks for it
    hub = new HubTokenizer(tokenizerJson, { clean_up_tokenization_spaces: false, ...config });
    hub.encode("probe");
  } catch (cause) {
    throw new ModelFileError(
      `reading ${fileName}: its contents make no tokenizer (${String(cause)}); download the file again`,
      { cause },
    );
  }
  return {
    encode: (text, options) =>
      text === "" && options?.addSpecialTokens === false
        ? []
        : hub.encode(text, { add_special_tokens: options?.addSpecialTokens ?? true }).ids,
    decode: (ids, options) =>
      ids.length === 0
        ? ""
        : hub.decode(Array.from(ids), { skip_special_tokens: options?.skipSpecialTokens ?? false }),
    tokenId: (token) => hub.token_to_id(token),
    token: (id) => hub.id_to_token(id),
  };
}
