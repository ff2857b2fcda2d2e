const NONE = -1;

/** Pages in order of their addition, each once. Adding and removing take constant time and allocate nothing. */
export class PageList {
  /** Of each page in the list: the one added before it and the one after it, or NONE. */
  #before = new Int32Array(0);
  #after = new Int32Array(0);
  #oldest = NONE;
  #newest = NONE;
  #length = 0;

  get length(): number {
    return this.#length;
  }

  /** The page that was added first; undefined for an empty list. */
  get oldest(): number | undefined {
    return this.#oldest === NONE ? undefined : this.#oldest;
  }

  /** page: not in the list */
  add(page: number): void {
    this.#before[page] = this.#newest;
    this.#after[page] = NONE;
    if (this.#newest === NONE) this.#oldest = page;
    else this.#after[this.#newest] = page;
    this.#newest = page;
    this.#length++;
  }

  /** page: in the list */
  remove(page: number): void {
    const before = this.#before[page] as number;
    const after = this.#after[page] as number;
    if (before === NONE) this.#oldest = after;
    else this.#after[before] = after;
    if (after === NONE) this.#newest = before;
    else this.#before[after] = before;
    this.#length--;
  }

  /** Follows a change of the pool's size. The list has no page that the pool loses. */
  resize(numPages: number): void {
    this.#before = resized(this.#before, numPages);
    this.#after = resized(this.#after, numPages);
  }
}

function resized(links: Int32Array, length: number): Int32Array<ArrayBuffer> {
  const all = new Int32Array(length);
  all.set(links.subarray(0, Math.min(length, links.length)));
  return all;
}
