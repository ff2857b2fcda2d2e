import type { Tokenizer } from "../load/tokenizer.ts";

/**
 * Turns tokens into text as they come, whole characters only: bytes of an unfinished character wait for the next token.
 * Decodes a short window behind the new token, so that decoders which treat the start of a text specially stay right.
 */
export class Detokenizer {
  readonly #tokenizer: Tokenizer;
  #window: number[] = [];
  /** Tokens of the window whose text was given out. */
  #given = 0;

  constructor(tokenizer: Tokenizer) {
    this.#tokenizer = tokenizer;
  }

  /** The text that is certain after one more token; may be empty. */
  push(tokenId: number): string {
    this.#window.push(tokenId);
    const text = this.#pending();
    if (text.endsWith("\ufffd")) return "";
    this.#advance();
    return text;
  }

  /** What is left, broken characters as U+FFFD. */
  flush(): string {
    const text = this.#pending();
    this.#window = [];
    this.#given = 0;
    return text;
  }

  #pending(): string {
    const before = this.#tokenizer.decode(this.#window.slice(0, this.#given));
    return this.#tokenizer.decode(this.#window).slice(before.length);
  }

  #advance(): void {
    this.#window = this.#window.slice(this.#given);
    this.#given = this.#window.length;
  }
}
