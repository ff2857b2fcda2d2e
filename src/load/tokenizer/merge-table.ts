/**
 * The merges of a BPE model by the pair that they merge: a hash table in typed arrays. A `Map` of a quarter of a million
 * numbers beyond 2^31 takes a tenth of a second longer to fill.
 */
export class MergeTable {
  readonly #mask: number;
  readonly #shift: number;
  // drawn anew each time, so that no file can be made to collide
  readonly #leftFactor = Math.floor(Math.random() * 2 ** 31) * 2 + 1;
  readonly #rightFactor = Math.floor(Math.random() * 2 ** 31) * 2 + 1;
  readonly #lefts: Int32Array;
  readonly #rights: Int32Array;
  readonly #ranks: Int32Array;
  readonly #made: Int32Array;

  /** size: the most pairs that are set. */
  constructor(size: number) {
    const bits = Math.ceil(Math.log2(size * 2 + 2));
    const slots = 2 ** bits;
    this.#mask = slots - 1;
    this.#shift = 32 - bits;
    this.#lefts = new Int32Array(slots).fill(-1);
    this.#rights = new Int32Array(slots);
    this.#ranks = new Int32Array(slots);
    this.#made = new Int32Array(slots);
  }

  /** The slot of a pair, or the free one where it would stand. */
  #slot(left: number, right: number): number {
    const hash = Math.imul(left, this.#leftFactor) + Math.imul(right, this.#rightFactor);
    let slot = (hash | 0) >>> this.#shift;
    while (this.#lefts[slot] !== -1 && !(this.#lefts[slot] === left && this.#rights[slot] === right))
      slot = (slot + 1) & this.#mask;
    return slot;
  }

  /** Of merges of the same pair the last counts. */
  set(left: number, right: number, rank: number, made: number): void {
    const slot = this.#slot(left, right);
    this.#lefts[slot] = left;
    this.#rights[slot] = right;
    this.#ranks[slot] = rank;
    this.#made[slot] = made;
  }

  /** The rank of a pair's merge, or -1 where there is none. */
  rank(left: number, right: number): number {
    const slot = this.#slot(left, right);
    return this.#lefts[slot] === -1 ? -1 : (this.#ranks[slot] ?? -1);
  }

  /** What a pair with a merge becomes. */
  made(left: number, right: number): number {
    return this.#made[this.#slot(left, right)] ?? 0;
  }
}
