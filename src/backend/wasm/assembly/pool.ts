/**
 * Pools scores of heads: their maximum, or the mean of their softmax weights. Every head's largest score and mass come first;
 * then blocks of units are pooled, which read the scores again.
 */
import { fork, ALL_THREADS } from "./control";
import { exp1, exp4, max4, sum4 } from "./math";
import { batch, param, region, setParam } from "./state";

/** Units of an item that pools. */
const UNITS: u32 = 1024;

/** Params: 0 first sequence, 1 scores, 2 heads, 3 capacity, 4 unit, 5 out, 6 heads of out, 7 capacity of out, 8: 1 for the maximum. */
export function poolScores(first: u32, sequences: u32, scores: usize, heads: u32, capacity: u32, unit: u32, isMax: u32, out: usize, outHeads: u32, outCapacity: u32): void {
  setParam(0, first);
  setParam(1, <u32>scores);
  setParam(2, heads);
  setParam(3, capacity);
  setParam(4, unit);
  setParam(5, <u32>out);
  setParam(6, outHeads);
  setParam(7, outCapacity);
  setParam(8, isMax);
  if (!isMax) fork(weighItem, sequences * heads, ALL_THREADS);
  let items: u32 = 0;
  for (let s: u32 = 0; s < sequences; s++) items += blocksOf(s);
  fork(poolItem, items * outHeads, ALL_THREADS);
}

// @ts-ignore: decorator
@inline function unitsOf(s: u32): u32 { return (batch.length(param(0) + s) + param(4) - 1) / param(4); }
// @ts-ignore: decorator
@inline function blocksOf(s: u32): u32 { return (unitsOf(s) + UNITS - 1) / UNITS; }

/** Largest score of a head, and the factor of its weights: 1 / (mass × heads of a run); f32 [sequences, heads, 2]. */
// @ts-ignore: decorator
@inline function stateOf(row: u32): usize { return region.partials() + <usize>(row * 8); }

/** True if one of the scores is above -Infinity. Masked scores come in long runs. */
// @ts-ignore: decorator
@inline function hasScore(v: v128): bool { return v128.any_true(f32x4.gt(v, f32x4.splat(-Infinity))); }

/** The state of one head of one sequence. */
function weighItem(item: u32): void {
  const n = unitsOf(item / param(2));
  const from = <usize>(param(1) + item * param(3) * 4);
  const whole = from + <usize>((n & ~3) * 4), end = from + <usize>(n * 4);
  let most = f32x4.splat(-Infinity);
  for (let p = from; p < whole; p += 16) most = f32x4.pmax(most, v128.load(p));
  let largest = max4(most);
  for (let p = whole; p < end; p += 4) largest = max<f32>(largest, load<f32>(p));
  if (largest == -Infinity) largest = 0;
  const top = f32x4.splat(largest);
  let sums = f32x4.splat(0);
  for (let p = from; p < whole; p += 16) {
    const v = v128.load(p);
    if (hasScore(v)) sums = f32x4.add(sums, exp4(f32x4.sub(v, top)));
  }
  let mass = sum4(sums);
  for (let p = whole; p < end; p += 4) mass += exp1(load<f32>(p) - largest);
  store<f32>(stateOf(item), largest);
  store<f32>(stateOf(item), mass == 0 ? 0 : 1 / (mass * <f32>(param(2) / param(6))), 4);
}

/** UNITS units of one head of out. */
function poolItem(item: u32): void {
  const heads = param(2), outHeads = param(6), run = heads / outHeads;
  const head = item % outHeads;
  let block = item / outHeads;
  let s: u32 = 0;
  while (block >= blocksOf(s)) block -= blocksOf(s++);
  const first = block * UNITS;
  const n = min<u32>(unitsOf(s) - first, UNITS);
  const row = s * heads + head * run;
  const stride = <usize>(param(3) * 4);
  const from = <usize>(param(1) + first * 4) + <usize>row * stride;
  const to = <usize>(param(5) + ((s * outHeads + head) * param(7) + first) * 4);
  const isMax = param(8) != 0;
  let i: usize = 0;
  for (const whole = <usize>((n & ~3) * 4); i < whole; i += 16) v128.store(to + i, pooled(from + i, stride, run, row, isMax));
  for (const end = <usize>(n * 4); i < end; i += 4) store<f32>(to + i, pooled1(from + i, stride, run, row, isMax));
}

