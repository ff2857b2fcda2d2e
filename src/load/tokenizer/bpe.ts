import { ModelFileError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { BYTE_LETTERS, byteToken } from "./bytes.ts";
import { CachedMerges } from "./cached-merges.ts";
import { type Fields, MAX_MERGES, readVocabulary } from "./fields.ts";
import { MergeTable, type PairMerges } from "./merge-table.ts";
import type { TokenModel } from "./token-model.ts";

const CACHED_WORDS = 10_000;
const MAX_CACHED_LENGTH = 256;
const encoder = new TextEncoder();

/**
 * Byte-pair encoding as in `tokenizers`. First each character becomes a token; one without a token becomes bytes or the
 * unknown token, or is dropped. Then the merge of lowest rank applies, leftmost first, until no merge is left.
 * Time: O(n log n) for a word of n characters.
 */
export class BytePairModel implements TokenModel {
  readonly kind = "BPE";
  readonly vocabulary: ReadonlyMap<string, number>;
  readonly #merges: PairMerges;
  readonly #unknown: number | undefined;
  readonly #fusesUnknown: boolean;
  readonly #prefix: string;
  readonly #suffix: string;
  readonly #ignoresMerges: boolean;
  /** Ids of the 256 byte tokens; undefined for a missing token. */
  readonly #bytes: readonly (number | undefined)[] | undefined;
  readonly #cache = new Map<string, readonly number[]>();

  constructor(fields: Fields) {
    this.vocabulary = readVocabulary(fields, "vocab");
    this.#prefix = fields.optionalText("continuing_subword_prefix") ?? "";
    this.#suffix = fields.optionalText("end_of_word_suffix") ?? "";
    const merges = fields.raw("merges");
    this.#merges =
      merges instanceof CachedMerges ? merges : readMerges(fields, this.vocabulary, this.#prefix.length);
    const unknown = fields.optionalText("unk_token");
    this.#unknown = unknown === undefined ? undefined : this.vocabulary.get(unknown);
    this.#fusesUnknown = fields.flag("fuse_unk", false);
    this.#ignoresMerges = fields.flag("ignore_merges", false);
    if (fields.flag("byte_fallback", false))
      this.#bytes = BYTE_LETTERS.map((_, byte) => this.vocabulary.get(byteToken(byte)));
  }

  covers(point: string): boolean {
    const isPlain = this.#prefix === "" && this.#suffix === "";
    return (isPlain && this.vocabulary.has(point)) || this.#bytes?.every((id) => id !== undefined) === true;
  }

  encode(piece: string, ids: number[]): void {
    const whole = this.#ignoresMerges ? this.vocabulary.get(piece) : undefined;
    const kept = whole === undefined ? this.#cache.get(piece) : undefined;
    if (whole !== undefined) ids.push(whole);
    else if (kept) for (const id of kept) ids.push(id);
    else {
      const made = this.#merged(this.#symbols(piece));
      for (const id of made) ids.push(id);
      if (piece.length > MAX_CACHED_LENGTH) return;
      if (this.#cache.size >= CACHED_WORDS) this.#cache.clear();
      this.#cache.set(piece, made);
    }
  }

  /** Returns the ids of the characters, before merges. */
  #symbols(piece: string): number[] {
    const ids: number[] = [];
    let pending: number | undefined; // an unknown token that may fuse with further characters
    let index = 0;
    for (const point of piece) {
      let text = index > 0 ? this.#prefix + point : point;
      index += point.length;
      if (index === piece.length) text += this.#suffix;
      const id = this.vocabulary.get(text);
      if (id !== undefined) {
        if (pending !== undefined) ids.push(pending);
        pending = undefined;
        ids.push(id);
        continue;
      }
      const bytes = this.#bytes && this.#asBytes(text);
      if (bytes) ids.push(...bytes);
      else if (this.#unknown !== undefined) {
        if (pending !== undefined && !this.#fusesUnknown) ids.push(pending);
        pending = this.#unknown;
      }
    }
    if (pending !== undefined) ids.push(pending);
    return ids;
  }

  #asBytes(text: string): readonly number[] | undefined {
    const ids: number[] = [];
    for (const byte of encoder.encode(text)) {
      const id = this.#bytes?.[byte];
      if (id === undefined) return undefined;
      ids.push(id);
    }
    return ids;
  }

  #merged(ids: number[]): readonly number[] {
    if (ids.length < 2) return ids;
    const { length } = ids;
    const next = Int32Array.from({ length }, (_, i) => (i + 1 < length ? i + 1 : -1));
    const previous = Int32Array.from({ length }, (_, i) => i - 1);
    const queue = new MergeQueue();
    const offer = (at: number) => {
      const right = next[at] ?? -1;
      if (at < 0 || right < 0) return;
      const rank = this.#merges.rank(ids[at] ?? 0, ids[right] ?? 0);
      if (rank >= 0) queue.push(rank, at);
    };
    for (let i = 0; i + 1 < length; i++) offer(i);
    const gone = new Uint8Array(length);
    for (let at = queue.pop(); at >= 0; at = queue.pop()) {
      const right = next[at] ?? -1;
      if (gone[at] === 1 || right < 0) continue;
      const [first, second] = [ids[at] ?? 0, ids[right] ?? 0];
      if (this.#merges.rank(first, second) !== queue.popped) continue; // an earlier merge changed the pair
      ids[at] = this.#merges.made(first, second);
      gone[right] = 1;
      const after = next[right] ?? -1;
      next[at] = after;
      if (after >= 0) previous[after] = at;
      offer(previous[at] ?? -1);
      offer(at);
    }
    return ids.filter((_, i) => gone[i] === 0);
  }
}

/** A binary heap of possible merges, by rank, then leftmost first. */
class MergeQueue {
  readonly #ranks: number[] = [];
  readonly #places: number[] = [];
  /** Rank of the merge that the last `pop` returned. */
  popped = 0;

  #isBefore(a: number, b: number): boolean {
    const order = (this.#ranks[a] ?? 0) - (this.#ranks[b] ?? 0);
    return order < 0 || (order === 0 && (this.#places[a] ?? 0) < (this.#places[b] ?? 0));
  }

  #swap(a: number, b: number): void {
    for (const list of [this.#ranks, this.#places]) {
      const kept = list[a] ?? 0;
      list[a] = list[b] ?? 0;
      list[b] = kept;
    }
  }

  push(rank: number, place: number): void {
    let at = this.#ranks.push(rank) - 1;
    this.#places.push(place);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!this.#isBefore(at, parent)) break;
      this.#swap(at, parent);
      at = parent;
    }
  }

  /** Removes the first merge and returns its place, or -1 when the heap is empty. */
  pop(): number {
    const last = this.#ranks.length - 1;
    if (last < 0) return -1;
    this.#swap(0, last);
    this.popped = this.#ranks.pop() ?? 0;
    const place = this.#places.pop() ?? -1;
    for (let at = 0; ; ) {
      const left = 2 * at + 1;
      if (left >= last) break;
      const child = left + 1 < last && this.#isBefore(left + 1, left) ? left + 1 : left;
      if (!this.#isBefore(child, at)) break;
      this.#swap(at, child);
      at = child;
    }
    return place;
  }
}

function readMerges(
  fields: Fields,
  vocabulary: ReadonlyMap<string, number>,
  prefixLength: number,
): MergeTable {
  const list = fields.list("merges", MAX_MERGES);
  const merges = new MergeTable(list.length);
  for (const [rank, merge] of list.entries()) {
    if (typeof merge === "string" && merge.startsWith("#version")) continue;
    const pair = typeof merge === "string" ? merge.split(" ") : merge;
    if (
      !Array.isArray(pair) ||
      pair.length !== 2 ||
      typeof pair[0] !== "string" ||
      typeof pair[1] !== "string"
    )
      throw new ModelFileError(
        `reading ${fields.place}: expected merge ${rank} to be two tokens, got ${printValue(merge)}`,
      );
    const left = vocabulary.get(pair[0]);
    const right = vocabulary.get(pair[1]);
    const made = vocabulary.get(pair[0] + (prefixLength > 0 ? pair[1].slice(prefixLength) : pair[1]));
    if (left === undefined || right === undefined || made === undefined)
      throw new ModelFileError(
        `reading ${fields.place}: merge ${rank}, ${printValue(merge)}, has a token out of the vocabulary`,
      );
    merges.set(left, right, rank, made);
  }
  return merges;
}
