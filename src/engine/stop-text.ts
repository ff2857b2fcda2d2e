/** The automaton of Knuth, Morris and Pratt for one stop text: amortised O(1) per character. */
class Pattern {
  readonly #text: string;
  /** [length]: length of the longest proper prefix of the text that also ends its first i + 1 characters. */
  readonly #border: Uint32Array;
  /** Length of the longest prefix of the pattern that ends the stream. */
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

  /** Takes a character; returns true if it completes the pattern. */
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
 * Finds the first stop text in a stream. A match must contain a character that counts, i.e. of the answer or of a
 * reasoning marker, so that stop texts do not end the reasoning. The result is independent of the stream's chunks.
 */
export class StopText {
  readonly #patterns: readonly Pattern[];
  /** Characters of the stream so far. */
  #length = 0;
  /** One past the last character that counts. */
  #endOfCounting = 0;
  /** False while stop texts pass unnoticed. */
  isArmed = true;
  /** Start of the stop text found, in characters of the stream. */
  foundAt: number | undefined;

  constructor(stops: readonly string[]) {
    this.#patterns = stops.map((stop) => new Pattern(stop));
  }

  /** Takes text; `counts` holds for all of its characters. Stops searching after the first stop text. */
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
      if (!this.isArmed) continue;
      const starts = ends.map(({ length }) => this.#length - length).filter((at) => at < this.#endOfCounting);
      if (starts.length === 0) continue;
      this.foundAt = Math.min(...starts);
      return;
    }
  }

  /** Number of characters from the start of the stream that cannot be part of a stop text. */
  get safeLength(): number {
    if (this.foundAt !== undefined) return this.foundAt;
    return this.#length - this.#patterns.reduce((held, { matched }) => Math.max(held, matched), 0);
  }
}
