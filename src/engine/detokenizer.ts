import type { DecodeStream, Tokenizer } from "../load/tokenizer.ts";

/** Turns tokens into text as they come. All pieces together are what the tokenizer makes of all tokens. */
export class Detokenizer {
  readonly #stream: DecodeStream;

  constructor(tokenizer: Tokenizer) {
    this.#stream = tokenizer.decodeStream();
  }

  /** The text that is certain after one more token; may be empty. */
  push(tokenId: number): string {
    return this.#stream.push(tokenId);
  }

  /** What is left, broken characters as U+FFFD. The next token begins a new text. */
  flush(): string {
    return this.#stream.end();
  }
}
