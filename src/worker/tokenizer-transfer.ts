/** A tokenizer for a second thread. Its methods answer at once, so that each thread makes its own from the same contents. */
import type { Tokenizer } from "../load/tokenizer.ts";
import { type TokenizerSource, tokenizerOf } from "../load/tokenizer-source.ts";

type HuggingFaceSource = Extract<TokenizerSource, { readonly form: "hugging-face" }>;

/** A source of a tokenizer as data. JSON goes as UTF-8 bytes, which cost the receiver nothing until it makes the tokenizer. */
export type SentTokenizer =
  | Exclude<TokenizerSource, HuggingFaceSource>
  | { readonly form: "json"; readonly bytes: Uint8Array<ArrayBuffer> };

export function encodeTokenizer(source: TokenizerSource): SentTokenizer {
  if (source.form !== "hugging-face") return source;
  return { form: "json", bytes: new TextEncoder().encode(JSON.stringify(source)) };
}

/** Makes the tokenizer at the first use of it: a large vocabulary takes tenths of a second. */
export function lazyTokenizer(sent: SentTokenizer): Tokenizer {
  let source = sent;
  let made: Tokenizer | undefined;
  const tokenizer = (): Tokenizer => {
    if (made) return made;
    made = tokenizerOf(decode(source));
    source = { form: "none", name: "" }; // the contents are not needed again
    return made;
  };
  return {
    encode: (text, options) => tokenizer().encode(text, options),
    decode: (ids, options) => tokenizer().decode(ids, options),
    decodeStream: (options) => tokenizer().decodeStream(options),
    minTokens: (text) => tokenizer().minTokens(text),
    tokenId: (token) => tokenizer().tokenId(token),
    token: (id) => tokenizer().token(id),
  };
}

function decode(sent: SentTokenizer): TokenizerSource {
  if (sent.form !== "json") return sent;
  return JSON.parse(new TextDecoder().decode(sent.bytes)) as HuggingFaceSource;
}
