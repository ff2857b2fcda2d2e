import type { DecodeStream, Tokenizer } from "../load/tokenizer.ts";

/** Decodes tokens one by one. All texts join to the tokenizer's decoding of all tokens. */
export class Detokenizer {
  readonly #stream: DecodeStream;

  constructor(tokenizer: Tokenizer) {
    this.#stream = tokenizer.decodeStream();
  }

  /** Takes a token and returns the text that no later token can change; may be empty. */
  push(tokenId: number): string {
    return this.#stream.push(tokenId);
  }

  /** Returns the text held back, with broken characters as U+FFFD. The next token begins a new text. */
  flush(): string {
    return this.#stream.end();
  }
}
