import { OutOfPagesError } from "../base/errors.ts";

/** Hands out pages of the KV pool. Plain integers; knows nothing of their contents. */
export class PageAllocator {
  readonly pageSize: number;
  readonly numPages: number;
  readonly #free: number[] = [];

  constructor(numPages: number, pageSize: number) {
    this.numPages = numPages;
    this.pageSize = pageSize;
    for (let page = numPages - 1; page >= 0; page--) this.#free.push(page);
  }

  get numFree(): number {
    return this.#free.length;
  }

  /** Pages that `tokens` tokens fill. */
  pagesFor(tokens: number): number {
    return Math.ceil(tokens / this.pageSize);
  }

  /** @throws OutOfPagesError when fewer are free; nothing is taken then. */
  allocate(count: number): number[] {
    if (count > this.#free.length)
      throw new OutOfPagesError(
        `reserving ${count} KV pages of ${this.pageSize} tokens: ${this.#free.length} of ${this.numPages} are free; ` +
          "wait for running requests, ask for fewer tokens, or open the engine with a larger cache",
      );
    return this.#free.splice(this.#free.length - count, count).reverse();
  }

  release(pages: readonly number[]): void {
    for (const page of pages) this.#free.push(page);
    this.checkIntegrity();
  }

  /** Throws when more pages are free than the pool has: one was released twice. */
  checkIntegrity(): void {
    if (this.#free.length > this.numPages)
      throw new RangeError(
        `${this.#free.length} free pages in a pool of ${this.numPages}: a page was released twice`,
      );
  }
}
