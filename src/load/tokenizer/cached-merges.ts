import type { PairMerges } from "./merge-table.ts";

/** Slots for pairs looked up before, one for each hash of 16 bits. A newer pair replaces an older one. */
const CACHED_PAIRS = 2 ** 16;

/**
 * Determines a merge by the texts of two tokens.
 * made: the token of the joined text, if it is one
 * Returns the rank, or -1 for no merge.
 */
export type MergeRule = (left: string, right: string, made: number | undefined) => number;

/**
 * Finds the merge of a pair when a text needs it. A table of all merges takes 0.1 s for each quarter of a million, and a
 * prompt needs some hundreds.
 */
export class CachedMerges implements PairMerges {
  readonly #tokens: readonly string[];
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #rule: MergeRule;
  readonly #lefts = new Int32Array(CACHED_PAIRS).fill(-1);
  readonly #rights = new Int32Array(CACHED_PAIRS);
  readonly #ranks = new Float64Array(CACHED_PAIRS);
  readonly #made = new Int32Array(CACHED_PAIRS);

  /** @param tokens by id, as the vocabulary spells them */
  constructor(tokens: readonly string[], vocabulary: ReadonlyMap<string, number>, rule: MergeRule) {
    this.#tokens = tokens;
    this.#vocabulary = vocabulary;
    this.#rule = rule;
  }

  rank(left: number, right: number): number {
    return this.#ranks[this.#slot(left, right)] ?? -1;
  }

  made(left: number, right: number): number {
    return this.#made[this.#slot(left, right)] ?? 0;
  }

  #slot(left: number, right: number): number {
    const slot = (Math.imul(left, 0x9e3779b1) + Math.imul(right, 0x85ebca6b)) >>> 16;
    if (this.#lefts[slot] === left && this.#rights[slot] === right) return slot;
    const leftText = this.#tokens[left] ?? "";
    const rightText = this.#tokens[right] ?? "";
    const made = this.#vocabulary.get(leftText + rightText);
    const rank = this.#rule(leftText, rightText, made);
    this.#lefts[slot] = left;
    this.#rights[slot] = right;
    this.#made[slot] = made ?? 0;
    this.#ranks[slot] = rank;
    return slot;
  }
}
