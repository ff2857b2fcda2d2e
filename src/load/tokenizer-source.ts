import { ModelFileError } from "../base/errors.ts";
import { createGgufTokenizer, type GgufMetadata } from "./gguf/tokenizer.ts";
import type { JsonObject } from "./json-file.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";

/** The contents of the files from which a checkpoint's tokenizer was made. They are data, so that another thread can make it again. */
export type TokenizerSource =
  | {
      readonly form: "hugging-face";
      readonly tokenizerJson: JsonObject;
      readonly config: JsonObject;
      readonly fileName: string;
    }
  | { readonly form: "gguf"; readonly metadata: GgufMetadata; readonly fileName: string }
  /** The checkpoint has no tokenizer. */
  | { readonly form: "none"; readonly name: string };

/** Makes the tokenizer of a source. @throws ModelFileError */
export function tokenizerOf(source: TokenizerSource): Tokenizer {
  switch (source.form) {
    case "hugging-face":
      return createTokenizer(source.tokenizerJson, source.config, source.fileName);
    case "gguf":
      return createGgufTokenizer(source.metadata, source.fileName).tokenizer ?? noTokenizer(source.fileName);
    case "none":
      return noTokenizer(source.name);
  }
}

/** Keeps the keys of a GGUF file that its tokenizer reads. */
export function tokenizerMetadata(metadata: GgufMetadata): GgufMetadata {
  return new Map(
    [...metadata].filter(([key]) => key.startsWith("tokenizer.") || key === "general.architecture"),
  );
}

/** Refuses text. A checkpoint without a tokenizer still runs on token ids. */
export function noTokenizer(name: string): Tokenizer {
  const refuse = () => {
    throw new ModelFileError(`${name} has no tokenizer.json; give tokenIds instead of text`);
  };
  return {
    encode: refuse,
    decode: () => "",
    decodeStream: () => ({ push: () => "", end: () => "" }),
    minTokens: () => 0,
    tokenId: () => undefined,
    token: () => undefined,
  };
}
