import type { PageBounds } from "./page-bounds.ts";
import type { PagePool } from "./page-pool.ts";

/**
 * The cached keys and values of one sequence: its pages in order of positions, and one cursor. Forks may share full pages;
 * the page that a sequence writes to has one holder.
 */
export class SequenceCache {
  readonly #pool: PagePool;
  readonly #pages: number[] = [];
  #length = 0;
  /** Lower limits on the first positions without data, so that a search starts there; multiples of the page size. */
  readonly #validFrom = new Map<PageBounds, number>();

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
   * Continues after pages that hold its next tokens already: retains them, and releases the reserved pages that they replace.
   * The length is a multiple of the page size.
   * pages: all pages of the sequence up to the new length, its own first
   */
  adopt(pages: readonly number[]): void {
    const { pageSize } = this.#pool;
    const first = this.#length / pageSize;
    const adopted = pages.slice(first);
    const replaced = this.#pages.slice(first, pages.length);
    this.#pool.retain(adopted);
    this.#pool.release(replaced);
    for (let i = 0; i < adopted.length; i++) this.#pages[first + i] = adopted[i] as number;
    this.#length = pages.length * pageSize;
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
    const isShared = isCut && page !== undefined && this.#pool.isShared(page);
    const kept = isCut && !isShared ? last + 1 : last;
    this.#pool.release(this.#pages, kept);
    this.#pages.length = kept;
    if (kept > last && page !== undefined && bounds.valid(page) > length % pageSize) bounds.forget(page);
    if (kept > last && page !== undefined) this.#pool.forgetData(page);
    this.#length = isShared ? last * pageSize : length;
    for (const [data, from] of this.#validFrom) this.#validFrom.set(data, Math.min(from, last * pageSize));
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
    for (const [data, from] of this.#validFrom) fork.#validFrom.set(data, Math.min(from, fork.#length));
    return fork;
  }

  /** Releases all pages. Calling it twice is allowed. */
  release(): void {
    this.#pool.release(this.#pages);
    this.#pages.length = 0;
    this.#length = 0;
    this.#validFrom.clear();
  }

  /**
   * True if an owner's data cover the first `length` tokens. Every step extends them from the first token on, and a page that is
   * full keeps its tokens, so that the last page decides.
   */
  hasData(owner: object, length: number): boolean {
    if (length === 0) return true;
    const { pageSize } = this.#pool;
    const last = Math.ceil(length / pageSize) - 1;
    return this.#pool.dataOf(owner).valid(this.#pages[last] as number) === length - last * pageSize;
  }

  /** Records that an owner's data cover the cached tokens, those from position `from` on since now. */
  markData(owner: object, from: number): void {
    const { pageSize } = this.#pool;
    const data = this.#pool.dataOf(owner);
    for (let i = Math.floor(from / pageSize); i * pageSize < this.#length; i++)
      data.markValid(this.#pages[i] as number, Math.min(pageSize, this.#length - i * pageSize));
  }

  /** First position without valid key bounds; `length` if all positions have them. */
  get validBounds(): number {
    return this.#firstInvalid(this.#pool.bounds);
  }

  /** First position that an owner's data do not cover; `length` if they cover all. */
  validData(owner: object): number {
    return this.#firstInvalid(this.#pool.dataOf(owner));
  }

  #firstInvalid(data: PageBounds): number {
    const { pageSize } = this.#pool;
    const known = this.#validFrom.get(data) ?? 0;
    let from = known;
    let valid = 0;
    for (; from < this.#length; from += pageSize) {
      valid = data.valid(this.#pages[from / pageSize] as number);
      if (valid < pageSize) break;
    }
    if (from !== known) this.#validFrom.set(data, from);
    return from >= this.#length ? this.#length : Math.min(this.#length, from + valid);
  }

  /** Records that the backend updated the key bounds from position `from` to the end. from: of `validBounds` */
  markBoundsValid(from: number): void {
    const { pageSize, bounds } = this.#pool;
    for (let i = Math.floor(from / pageSize); i * pageSize < this.#length; i++)
      bounds.markValid(this.#pages[i] as number, Math.min(pageSize, this.#length - i * pageSize));
  }
}
