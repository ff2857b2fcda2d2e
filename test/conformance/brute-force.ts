/**
 * Every op by brute force, from the contracts of `src/backend/backend.ts`, on plain arrays in f64. It shares no code with
 * any backend and has no pages: a sequence is a list of keys and values.
 */
import type { KeptEnds, Pooling, SamplingParams } from "../../src/backend/backend.ts";

/** A decoded weight: f64 [rows, cols]. */
export interface PlainWeight {
  readonly rows: number;
  readonly cols: number;
  readonly values: Float64Array;
}

type Vector = ArrayLike<number>;

export function dot(a: Vector, b: Vector): number {
  let sum = 0;
  for (let i = 0; i < a.length; i++) sum += a[i] * b[i];
  return sum;
}

/** W · x (+ bias). */
export function matvec(weight: PlainWeight, x: Vector, bias?: PlainWeight): Float64Array {
  return Float64Array.from({ length: weight.rows }, (_, r) => {
    const row = weight.values.subarray(r * weight.cols, (r + 1) * weight.cols);
    return dot(row, x) + (bias ? bias.values[r] : 0);
  });
}

export function rmsNorm(x: Vector, weight: Vector, eps: number): Float64Array {
  const rms = Math.sqrt(dot(x, x) / x.length + eps);
  return Float64Array.from({ length: x.length }, (_, i) => (x[i] / rms) * weight[i]);
}

/** Rotate-half RoPE of one head. rope: cos of the headDim/2 angles, then sin. */
export function rotate(head: Vector, rope: Vector): Float64Array {
  const half = head.length / 2;
  return Float64Array.from({ length: head.length }, (_, i) => {
    const [cos, sin] = [rope[i % half], rope[half + (i % half)]];
    return i < half ? head[i] * cos - head[i + half] * sin : head[i] * cos + head[i - half] * sin;
  });
}

/** The nearest number of f16, of two as near the even one; what is too large becomes infinite. */
export function roundToHalf(x: number): number {
  if (!(Math.abs(x) < 65520)) return Number.isNaN(x) ? x : Math.sign(x) * Number.POSITIVE_INFINITY;
  const ulp = 2 ** (Math.max(-14, Math.floor(Math.log2(Math.abs(x)))) - 10);
  const units = x / ulp;
  const down = Math.floor(units);
  const isTie = units - down === 0.5;
  return (isTie ? down + (down & 1) : Math.round(units)) * ulp;
}

/** A head's key or value as an int8 cache returns it: steps of a 127th of its largest magnitude, ties to even. */
export function roundToInt8(row: Vector): Float64Array {
  const step = Array.from(row, Math.abs).reduce((a, b) => Math.max(a, b)) / 127;
  return Float64Array.from(row, (x) => {
    const up = Math.ceil(x / step - 0.5);
    const isTie = up - x / step === -0.5;
    return step === 0 ? 0 : (isTie && up % 2 !== 0 ? up + 1 : up) * step;
  });
}

/** Splits [count, size] into rows. */
export function split(values: Float64Array, size: number): Float64Array[] {
  return Array.from({ length: values.length / size }, (_, i) => values.slice(i * size, (i + 1) * size));
}

/** Scaled logits of one head's query against keys. */
export function headScores(query: Vector, keys: readonly Vector[], scale = query.length ** -0.5): number[] {
  return keys.map((key) => dot(query, key) * scale);
}

/** Softmax attention of one head over the keys and values given. */
export function attention(
  query: Vector,
  keys: readonly Vector[],
  values: readonly Vector[],
  scale = query.length ** -0.5,
): Float64Array {
  const scores = headScores(query, keys, scale);
  const largest = scores.reduce((a, b) => Math.max(a, b));
  const weights = scores.map((score) => Math.exp(score - largest));
  const mass = weights.reduce((a, b) => a + b);
  return Float64Array.from({ length: query.length }, (_, i) =>
    weights.reduce((sum, weight, t) => sum + (weight / mass) * values[t][i], 0),
  );
}

export function silu(x: number): number {
  return x / (1 + Math.exp(-x));
}

/** GELU by its tanh formula. */
export function geluTanh(x: number): number {
  return (x / 2) * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
}

/** The experts of a row by the softmax of their logits, ties to the lower expert, and their weights. */
export function chooseExperts(logits: Vector, count: number, isNormalised: boolean): Map<number, number> {
  const powers = Array.from(logits, Math.exp);
  const order = powers.map((_, expert) => expert).sort((a, b) => logits[b] - logits[a] || a - b);
  const chosen = order.slice(0, count);
  const among = isNormalised ? chosen : order;
  const mass = among.reduce((sum, expert) => sum + powers[expert], 0);
  return new Map(chosen.map((expert) => [expert, powers[expert] / mass]));
}

