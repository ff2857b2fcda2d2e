import { addBias, applyMask } from "../adjust-logits.ts";
import { NO_TOKEN, type SamplingParams, type SamplingRow } from "../backend.ts";
import { sampleUnit } from "../sample-token.ts";
import type { Arena } from "./arena.ts";

/** Tokens whose logit over the temperature is this far below the largest are first left out of the heap: a sample seldom needs them. */
const NEAR = -8;
const NEAR_WEIGHT = Math.exp(NEAR);
/** Weights below 5e-18: those of a million tokens are less than 1e-11 of the sum, which is at least 1. */
const NEGLIGIBLE = -40;
/** More than the rounding of a sum of a million weights. */
const ROUNDING = 1e-9;

/**
 * Samples the tokens of `sampleToken` (../sample-token.ts, the definition) without sorting the vocabulary and without
 * allocating: pops tokens from a heap, best first, only as far as the sample reaches. The heap has the tokens near the best one
 * if they are enough for the sample, else all.
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
    const unit = sampleUnit(row);
    const isCut = params.topK > 0 && params.topK < this.#ids.length;
    const mass = isCut ? this.#weighBest(params) : this.#weighAll(params, unit);
    // A logit is NaN or +Infinity, or all are -Infinity.
    if (Number.isNaN(mass)) return NO_TOKEN;
    return this.#pick(params, unit, mass);
  }

  /** Picks from the heap. mass: of the weights of all tokens that may be sampled. */
  #pick({ topP, minP }: SamplingParams, unit: number, mass: number): number {
    const numBest = this.#count;
    let kept = numBest;
    let keptMass = mass;
    if (topP < 1) {
      const wanted = topP * mass;
      keptMass = 0;
      for (kept = 0; kept < numBest && keptMass < wanted; kept++) keptMass += this.#weightOf(kept);
      kept = Math.max(1, kept);
    }
    if (minP > 0) {
      let fits = 0;
      while (fits < kept && this.#weightOf(fits) >= minP) fits++;
      kept = Math.max(1, fits);
    }
    if (topP < 1 || minP > 0) {
      keptMass = 0;
      for (let rank = 0; rank < kept; rank++) keptMass += this.#weightOf(rank);
    }
    let rest = unit * keptMass;
    for (let rank = 0; rank < kept; rank++) {
      rest -= this.#weightOf(rank);
      if (rest < 0) return this.#take(rank);
    }
    // Rounding left a rest: take the last token with a weight, which masked tokens lack.
    while (this.#weightOf(kept - 1) === 0) kept--;
    return this.#take(kept - 1);
  }

  /** Fills the heap with the best `topK` tokens and weighs them; returns their mass, NaN if the row is no distribution. */
  #weighBest({ topK, temperature }: SamplingParams): number {
    if (!this.#fillHeap(topK)) return Number.NaN;
    const largest = this.#logits[this.#take(0)];
    let mass = 0;
    for (let at = 0; at < this.#count; at++) mass += this.#weigh(this.#ids[at], largest, temperature);
    return mass;
  }

  /** Weighs all tokens and fills the heap with those that the sample needs; returns the mass of all, NaN if the row is no distribution. */
  #weighAll({ temperature, topP, minP }: SamplingParams, unit: number): number {
    const best = this.#argmax();
    if (best === NO_TOKEN) return Number.NaN;
    const logits = this.#logits;
    const weights = this.#weights;
    const ids = this.#ids;
    const { length } = ids;
    const largest = logits[best];
    const [nearest, lowest, scale] = [NEAR * temperature, NEGLIGIBLE * temperature, EXP_STEPS / temperature];
    let [mass, nearMass, numNear] = [0, 0, 0];
    for (let id = 0; id < length; id++) {
      const below = logits[id] - largest;
      if (below < nearest) {
        if (below > lowest) mass += expOfSteps(below * scale);
        continue;
      }
      const weight = Math.exp(below / temperature);
      weights[id] = weight;
      nearMass += weight;
      ids[numNear++] = id;
    }
    mass += nearMass;
    const reached = nearMass * (1 - ROUNDING);
    const isEnough =
      minP > NEAR_WEIGHT || (topP < 1 ? reached >= topP * mass : minP === 0 && reached >= unit * mass);
    this.#count = isEnough ? numNear : length;
    this.#taken = 0;
    if (!isEnough)
      for (let id = 0; id < length; id++) {
        ids[id] = id;
        this.#weigh(id, largest, temperature);
      }
    this.#heapify(true);
    return mass;
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
    const { length } = this.#ids; // a view of growable memory is slow to tell its own
    let best = NO_TOKEN;
    let bestLogit = Number.NEGATIVE_INFINITY;
    for (let id = 0; id < length; id++) {
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

  /** Builds a heap of the best `topK` tokens, of fewer than all. False for a NaN. */
  #fillHeap(topK: number): boolean {
    const logits = this.#logits;
    const { length } = this.#ids;
    this.#count = topK;
    this.#taken = 0;
    for (let id = 0; id < topK; id++) {
      if (Number.isNaN(logits[id])) return false;
      this.#ids[id] = id;
    }
    // A heap with the worst of the best in front, which a better token replaces.
    this.#heapify(false);
    let worst = logits[this.#ids[0]];
    for (let id = topK; id < length; id++) {
      // A later token is better only by its logit. NaN passes the comparison, too.
      if (logits[id] <= worst) continue;
      if (Number.isNaN(logits[id])) return false;
      this.#ids[0] = id;
      this.#sink(0, topK, false);
      worst = logits[this.#ids[0]];
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

/** Steps of `expOfSteps` in which e^x grows by a factor e. */
const EXP_STEPS = 64 / Math.LN2;
const FRACTIONS = Float64Array.from({ length: 64 }, (_, i) => 2 ** (i / 64));
const POWERS = Float64Array.from({ length: 64 }, (_, i) => 2 ** -i);

/** Returns 2^(steps / 64) to a few units of the last place, for -4000 < steps <= 0: for sums, which do not see the difference to `Math.exp`. */
function expOfSteps(steps: number): number {
  const whole = (steps - 0.5) | 0;
  const rest = (steps - whole) / EXP_STEPS;
  const power = FRACTIONS[whole & 63] * POWERS[-(whole >> 6)];
  return power * (1 + rest * (1 + rest * (1 / 2 + rest * (1 / 6 + rest * (1 / 24 + rest / 120)))));
}
