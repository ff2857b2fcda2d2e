import { PageBounds } from "./page-bounds.ts";

/**
 * Counts the holders of each page of the KV pool. The pool has integers alone; the backend stores keys and values.
 * `take` takes the lowest free pages, so that the pages in use stay near the start and the pool can shrink.
 */
export class PagePool {
  readonly pageSize: number;
  /** Validity of the key bounds. A page that `take` returns has none. */
  readonly bounds: PageBounds;
  /** Holders of each page; 0 for a free page. */
  #holders = new Uint32Array(0);
  #numPages = 0;
  #numFree = 0;
  /** A lower limit on the free pages. */
  #lowest = 0;

  constructor(numPages: number, pageSize: number) {
    this.pageSize = pageSize;
    this.bounds = new PageBounds();
    this.resize(numPages);
  }

  get numPages(): number {
    return this.#numPages;
  }

  get numFree(): number {
    return this.#numFree;
  }

  /** Pages that `tokens` tokens fill. */
  pagesFor(tokens: number): number {
    return Math.ceil(tokens / this.pageSize);
  }

  /** Takes pages for one holder, ascending. Returns undefined and takes nothing if fewer are free. */
  take(count: number): readonly number[] | undefined {
    if (count > this.#numFree) return undefined;
    const taken: number[] = [];
    for (let page = this.#lowest; taken.length < count; page++) {
      if (this.#holders[page] !== 0) continue;
      this.#holders[page] = 1;
      this.bounds.forget(page);
      taken.push(page);
      this.#lowest = page + 1;
    }
    this.#numFree -= count;
    return taken;
  }

  /** Adds a holder to each of the first `count` pages. @throws RangeError for a free page */
  retain(pages: readonly number[], count = pages.length): void {
    for (let i = 0; i < count; i++) {
      const page = pages[i] as number;
      this.#checkHeld("retaining", page);
      this.#holders[page] = this.holders(page) + 1;
    }
  }

  /** Releases one hold on each page from index `from`. A page without holders becomes free. @throws RangeError for a free page */
  release(pages: readonly number[], from = 0): void {
    for (let i = from; i < pages.length; i++) {
      const page = pages[i] as number;
      this.#checkHeld("releasing", page);
      const left = this.holders(page) - 1;
      this.#holders[page] = left;
      if (left > 0) continue;
      this.#numFree++;
      if (page < this.#lowest) this.#lowest = page;
    }
  }

  /** Number of holders of a page. @throws RangeError for a page that the pool does not have */
  holders(page: number): number {
    const holders = this.#holders[page];
    if (holders === undefined)
      throw new RangeError(`there is no page ${page}: the KV pool has ${this.#numPages} pages`);
    return holders;
  }

  /** Changes the pool to pages 0 to numPages - 1. @throws RangeError if a sequence holds a page that the pool would lose */
  resize(numPages: number): void {
    for (let page = numPages; page < this.#numPages; page++)
      if (this.#holders[page] !== 0)
        throw new RangeError(
          `shrinking the KV pool from ${this.#numPages} to ${numPages} pages: page ${page} is held`,
        );
    const holders = new Uint32Array(numPages);
    holders.set(this.#holders.subarray(0, Math.min(numPages, this.#numPages)));
    this.#holders = holders;
    this.#numFree += numPages - this.#numPages;
    this.#numPages = numPages;
    this.#lowest = Math.min(this.#lowest, numPages);
    this.bounds.resize(numPages);
  }

  /**
   * Counts the free pages anew. The engine calls it when it is idle.
   * numHeld: expected number of held pages
   * @throws RangeError if the counts differ: a page leaked, or a holder released it twice
   */
  checkIntegrity(numHeld: number): void {
    let free = 0;
    for (const holders of this.#holders) if (holders === 0) free++;
    if (free === this.#numFree && free + numHeld === this.#numPages) return;
    throw new RangeError(
      `the KV pool of ${this.#numPages} pages does not add up: ${free} are free, ${this.#numFree} were counted as free, ` +
        `${numHeld} should be held; a page was leaked or released twice`,
    );
  }

  #checkHeld(doing: string, page: number): void {
    if (!this.#holders[page])
      throw new RangeError(`${doing} page ${page} of ${this.#numPages}: nobody holds it`);
  }
}
