import { PageBounds } from "./page-bounds.ts";
import { PageList } from "./page-list.ts";

/** Keeps pages after their last holder. */
export interface PageKeeper {
  /** Discards a page, with others perhaps: the pool needs it, or loses it. */
  evict(page: number): void;
}

/** Numbers of pages, which add up. */
export interface PageCounts {
  readonly free: number;
  /** Pages that sequences hold. */
  readonly held: number;
  /** Pages that the keeper keeps and nobody holds. */
  readonly cached: number;
  readonly total: number;
}

/**
 * Counts the holders of each page of the KV pool. The pool has integers alone; the backend stores keys and values.
 * A page is free, held by sequences, or cached: kept by the keeper while nobody holds it. `take` takes the lowest free pages, so that
 * the pages in use stay near the start and the pool can shrink; then the cached pages that were released first.
 */
export class PagePool {
  readonly pageSize: number;
  /** Validity of the key bounds. A page that `take` returns has none. */
  readonly bounds: PageBounds;
  /** Validity of other data of pages, by owner. */
  readonly #data = new Map<object, PageBounds>();
  /** Holders of each page; 0 for a free page. */
  #holders = new Uint32Array(0);
  /** 1 for a page that the keeper keeps. */
  #kept = new Uint8Array(0);
  /** Kept pages that nobody holds, by their last release. */
  readonly #cached = new PageList();
  #keeper: PageKeeper | undefined;
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

  /** Kept pages that nobody holds. */
  get numCached(): number {
    return this.#cached.length;
  }

  /** Pages that `take` can take. */
  get numAvailable(): number {
    return this.#numFree + this.#cached.length;
  }

