/**
 * Tracks how many tokens of each page have valid key bounds; the backend stores the bounds themselves. The bounds of a page
 * cover its first n tokens: each step extends them, and nothing can cut them back.
 */
export class PageBounds {
  /** Tokens at the start of each page with valid key bounds. */
  #valid = new Uint32Array(0);

  /** Tokens at the start of a page with valid key bounds. @throws RangeError for a page that the pool does not have */
  valid(page: number): number {
    const tokens = this.#valid[page];
    if (tokens === undefined) throw this.#unknown(page);
    return tokens;
  }

  /** Records `tokens` tokens with valid key bounds in a page. @throws RangeError for a page that the pool does not have */
  markValid(page: number, tokens: number): void {
    if (page >= this.#valid.length) throw this.#unknown(page);
    this.#valid[page] = tokens;
  }

  /** Invalidates the key bounds of a page, whose tokens change. @throws RangeError for a page that the pool does not have */
  forget(page: number): void {
    this.markValid(page, 0);
  }

  #unknown(page: number): RangeError {
    return new RangeError(`key bounds: there is no page ${page}, the KV pool has ${this.#valid.length}`);
  }

  /** Follows a change of the pool's size. */
  resize(numPages: number): void {
    const valid = new Uint32Array(numPages);
    valid.set(this.#valid.subarray(0, Math.min(numPages, this.#valid.length)));
    this.#valid = valid;
  }
}
