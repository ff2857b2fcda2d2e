import { addBias, applyMask } from "../adjust-logits.ts";
import { NO_TOKEN, type SamplingRow } from "../backend.ts";
import { sampleUnit } from "../sample-token.ts";
import type { Arena } from "./arena.ts";

/**
 * Samples the tokens of `sampleToken` (../sample-token.ts, the definition) without sorting the vocabulary and without
 * allocating: pops tokens from a heap, best first, only as far as the sample reaches.
 */
export class TokenSampler {
  readonly #arena: Arena;
  /** [0, count - taken) is a heap; popped ids follow, best last. */
  readonly #ids: Uint32Array;
  readonly #weights: Float64Array;
  readonly #isSeen: Uint8Array;
  readonly #rows: Float32Array[] = [];
  #logits: Float32Array = new Float32Array(0);
  #count = 0;
  #taken = 0;

  constructor(arena: Arena, vocabSize: number) {
    this.#arena = arena;
    this.#ids = new Uint32Array(vocabSize);
    this.#weights = new Float64Array(vocabSize);
    this.#isSeen = new Uint8Array(vocabSize);
  }

  /**
   * Samples row `i` of the logits at `address`, f32 [i + 1, vocabSize]; overwrites it if the row changes its logits.
   * Returns a token id, greedy the lowest id of the largest logit, or `NO_TOKEN` if the row is no distribution.
   */
  sample(address: number, i: number, row: SamplingRow): number {
    const { params } = row;
    this.#logits = this.#row(address + 4 * i * this.#ids.length, i);
    if (params.repetitionPenalty !== 1) this.#penalise(row.seenTokens, params.repetitionPenalty);
    if (row.bias) addBias(this.#logits, row.bias);
    if (row.mask) applyMask(this.#logits, row.mask);
    if (params.temperature === 0) return this.#argmax();
    if (!this.#fillHeap(params.topK)) return NO_TOKEN;
    const largest = this.#logits[this.#take(0)];
    let mass = 0;
    for (let at = 0; at < this.#count; at++) mass += this.#weigh(this.#ids[at], largest, params.temperature);
    // A logit is NaN or +Infinity, or all are -Infinity, whose difference is NaN.
    if (Number.isNaN(mass)) return NO_TOKEN;
    let kept = this.#count;
    if (params.topP < 1) {
      const wanted = params.topP * mass;
      mass = 0;
      for (kept = 0; kept < this.#count && mass < wanted; kept++) mass += this.#weightOf(kept);
      kept = Math.max(1, kept);
    }
    if (params.minP > 0) {
      let fits = 0;
      while (fits < kept && this.#weightOf(fits) >= params.minP) fits++;
      kept = Math.max(1, fits);
    }
    if (kept < this.#count) {
      mass = 0;
      for (let rank = 0; rank < kept; rank++) mass += this.#weightOf(rank);
    }
    let rest = sampleUnit(row) * mass;
    for (let rank = 0; rank < kept; rank++) {
      rest -= this.#weightOf(rank);
      if (rest < 0) return this.#take(rank);
    }
    // Rounding left a rest: take the last token with a weight, which masked tokens lack.
    while (this.#weightOf(kept - 1) === 0) kept--;
    return this.#take(kept - 1);
  }

  /** A view of a row; a new one only after memory has grown or for other logits. */
  #row(address: number, i: number): Float32Array {
    const known = this.#rows[i];
    const { buffer } = this.#arena.memory;
    if (known?.buffer === buffer && known.byteOffset === address) return known;
    const made = new Float32Array(buffer, address, this.#ids.length);
    this.#rows[i] = made;
    return made;
  }

  #argmax(): number {
    const logits = this.#logits;
    let best = NO_TOKEN;
    let bestLogit = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < logits.length; id++) {
      const logit = logits[id];
      // One comparison a logit, which lets NaN through, too.
      if (logit <= bestLogit) continue;
      if (Number.isNaN(logit)) return NO_TOKEN;
      bestLogit = logit;
      best = id;
    }
    return bestLogit === Number.POSITIVE_INFINITY ? NO_TOKEN : best;
  }

  #penalise(seen: ArrayLike<number>, penalty: number): void {
    for (let i = 0; i < seen.length; i++) {
      const id = seen[i];
      if (this.#isSeen[id] === 1) continue;
      this.#isSeen[id] = 1;
      const logit = this.#logits[id];
      this.#logits[id] = logit < 0 ? logit * penalty : logit / penalty;
    }
    for (let i = 0; i < seen.length; i++) this.#isSeen[seen[i]] = 0;
  }

  #weigh(id: number, largest: number, temperature: number): number {
    const weight = Math.exp((this.#logits[id] - largest) / temperature);
    this.#weights[id] = weight;
    return weight;
  }

  #weightOf(rank: number): number {
    return this.#weights[this.#take(rank)];
  }

  /** The token of a rank, 0 the best; the first calls come in order of rank. */
  #take(rank: number): number {
    while (this.#taken <= rank) {
      const last = this.#count - 1 - this.#taken;
      this.#swap(0, last);
      this.#taken++;
      this.#sink(0, last, true);
    }
    return this.#ids[this.#count - 1 - rank];
  }

  /** Builds a heap of the best `topK` tokens, of all if it is 0. False for a NaN that it would leave out. */
  #fillHeap(topK: number): boolean {
    const { length } = this.#ids;
    this.#count = topK === 0 ? length : Math.min(topK, length);
    this.#taken = 0;
    for (let id = 0; id < this.#count; id++) this.#ids[id] = id;
    if (this.#count < length) {
      const logits = this.#logits;
      for (let id = 0; id < this.#count; id++) if (Number.isNaN(logits[id])) return false;
      // A heap with the worst of the best in front, which a better token replaces.
      this.#heapify(false);
      let worst = logits[this.#ids[0]];
      for (let id = this.#count; id < length; id++) {
        // A later token is better only by its logit. NaN passes the comparison, too.
        if (logits[id] <= worst) continue;
        if (Number.isNaN(logits[id])) return false;
        this.#ids[0] = id;
        this.#sink(0, this.#count, false);
        worst = logits[this.#ids[0]];
      }
    }
    this.#heapify(true);
    return true;
  }

  #heapify(isBestFirst: boolean): void {
    for (let at = (this.#count >> 1) - 1; at >= 0; at--) this.#sink(at, this.#count, isBestFirst);
  }

  #sink(at: number, count: number, isBestFirst: boolean): void {
    const ids = this.#ids;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= count) return;
      if (child + 1 < count && this.#isBetter(ids[child + 1], ids[child]) === isBestFirst) child++;
      if (this.#isBetter(ids[child], ids[at]) !== isBestFirst) return;
      this.#swap(at, child);
      at = child;
    }
  }

  #swap(a: number, b: number): void {
    const id = this.#ids[a];
    this.#ids[a] = this.#ids[b];
    this.#ids[b] = id;
  }

  /** True for a larger logit, or the same logit and a lower id. */
  #isBetter(a: number, b: number): boolean {
    const x = this.#logits[a];
    const y = this.#logits[b];
    return x > y || (x === y && a < b);
  }
}
