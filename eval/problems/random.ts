/**
 * A seeded random number generator (sfc32 by Chris Doty-Humphrey, 128 bits of state): a problem set is the same on every
 * machine. Its methods have the meaning of Python's `random`, which drew the model's tasks.
 */
export class Random {
  #a: number;
  #b: number;
  #c: number;
  #counter = 1;

  /** @param seed any integer; each of its 53 bits counts. */
  constructor(seed: number) {
    if (!Number.isSafeInteger(seed)) throw new RangeError(`a seed must be an integer, got ${seed}`);
    this.#a = 0x2545f491;
    this.#b = seed | 0;
    this.#c = Math.floor(seed / 0x1_0000_0000) | 0;
    for (let i = 0; i < 20; i++) this.#next();
  }

  /** Uniform in [0, 1), 53 bits. */
  unit(): number {
    return ((this.#next() >>> 5) * 0x400_0000 + (this.#next() >>> 6)) / 2 ** 53;
  }

  /** Uniform in [low, high). */
  uniform(low: number, high: number): number {
    return low + (high - low) * this.unit();
  }

  /** Integer in [low, high), both integers. */
  range(low: number, high: number): number {
    if (high <= low) throw new RangeError(`no integer lies in [${low}, ${high})`);
    return low + Math.floor(this.unit() * (high - low));
  }

  /** Integer in [low, high], both included. */
  integer(low: number, high: number): number {
    return this.range(low, high + 1);
  }

  /** Draws one of several items. */
  choice<T>(items: ArrayLike<T>): T {
    const item = items[this.range(0, items.length)];
    if (item === undefined) throw new RangeError("a choice needs items");
    return item;
  }

  /** `count` different items in random order. */
  sample<T>(items: readonly T[], count: number): T[] {
    if (count > items.length) throw new RangeError(`cannot draw ${count} of ${items.length} items`);
    return this.shuffled(items).slice(0, count);
  }

  /** Returns the items in random order (Fisher-Yates); does not change the argument. */
  shuffled<T>(items: readonly T[]): T[] {
    const rest = [...items];
    const drawn: T[] = [];
    while (rest.length > 0) {
      const index = this.range(0, rest.length);
      drawn.push(...rest.splice(index, 1));
    }
    return drawn;
  }

  #next(): number {
    const sum = (((this.#a + this.#b) | 0) + this.#counter) | 0;
    this.#counter = (this.#counter + 1) | 0;
    this.#a = this.#b ^ (this.#b >>> 9);
    this.#b = (this.#c + (this.#c << 3)) | 0;
    this.#c = (((this.#c << 21) | (this.#c >>> 11)) + sum) | 0;
    return sum >>> 0;
  }
}
