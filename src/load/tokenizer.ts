import { Tokenizer as HubTokenizer } from "@huggingface/tokenizers";
import { ModelFileError } from "../base/errors.ts";
import type { JsonObject } from "./json-file.ts";

/** Text to token ids and back. */
export interface Tokenizer {
  /** addSpecialTokens: put in what the tokenizer's post-processor adds (a BOS, say). Default true. */
  encode(text: string, options?: { readonly addSpecialTokens?: boolean }): number[];
  /** Ids without a token (padding of the vocabulary) give no text. skipSpecialTokens: default false. */
  decode(ids: ArrayLike<number>, options?: { readonly skipSpecialTokens?: boolean }): string;
  /** A lower bound of the tokens of a text, from its length alone. */
  minTokens(text: string): number;
  tokenId(token: string): number | undefined;
  token(id: number): string | undefined;
}

/**
 * A tokenizer from the contents of tokenizer.json and tokenizer_config.json.
 * @throws ModelFileError naming the file when the contents make no tokenizer.
 */
export function createTokenizer(tokenizerJson: JsonObject, config: JsonObject, fileName: string): Tokenizer {
  const hub = build(tokenizerJson, config, fileName);
  return {
    encode: (text, options) => {
      const { ids } = hub.encode(text, { add_special_tokens: options?.addSpecialTokens ?? true });
      return ids.filter((id: unknown): id is number => typeof id === "number"); // as in Python, what no token covers is left out
    },
    decode: (ids, options) => {
      const known: number[] = [];
      for (let i = 0; i < ids.length; i++) {
        const id = ids[i];
        if (id !== undefined && hub.id_to_token(id) !== undefined) known.push(id);
      }
      if (known.length === 0) return "";
      return hub.decode(known, { skip_special_tokens: options?.skipSpecialTokens ?? false });
    },
    minTokens: () => 0,
    tokenId: (token) => hub.token_to_id(token),
    token: (id) => hub.id_to_token(id),
  };
}

function build(tokenizerJson: JsonObject, config: JsonObject, fileName: string): HubTokenizer {
  try {
    // the library cleans up white space by default; HF does only where the checkpoint asks for it
    const clean = config.clean_up_tokenization_spaces === true;
    const hub = new HubTokenizer(
      { added_tokens: [], ...tokenizerJson },
      { ...config, clean_up_tokenization_spaces: clean },
    );
    hub.encode("a probe: 1\n");
    const words = [...hub.get_vocab(false).keys()].filter((word) => typeof word === "string");
    if (words.length === 0) throw new Error("the vocabulary is empty");
    return hub;
  } catch (cause) {
    throw new ModelFileError(
      `reading ${fileName}: its contents make no tokenizer (${String(cause)}); download the file again`,
      { cause },
    );
  }
}
