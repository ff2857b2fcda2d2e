/**
 * Knows up to which token the per-page data of each page (Quest's key bounds) are valid. The data themselves are the
 * backend's. They cover the first n tokens of a page: they are extended as tokens are added, and cannot be cut back.
 */
export class PageBounds {
  /** Tokens of each page that its data cover. */
  #valid = new Uint16Array(0);

  /** Tokens at the start of the page that its data cover. */
  valid(page: number): number {
    return this.#valid[page] ?? 0;
  }

  /** Records that the data of a page cover its first `tokens` tokens. */
  cover(page: number, tokens: number): void {
    this.#valid[page] = tokens;
  }

  /** The page's tokens are no longer those that its data cover. */
  forget(page: number): void {
    this.#valid[page] = 0;
  }

  /** Called by the pool when it changes its size. */
  resize(numPages: number): void {
    const valid = new Uint16Array(numPages);
    valid.set(this.#valid.subarray(0, Math.min(numPages, this.#valid.length)));
    this.#valid = valid;
  }
}
