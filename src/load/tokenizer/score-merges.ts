import type { PairMerges } from "./merge-table.ts";

/** Slots for pairs looked up before, one for each hash of 16 bits. A newer pair replaces an older one. */
const CACHED_PAIRS = 2 ** 16;

/**
 * The merges of a SentencePiece vocabulary, which lists none: two tokens merge if their joined text is a token, and the
 * token with the highest score first. Hugging Face's converter writes this as a list of merges: by score, then the longer
 * left part, then the longer right part, then the lower id. This class finds a merge when a text needs it, because the
 * list of a vocabulary of 262144 tokens takes a second.
 */
export class ScoreMerges implements PairMerges {
  readonly #tokens: readonly string[];
  readonly #vocabulary: ReadonlyMap<string, number>;
  readonly #order: ScoreOrder;
  readonly #maxLength: number;
  readonly #lefts = new Int32Array(CACHED_PAIRS).fill(-1);
  readonly #rights = new Int32Array(CACHED_PAIRS);
  readonly #ranks = new Float64Array(CACHED_PAIRS);
  readonly #made = new Int32Array(CACHED_PAIRS);

  /**
   * @param tokens by id, as the vocabulary spells them
   * @param scores by id, not NaN; without scores the lower id merges first, as Gemma's merges are ordered
   */
  constructor(
    tokens: readonly string[],
    vocabulary: ReadonlyMap<string, number>,
    scores?: ArrayLike<number>,
  ) {
    this.#tokens = tokens;
    this.#vocabulary = vocabulary;
    this.#order = scores
      ? orderByScore(tokens, scores)
      : { startOf: (id) => id, sizeOf: () => 1, indexOf: () => 0 };
    this.#maxLength = tokens.reduce((longest, token) => Math.max(longest, token.length), 1);
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
    const made = this.#vocabulary.get(leftText + (this.#tokens[right] ?? ""));
    this.#lefts[slot] = left;
    this.#rights[slot] = right;
    this.#made[slot] = made ?? 0;
    this.#ranks[slot] = made === undefined ? -1 : this.#rankOf(made, pointsOf(leftText));
    return slot;
  }

  /** Numbers all merges of a vocabulary: those of one score in turn, within them by the length of the left part. */
  #rankOf(made: number, leftLength: number): number {
    const { startOf, sizeOf, indexOf } = this.#order;
    return startOf(made) * this.#maxLength + (this.#maxLength - leftLength) * sizeOf(made) + indexOf(made);
  }
}

/** Places tokens in classes of equal score. */
interface ScoreOrder {
  /** Number of tokens with a higher score. */
  startOf(id: number): number;
  /** Number of tokens with this score. */
  sizeOf(id: number): number;
  /** Place among the tokens with this score: longer ones first, then lower ids. */
  indexOf(id: number): number;
}

function orderByScore(tokens: readonly string[], scores: ArrayLike<number>): ScoreOrder {
  const { length } = tokens;
  const ascending = Float64Array.from({ length }, (_, id) => scores[id] ?? 0).sort();
  const starts = new Int32Array(length);
  const sizes = new Int32Array(length);
  const indices = new Int32Array(length);
  const equals = new Map<number, number[]>();
  for (let id = 0; id < length; id++) {
    const score = scores[id] ?? 0;
    const end = firstAbove(ascending, score);
    starts[id] = length - end;
    sizes[id] = 1;
    if (end > 1 && ascending[end - 2] === score) {
      const ids = equals.get(score);
      if (ids) ids.push(id);
      else equals.set(score, [id]);
    }
  }
  for (const ids of equals.values()) {
    const lengths = new Map(ids.map((id) => [id, pointsOf(tokens[id] ?? "")]));
    ids.sort((a, b) => (lengths.get(b) ?? 0) - (lengths.get(a) ?? 0) || a - b);
    for (const [index, id] of ids.entries()) {
      sizes[id] = ids.length;
      indices[id] = index;
    }
  }
  return {
    startOf: (id) => starts[id] ?? 0,
    sizeOf: (id) => sizes[id] ?? 1,
    indexOf: (id) => indices[id] ?? 0,
  };
}

/** Returns the first place of a sorted list whose value is above `value`. */
function firstAbove(ascending: Float64Array, value: number): number {
  let low = 0;
  let high = ascending.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ascending[middle] ?? 0) > value) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** Counts code points, as Python's `len` does. */
function pointsOf(text: string): number {
  let count = text.length;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    if (unit >= 0xdc00 && unit < 0xe000) count--; // the second half of a pair; files have no lone ones
  }
  return count;
}