/** Ranks the units that are not always kept: by score descending, ties (+0 and -0 too) to the lower position, NaN last. */
export function topK(scores: Vector, ends: KeptEnds, count: number): number[] {
  const units = Array.from({ length: scores.length }, (_, u) => u).slice(
    ends.sinks,
    scores.length - ends.recent,
  );
  const isNumber = (u: number) => !Number.isNaN(scores[u]);
  const ranked = units
    .filter(isNumber)
    .sort((a, b) => (scores[a] === scores[b] ? a - b : scores[a] > scores[b] ? -1 : 1));
  return [...ranked, ...units.filter((u) => !isNumber(u))].slice(0, count);
}

/** Merges rankings: takes the first `count` distinct units of the stream of all heads' rank 0, all heads' rank 1, … */
export function mergeByRank(heads: readonly Vector[], ends: KeptEnds, count: number): number[] {
  const ranked = heads.map((scores) => topK(scores, ends, count));
  const stream = Array.from({ length: count }, (_, rank) => ranked.map((units) => units[rank])).flat();
  return [...new Set(stream)].slice(0, count);
}

/** Returns the positions whose unit is in the set, among the first `sinks`, or among the last `recent`. */
export function expandSelection(
  units: Iterable<number>,
  unit: number,
  length: number,
  ends: KeptEnds,
): number[] {
  const chosen = new Set(units);
  const numUnits = Math.ceil(length / unit);
  return Array.from({ length }, (_, t) => t).filter((t) => {
    const u = Math.floor(t / unit);
    return chosen.has(u) || u < ends.sinks || u >= numUnits - ends.recent;
  });
}

/** Returns Quest's bound: the unscaled score of the best key that the page's extremes of each channel can form. */
export function pageScore(query: Vector, keys: readonly Vector[]): number {
  let sum = 0;
  for (let c = 0; c < query.length; c++) {
    const channel = keys.map((key) => key[c]);
    sum += Math.max(query[c] * Math.min(...channel), query[c] * Math.max(...channel));
  }
  return sum;
}

/** Returns the tokens that sampling may give, with their probabilities, in Hugging Face's order of warpers. */
export function samplingDistribution(
  logits: Vector,
  params: SamplingParams,
  seen: Iterable<number>,
  changes: { readonly bias?: ReadonlyMap<number, number>; readonly allowed?: ReadonlySet<number> } = {},
): Map<number, number> {
  const seenTokens = new Set(seen);
  const penalised = Array.from(logits, (logit, id) =>
    !seenTokens.has(id)
      ? logit
      : logit < 0
        ? logit * params.repetitionPenalty
        : logit / params.repetitionPenalty,
  ).map((logit, id) => {
    if (changes.allowed && !changes.allowed.has(id)) return Number.NEGATIVE_INFINITY;
    return logit + (changes.bias?.get(id) ?? 0);
  });
  let kept = topK(penalised, { sinks: 0, recent: 0 }, penalised.length);
  const best = penalised[kept[0]];
  if (params.temperature === 0) return new Map([[kept[0], 1]]);
  const weight = (id: number) => Math.exp((penalised[id] - best) / params.temperature);
  const mass = () => kept.reduce((sum, id) => sum + weight(id), 0);
  if (params.topK > 0) kept = kept.slice(0, params.topK);
  if (params.topP < 1) {
    const total = mass();
    let before = 0;
    kept = kept.filter((id, i) => {
      const stays = i === 0 || before / total < params.topP;
      before += weight(id);
      return stays;
    });
  }
  if (params.minP > 0) kept = kept.filter((id) => weight(id) >= params.minP);
  const total = mass();
  return new Map(kept.map((id) => [id, weight(id) / total]));
}

/** Pools the scores of heads, unit by unit: maximum, or mean of the softmax weights; -Infinity where every head has it. */
export function poolScores(heads: readonly Vector[], how: Pooling): number[] {
  const units = Array.from({ length: heads[0].length }, (_, unit) => unit);
  const columns = units.map((unit) => heads.map((scores) => scores[unit]));
  if (how === "max") return columns.map((column) => Math.max(...column));
  const weights = heads.map((scores) => {
    const largest = Array.from(scores).reduce((a, b) => Math.max(a, b));
    const powers = Array.from(scores, (score) => (score === -Infinity ? 0 : Math.exp(score - largest)));
    const mass = powers.reduce((a, b) => a + b);
    return powers.map((power) => (mass === 0 ? 0 : power / mass));
  });
  return units.map((unit) =>
    Math.max(...columns[unit]) === -Infinity
      ? -Infinity
      : weights.reduce((sum, ofHead) => sum + ofHead[unit], 0) / heads.length,
  );
}