  get counts(): PageCounts {
    const [free, cached, total] = [this.#numFree, this.#cached.length, this.#numPages];
    return { free, held: total - free - cached, cached, total };
  }

  /** Pages up to the last one that is held or cached. */
  get numUsed(): number {
    let used = this.#numPages;
    while (used > 0 && this.#holders[used - 1] === 0 && this.#kept[used - 1] === 0) used--;
    return used;
  }

  /** Names the keeper; called once, before it keeps a page. */
  keepBy(keeper: PageKeeper): void {
    this.#keeper = keeper;
  }

  /** Keeps a held page beyond its last holder, until `discard`. @throws RangeError for a free page */
  keep(page: number): void {
    this.#checkHeld("keeping", page);
    this.#kept[page] = 1;
  }

  /** Ends the keeping of a page; it becomes free if nobody holds it. */
  discard(page: number): void {
    if (this.#kept[page] !== 1) throw new RangeError(`discarding page ${page}: it is not kept`);
    this.#kept[page] = 0;
    if (this.holders(page) > 0) return;
    this.#cached.remove(page);
    this.#free(page);
  }

  /** True if a sequence must not write to a page that it holds: another one holds it, or the keeper keeps it. */
  isShared(page: number): boolean {
    return this.holders(page) > 1 || this.#kept[page] === 1;
  }

  /**
   * Validity of an owner's data of pages, such as the pools of a gate: tokens at the start of each page that they cover. A page
   * that `take` returns has none.
   */
  dataOf(owner: object): PageBounds {
    const known = this.#data.get(owner);
    if (known) return known;
    const data = new PageBounds();
    data.resize(this.#numPages);
    this.#data.set(owner, data);
    return data;
  }

  /** Invalidates all data of a page except its key bounds. */
  forgetData(page: number): void {
    for (const data of this.#data.values()) data.forget(page);
  }

  /** Pages that `tokens` tokens fill. */
  pagesFor(tokens: number): number {
    return Math.ceil(tokens / this.pageSize);
  }

  /** Takes pages for one holder, ascending. Returns undefined and takes nothing if fewer are free or cached. */
  take(count: number): readonly number[] | undefined {
    if (count > this.numAvailable) return undefined;
    while (this.#numFree < count) this.#evict(this.#cached.oldest);
    const taken: number[] = [];
    for (let page = this.#lowest; taken.length < count; page++) {
      if (this.#holders[page] !== 0 || this.#kept[page] !== 0) continue;
      this.#holders[page] = 1;
      this.bounds.forget(page);
      this.forgetData(page);
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
      if (this.#kept[page] !== 1) this.#checkHeld("retaining", page);
      const holders = this.holders(page);
      if (holders === 0) this.#cached.remove(page);
      this.#holders[page] = holders + 1;
    }
  }

  /**
   * Releases one hold on each page from index `from`. A page without holders becomes cached if it is kept, else free. The last page
   * comes first, so that of a sequence's cached pages the last one is the oldest. @throws RangeError for a free page
   */
  release(pages: readonly number[], from = 0): void {
    for (let i = pages.length - 1; i >= from; i--) {
      const page = pages[i] as number;
      this.#checkHeld("releasing", page);
      const left = this.holders(page) - 1;
      this.#holders[page] = left;
      if (left > 0) continue;
      if (this.#kept[page] === 1) this.#cached.add(page);
      else this.#free(page);
    }
  }

  #free(page: number): void {
    this.#numFree++;
    if (page < this.#lowest) this.#lowest = page;
  }

  #evict(page: number | undefined): void {
    if (page === undefined) throw new RangeError("the KV pool has no cached page to evict");
    this.#keeper?.evict(page);
    if (this.#kept[page] === 1) throw new RangeError(`the keeper did not discard page ${page}`);
  }

  /** Number of holders of a page. @throws RangeError for a page that the pool does not have */
  holders(page: number): number {
    const holders = this.#holders[page];
    if (holders === undefined)
      throw new RangeError(`there is no page ${page}: the KV pool has ${this.#numPages} pages`);
    return holders;
  }

  /**
   * Changes the pool to pages 0 to numPages - 1, and evicts cached pages that it loses.
   * @throws RangeError if a sequence holds a page that the pool would lose
   */
  resize(numPages: number): void {
    for (let page = numPages; page < this.#numPages; page++)
      if (this.#holders[page] !== 0)
        throw new RangeError(
          `shrinking the KV pool from ${this.#numPages} to ${numPages} pages: page ${page} is held`,
        );
    for (let page = numPages; page < this.#numPages; page++) if (this.#kept[page] === 1) this.#evict(page);
    const kept = new Uint8Array(numPages);
    kept.set(this.#kept.subarray(0, Math.min(numPages, this.#numPages)));
    this.#kept = kept;
    this.#cached.resize(numPages);
    const holders = new Uint32Array(numPages);
    holders.set(this.#holders.subarray(0, Math.min(numPages, this.#numPages)));
    this.#holders = holders;
    this.#numFree += numPages - this.#numPages;
    this.#numPages = numPages;
    this.#lowest = Math.min(this.#lowest, numPages);
    this.bounds.resize(numPages);
    for (const data of this.#data.values()) data.resize(numPages);
  }

  /**
   * Counts free, held and cached pages anew. The engine calls it when it is idle.
   * numHeld: expected number of held pages
   * @throws RangeError if the counts differ: a page leaked, or a holder released it twice
   */
  checkIntegrity(numHeld: number): void {
    let [free, cached] = [0, 0];
    for (let page = 0; page < this.#numPages; page++)
      if (this.#holders[page] === 0) {
        if (this.#kept[page] === 1) cached++;
        else free++;
      }
    if (
      free === this.#numFree &&
      cached === this.#cached.length &&
      free + cached + numHeld === this.#numPages
    )
      return;
    throw new RangeError(
      `the KV pool of ${this.#numPages} pages does not add up: ${free} are free, ${this.#numFree} were counted as free, ` +
        `${numHeld} should be held, ${cached} are cached, ${this.#cached.length} were counted as cached; a page was leaked or ` +
        "released twice",
    );
  }

  #checkHeld(doing: string, page: number): void {
    if (!this.#holders[page])
      throw new RangeError(`${doing} page ${page} of ${this.#numPages}: nobody holds it`);
  }
}
