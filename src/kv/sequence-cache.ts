import type { PagePool } from "./page-pool.ts";

/**
 * The cached keys and values of one sequence: its pages in order of positions, and one cursor. Full pages may be shared
 * with forks; a page that is written to is held by one sequence alone.
 */
export class SequenceCache {
  readonly #pool: PagePool;
  readonly #pages: number[] = [];
  #length = 0;
  /** Per-page data are known to be valid up to here; a multiple of the page size. */
  #covered = 0;

  constructor(pool: PagePool) {
    this.#pool = pool;
  }

  /** Pages in order of positions. May be more than `length` needs: some are reserved. */
  get pages(): readonly number[] {
    return this.#pages;
  }

  /** Cached tokens; the next one goes to this position. */
  get length(): number {
    return this.#length;
  }

  /** Tokens that the pages hold room for. */
  get capacity(): number {
    return this.#pages.length * this.#pool.pageSize;
  }

  /** Pages that it lacks for `tokens` tokens in all. */
  missingPages(tokens: number): number {
    return Math.max(0, this.#pool.pagesFor(tokens) - this.#pages.length);
  }

  /** Makes room for `tokens` tokens in all. False where the pool lacks the pages; nothing is taken then. */
  reserve(tokens: number): boolean {
    if (tokens <= this.capacity) return true;
    const taken = this.#pool.take(this.missingPages(tokens));
    if (!taken) return false;
    for (const page of taken) this.#pages.push(page);
    return true;
  }

  /** Adds `tokens` tokens, whose keys and values the caller writes. False where the pool lacks pages; nothing changes then. */
  grow(tokens: number): boolean {
    if (!this.reserve(this.#length + tokens)) return false;
    this.#length += tokens;
    return true;
  }

  /**
   * Keeps the first `length` tokens and releases the pages past them. A last page that forks share is released, too, as
   * the next token would be written into it: `length` is then at its start, and the tokens past that are to be computed
   * again.
   * @throws RangeError where fewer are cached.
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
    this.#covered = Math.min(this.#covered, last * pageSize);
  }

  /**
   * A sequence that shares the full pages of this one. Its `length` is where they end: the tokens of a last page in part
   * are to be computed again, into a page of its own, so that no page is copied and no shared page is written to.
   */
  fork(): SequenceCache {
    const fork = new SequenceCache(this.#pool);
    const full = Math.floor(this.#length / this.#pool.pageSize);
    this.#pool.retain(this.#pages, full);
    for (let i = 0; i < full; i++) fork.#pages.push(this.#pages[i] as number);
    fork.#length = full * this.#pool.pageSize;
    fork.#covered = Math.min(this.#covered, fork.#length);
    return fork;
  }

  /** Gives all pages back. Calling it twice is allowed. */
  release(): void {
    this.#pool.release(this.#pages);
    this.#pages.length = 0;
    this.#length = 0;
    this.#covered = 0;
  }

  /** First position whose page's data (Quest's key bounds) do not cover it; `length` where all do. */
  get boundsEnd(): number {
    const { pageSize, bounds } = this.#pool;
    while (this.#covered + pageSize <= this.#length) {
      const valid = bounds.valid(this.#pages[this.#covered / pageSize] as number);
      if (valid < pageSize) return this.#covered + valid;
      this.#covered += pageSize;
    }
    if (this.#covered === this.#length) return this.#length;
    const valid = bounds.valid(this.#pages[this.#covered / pageSize] as number);
    return Math.min(this.#length, this.#covered + valid);
  }

  /** Records that the data of the pages from position `from` on were brought up to date. from: of `boundsEnd` */
  coverBounds(from: number): void {
    const { pageSize, bounds } = this.#pool;
    for (let i = Math.floor(from / pageSize); i * pageSize < this.#length; i++)
      bounds.cover(this.#pages[i] as number, Math.min(pageSize, this.#length - i * pageSize));
  }
}
