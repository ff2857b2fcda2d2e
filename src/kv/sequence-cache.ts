import type { PagePool } from "./page-pool.ts";

/**
 * The cached keys and values of one sequence: its pages in order of positions, and one cursor. Forks may share full pages;
 * the page that a sequence writes to has one holder.
 */
export class SequenceCache {
  readonly #pool: PagePool;
  readonly #pages: number[] = [];
  #length = 0;
  /** A lower limit on `validBounds`, so that the search for it starts here; a multiple of the page size. */
  #validFrom = 0;

  constructor(pool: PagePool) {
    this.#pool = pool;
  }

  /** Pages in order of positions, reserved ones included. */
  get pages(): readonly number[] {
    return this.#pages;
  }

  /** Cached tokens, and the position of the next one. */
  get length(): number {
    return this.#length;
  }

  /** Maximum tokens in the pages. */
  get capacity(): number {
    return this.#pages.length * this.#pool.pageSize;
  }

  /** Returns the number of pages that a length of `tokens` tokens lacks. */
  missingPages(tokens: number): number {
    return Math.max(0, this.#pool.pagesFor(tokens) - this.#pages.length);
  }

  /** Takes pages for a length of `tokens` tokens. Returns false and takes nothing if the pool lacks them. */
  reserve(tokens: number): boolean {
    if (tokens <= this.capacity) return true;
    const taken = this.#pool.take(this.missingPages(tokens));
    if (!taken) return false;
    for (const page of taken) this.#pages.push(page);
    return true;
  }

  /** Adds `tokens` tokens, whose keys and values the caller writes. Returns false and changes nothing if the pool lacks pages. */
  grow(tokens: number): boolean {
    if (!this.reserve(this.#length + tokens)) return false;
    this.#length += tokens;
    return true;
  }

  /**
   * Keeps the first `length` tokens and releases the pages past them. If forks share the page that contains the cut, the
   * sequence releases it and ends at its start, because it must not write to a shared page. The caller computes the lost tokens
   * again.
   * @throws RangeError if fewer tokens are cached
   */
  truncate(length: number): void {
    if (!(length >= 0 && length <= this.#length))
      throw new RangeError(`truncating a sequence of ${this.#length} cached tokens to ${length}`);
    const { pageSize, bounds } = this.#pool;
    const isCut = length % pageSize !== 0;
    const last = Math.floor(length / pageSize);
    const page = this.#pages[last];
    const isShared = isCut && page !== undefined && this.#pool.holders(page) > 1;
    const kept = isCut && !isShared ? last + 1 : last;
    this.#pool.release(this.#pages, kept);
    this.#pages.length = kept;
    if (kept > last && page !== undefined && bounds.valid(page) > length % pageSize) bounds.forget(page);
    this.#length = isShared ? last * pageSize : length;
    this.#validFrom = Math.min(this.#validFrom, last * pageSize);
  }

  /**
   * Returns a sequence that shares this one's full pages and ends after them. The caller computes the remaining tokens again.
   * So the pool copies no page, and no sequence writes to a shared one.
   */
  fork(): SequenceCache {
    const fork = new SequenceCache(this.#pool);
    const full = Math.floor(this.#length / this.#pool.pageSize);
    this.#pool.retain(this.#pages, full);
    for (let i = 0; i < full; i++) fork.#pages.push(this.#pages[i] as number);
    fork.#length = full * this.#pool.pageSize;
    fork.#validFrom = Math.min(this.#validFrom, fork.#length);
    return fork;
  }

  /** Releases all pages. Calling it twice is allowed. */
  release(): void {
    this.#pool.release(this.#pages);
    this.#pages.length = 0;
    this.#length = 0;
    this.#validFrom = 0;
  }

  /** First position without valid key bounds; `length` if all positions have them. */
  get validBounds(): number {
    const { pageSize, bounds } = this.#pool;
    while (this.#validFrom + pageSize <= this.#length) {
      const valid = bounds.valid(this.#pages[this.#validFrom / pageSize] as number);
      if (valid < pageSize) return this.#validFrom + valid;
      this.#validFrom += pageSize;
    }
    if (this.#validFrom === this.#length) return this.#length;
    const valid = bounds.valid(this.#pages[this.#validFrom / pageSize] as number);
    return Math.min(this.#length, this.#validFrom + valid);
  }

  /** Records that the backend updated the key bounds from position `from` to the end. from: of `validBounds` */
  markBoundsValid(from: number): void {
    const { pageSize, bounds } = this.#pool;
    for (let i = Math.floor(from / pageSize); i * pageSize < this.#length; i++)
      bounds.markValid(this.#pages[i] as number, Math.min(pageSize, this.#length - i * pageSize));
  }
}
