/** Rules by which vocabularies without a table of merges merge their tokens. */
import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import type { MergeRule } from "./cached-merges.ts";

/**
 * The rule of a list of merges "left right" in the order of their ranks. Of equal merges the last counts. The first use
 * reads the list.
 * @param place of the list, for messages
 * @throws ModelFileError, when a text needs it, on a merge that leads to no token
 */
export function listedMerges(merges: readonly string[], place: string): MergeRule {
  let ranks: Map<string, number> | undefined;
  return (left, right, made) => {
    if (!ranks) {
      ranks = new Map();
      for (let rank = 0; rank < merges.length; rank++) ranks.set(merges[rank] ?? "", rank);
    }
    const rank = ranks.get(`${left} ${right}`);
    if (rank === undefined) return -1;
    if (made !== undefined) return rank;
    throw new ModelFileError(
      `reading ${place}: merge ${rank}, ${printValue(merges[rank])}, leads to no token of the vocabulary; download the file again`,
    );
  };
}

/**
 * The rule of a SentencePiece vocabulary, which lists no merges: two tokens merge if their joined text is a token, and the
 * token with the highest score first. Hugging Face's converter writes that as a list of merges: by score, then the longer
 * left part, then the longer right part, then the lower id.
 * @param tokens by id
 * @param scores by id, not NaN; without scores the lower id merges first, as in Gemma's list
 */
export function scoredMerges(tokens: readonly string[], scores?: ArrayLike<number>): MergeRule {
  let longest = 1;
  for (let id = 0; id < tokens.length; id++) longest = Math.max(longest, tokens[id]?.length ?? 0);
  const rankById: MergeRule = (left, _, made) =>
    made === undefined ? -1 : made * longest + longest - pointsOf(left);
  if (!scores) return rankById;
  const order = orderByScore(tokens, scores);
  return (left, _, made) => {
    if (made === undefined) return -1;
    // numbers all merges: those of one score in turn, within them by the length of the left part
    const [start, size, index] = [order.starts[made] ?? 0, order.sizes[made] ?? 1, order.indices[made] ?? 0];
    return start * longest + (longest - pointsOf(left)) * size + index;
  };
}

/** Places of tokens, by id. Tokens of equal score form a class. */
interface ScoreOrder {
  /** Number of tokens with a higher score. */
  readonly starts: Int32Array;
  /** Number of tokens with this score. */
  readonly sizes: Int32Array;
  /** Place among the tokens with this score: longer ones first, then lower ids. */
  readonly indices: Int32Array;
}

function orderByScore(tokens: readonly string[], scores: ArrayLike<number>): ScoreOrder {
  const { length } = tokens;
  const ascending = Float64Array.from({ length }, (_, id) => scores[id] ?? 0).sort();
  const starts = new Int32Array(length);
  const sizes = new Int32Array(length).fill(1);
  const indices = new Int32Array(length);
  const equals = new Map<number, number[]>();
  for (let id = 0; id < length; id++) {
    const score = scores[id] ?? 0;
    const end = firstAbove(ascending, score);
    starts[id] = length - end;
    if (end < 2 || ascending[end - 2] !== score) continue;
    const ids = equals.get(score);
    if (ids) ids.push(id);
    else equals.set(score, [id]);
  }
  for (const ids of equals.values()) {
    const lengths = new Map(ids.map((id) => [id, pointsOf(tokens[id] ?? "")]));
    ids.sort((a, b) => (lengths.get(b) ?? 0) - (lengths.get(a) ?? 0) || a - b);
    for (const [index, id] of ids.entries()) {
      sizes[id] = ids.length;
      indices[id] = index;
    }
  }
  return { starts, sizes, indices };
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
