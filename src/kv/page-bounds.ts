/**
 * Knows up to which token the per-page data of each page (Quest's key bounds) are valid. The data themselves are the
 * backend's. They cover the first n tokens of a page: they are extended as tokens are added, and cannot be cut back.
 */
export class PageBounds {
  /** Tokens of each page that its data cover. */
  #valid = new Uint32Array(0);

  /** Tokens at the start of the page that its data cover. @throws RangeError for a page that the pool does not have */
  valid(page: number): number {
    const tokens = this.#valid[page];
    if (tokens === undefined) throw this.#unknown(page);
    return tokens;
  }

  /** Records that the data of a page cover its first `tokens` tokens. @throws RangeError for a page that the pool does not have */
  cover(page: number, tokens: number): void {
    if (page >= this.#valid.length) throw this.#unknown(page);
    this.#valid[page] = tokens;
  }

  /** The page's tokens are no longer those that its data cover. @throws RangeError for a page that the pool does not have */
  forget(page: number): void {
    this.cover(page, 0);
  }

  #unknown(page: number): RangeError {
    return new RangeError(`page bounds: there is no page ${page}, the KV pool has ${this.#valid.length}`);
  }

  /** Called by the pool when it changes its size. */
  resize(numPages: number): void {
    const valid = new Uint32Array(numPages);
    valid.set(this.#valid.subarray(0, Math.min(numPages, this.#valid.length)));
    this.#valid = valid;
  }
}
