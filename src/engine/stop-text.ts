/** One stop text while it is looked for: Knuth, Morris and Pratt's automaton, so that each character costs O(1). */
class Pattern {
  readonly #text: string;
  /** [length]: the longest proper beginning of the text that is also an end of its first i + 1 characters. */
  readonly #border: Uint32Array;
  /** Characters of the pattern that the text so far ends with. */
  matched = 0;

  constructor(text: string) {
    this.#text = text;
    this.#border = new Uint32Array(text.length);
    for (let i = 1, length = 0; i < text.length; ) {
      if (text[i] === text[length]) this.#border[i++] = ++length;
      else if (length > 0) length = this.#border[length - 1];
      else i++;
    }
  }

  get length(): number {
    return this.#text.length;
  }

  /** Takes one character; true when it completes the pattern. */
  push(character: string): boolean {
    while (this.matched > 0 && this.#text[this.matched] !== character)
      this.matched = this.#border[this.matched - 1];
    if (this.#text[this.matched] === character) this.matched++;
    if (this.matched < this.#text.length) return false;
    this.matched = this.#border[this.matched - 1];
    return true;
  }
}

/**
 * Finds the first stop text in a stream. A match counts only where it holds at least one character that counts: stop
 * texts end the answer or match a thinking marker; they do not end the reasoning.
 * What comes out does not depend on how the stream is cut into pieces.
 */
export class StopText {
  readonly #patterns: readonly Pattern[];
  /** Characters taken in. */
  #length = 0;
  /** One past the last character that counts. */
  #endOfCounting = 0;
  /** Where the stop text that was found begins, in characters of the stream. */
  foundAt: number | undefined;

  constructor(stops: readonly string[]) {
    this.#patterns = stops.map((stop) => new Pattern(stop));
  }

  /** Takes a piece whose characters all count, or do not. Nothing more is looked for once a stop text was found. */
  push(text: string, counts: boolean): void {
    if (this.#patterns.length === 0 || this.foundAt !== undefined) {
      this.#length += text.length;
      return;
    }
    for (let i = 0; i < text.length; i++) {
      this.#length++;
      if (counts) this.#endOfCounting = this.#length;
      const character = text.charAt(i);
      const ends = this.#patterns.filter((pattern) => pattern.push(character));
      const starts = ends.map(({ length }) => this.#length - length).filter((at) => at < this.#endOfCounting);
      if (starts.length === 0) continue;
      this.foundAt = Math.min(...starts);
      return;
    }
  }

  /** Characters of the stream, from its start, that are certainly before any stop text. */
  get safeLength(): number {
    if (this.foundAt !== undefined) return this.foundAt;
    return this.#length - this.#patterns.reduce((held, { matched }) => Math.max(held, matched), 0);
  }
}