/** Four units of a run of heads. */
function pooled(at: usize, stride: usize, run: u32, row: u32, isMax: bool): v128 {
  const masked = f32x4.splat(-Infinity);
  let most = masked, sum = f32x4.splat(0);
  for (let h: u32 = 0; h < run; h++, at += stride) {
    const v = v128.load(at);
    most = f32x4.pmax(most, v);
    if (isMax || !hasScore(v)) continue;
    const weights = exp4(f32x4.sub(v, v128.load32_splat(stateOf(row + h))));
    sum = f32x4.add(sum, f32x4.mul(weights, v128.load32_splat(stateOf(row + h) + 4)));
  }
  return isMax ? most : v128.bitselect(sum, masked, f32x4.gt(most, masked));
}

function pooled1(at: usize, stride: usize, run: u32, row: u32, isMax: bool): f32 {
  let most: f32 = -Infinity, sum: f32 = 0;
  for (let h: u32 = 0; h < run; h++, at += stride) {
    const score = load<f32>(at);
    most = max<f32>(most, score);
    if (!isMax) sum += exp1(score - load<f32>(stateOf(row + h))) * load<f32>(stateOf(row + h), 4);
  }
  return isMax || most == -Infinity ? most : sum;
}

/** Makes all scores of sequences -Infinity. Params: 0 first sequence, 2 heads, 3 capacity, 4 unit, 5 scores. */
export function maskScores(first: u32, sequences: u32, scores: usize, heads: u32, capacity: u32): void {
  setParam(0, first);
  setParam(2, heads);
  setParam(3, capacity);
  setParam(4, 1);
  setParam(5, <u32>scores);
  fork(maskItem, sequences * heads, ALL_THREADS);
}

/** One head of one sequence. */
function maskItem(item: u32): void {
  const n = unitsOf(item / param(2));
  let p = <usize>(param(5) + item * param(3) * 4);
  const masked = f32x4.splat(-Infinity);
  const end = p + <usize>(n * 4);
  for (const whole = p + <usize>((n & ~3) * 4); p < whole; p += 16) v128.store(p, masked);
  for (; p < end; p += 4) store<f32>(p, -Infinity);
}

/** Params: 0 first sequence, 1 scores, 2 heads, 3 capacity, 4 unit, 5 bits of the threshold, 6 count, 7 units, 8 their capacity. */
export function unitsAbove(first: u32, sequences: u32, scores: usize, heads: u32, capacity: u32, unit: u32, threshold: f32, count: u32, units: usize, unitCapacity: u32): void {
  setParam(0, first);
  setParam(1, <u32>scores);
  setParam(2, heads);
  setParam(3, capacity);
  setParam(4, unit);
  setParam(5, reinterpret<u32>(threshold));
  setParam(6, count);
  setParam(7, <u32>units);
  setParam(8, unitCapacity);
  fork(aboveItem, sequences * heads, ALL_THREADS);
}

/** One head of one sequence. */
function aboveItem(item: u32): void {
  const n = unitsOf(item / param(2));
  const threshold = reinterpret<f32>(param(5));
  const from = <usize>(param(1) + item * param(3) * 4);
  const to = <usize>(param(7) + item * param(8) * 4);
  for (let unit: u32 = 0; unit < param(6); unit++) {
    const isAbove = unit < n && load<f32>(from + <usize>(unit * 4)) > threshold;
    store<u32>(to + <usize>(unit * 4), isAbove ? unit : 0);
  }
}

/** Copies a set of tokens, as many as `count` holds, and their number. */
export function copySet(from: usize, count: usize, to: usize, toCount: usize): void {
  const n = load<u32>(count);
  memory.copy(to, from, <usize>(n * 4));
  store<u32>(toCount, n);
}
