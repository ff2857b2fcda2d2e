import { hashUnit } from "../base/random.ts";
import { addBias, applyMask } from "./adjust-logits.ts";
import { NO_TOKEN, type SamplingRow } from "./backend.ts";

/**
 * Samples one token: repetition penalty, bias, mask, temperature, top-k, top-p, min-p in the order of Hugging Face `generate`.
 * Defines `Backend.sample` for one row. The random number depends on (seed, sampleIndex) alone.
 *
 * logits  f32 [vocabSize]; overwritten if the row changes them
 * returns a token id, never one with a logit of -Infinity; greedy returns the lowest id of the largest logit. `NO_TOKEN` if
 *         the row is not a distribution
 */
export function sampleToken(logits: Float32Array, row: SamplingRow): number {
  const { params } = row;
  if (params.repetitionPenalty !== 1) penalise(logits, row.seenTokens, params.repetitionPenalty);
  if (row.bias) addBias(logits, row.bias);
  if (row.mask) applyMask(logits, row.mask);
  if (!isDistribution(logits)) return NO_TOKEN;
  if (params.temperature === 0) return argmax(logits);
  const order = candidates(logits, params.topK);
  const weights = new Float64Array(order.length);
  const largest = logits[order[0]];
  let sum = 0;
  for (let i = 0; i < order.length; i++) {
    const weight = Math.exp((logits[order[i]] - largest) / params.temperature);
    weights[i] = weight;
    sum += weight;
  }
  let kept = order.length;
  if (params.topP < 1) {
    let mass = 0;
    kept = 0;
    while (kept < order.length && mass < params.topP * sum) mass += weights[kept++];
    kept = Math.max(1, kept);
  }
  // weights[0] is 1 (the largest), so the relative min-p threshold is minP itself
  if (params.minP > 0) while (kept > 1 && weights[kept - 1] < params.minP) kept--;
  // a masked token has weight 0, and rounding must not select it either
  while (weights[kept - 1] === 0) kept--;
  let mass = 0;
  for (let i = 0; i < kept; i++) mass += weights[i];
  let rest = sampleUnit(row) * mass;
  for (let i = 0; i < kept; i++) {
    rest -= weights[i];
    if (rest < 0) return order[i];
  }
  return order[kept - 1];
}

/** Separates the random numbers of sampling from other uses of a seed. */
const SAMPLE_SALT = 0x5a11;

/** Returns the random number in [0, 1) of a row's sample. It depends on seed and sampleIndex alone, the same on every backend. */
export function sampleUnit({ params, sampleIndex }: SamplingRow): number {
  return hashUnit(params.seed, sampleIndex, SAMPLE_SALT, 0);
}

/** Returns true if no logit is NaN or +Infinity, and not all are -Infinity. */
function isDistribution(logits: Float32Array): boolean {
  let isAllMasked = true;
  for (const logit of logits) {
    if (Number.isNaN(logit) || logit === Number.POSITIVE_INFINITY) return false;
    if (logit !== Number.NEGATIVE_INFINITY) isAllMasked = false;
  }
  return !isAllMasked;
}

function argmax(logits: Float32Array): number {
  let best = 0;
  let bestLogit = Number.NEGATIVE_INFINITY;
  for (let id = 0; id < logits.length; id++) {
    const logit = logits[id];
    if (logit > bestLogit) {
      bestLogit = logit;
      best = id;
    }
  }
  return best;
}

function penalise(logits: Float32Array, seen: ArrayLike<number>, penalty: number): void {
  const done = new Set<number>();
  for (let i = 0; i < seen.length; i++) {
    const id = seen[i];
    if (done.has(id)) continue;
    done.add(id);
    const logit = logits[id];
    logits[id] = logit < 0 ? logit * penalty : logit / penalty;
  }
}

/** Ranks token ids by logit descending, ties to the lower id; returns only the best `topK` unless it is 0. */
function candidates(logits: Float32Array, topK: number): Uint32Array {
  const ids = new Uint32Array(logits.length);
  for (let i = 0; i < ids.length; i++) ids[i] = i;
  const byLogit = (a: number, b: number) => logits[b] - logits[a] || a - b;
  if (topK === 0 || topK >= ids.length) return ids.sort(byLogit);
  const floor = nthLargest(logits, topK);
  return ids
    .filter((id) => logits[id] >= floor)
    .sort(byLogit)
    .subarray(0, topK);
}

/** Returns the n-th largest value (n >= 1). */
function nthLargest(values: Float32Array, n: number): number {
  return values.slice().sort()[values.length - n];
}
