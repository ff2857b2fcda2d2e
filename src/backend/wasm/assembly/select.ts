/**
 * Selection: the best units of each head, their union by rank, and ascending token positions. Exact: the sampled threshold
 * only decides how many scores are visited twice.
 */
import { fork, ALL_THREADS } from "./control";
import { batch, limits, param, region, scratch, setParam } from "./state";

/** Maximum size of the sample from which the threshold comes. */
const SAMPLE: u32 = 1024;
/** Minimum scores for each element of the sample. */
const SAMPLE_STEP: u32 = 8;
/** Candidates from which on sampling pays. */
const SAMPLED_FROM: u32 = 512;
const HISTOGRAM_BYTES: usize = 16384;

/** Scratch: histograms, then two lists of (key, unit) pairs; or a bitmap. */
export function selectScratch(): u32 {
  return <u32>HISTOGRAM_BYTES + (max<u32>(limits.length(), SAMPLE) + 16) * 16;
}

/** Maps descending scores to ascending keys; -0 equals +0, NaN comes last. */
// @ts-ignore: decorator
@inline function keyOf(score: f32): u32 {
  if (score != score) return 0xffffffff;
  const bits = reinterpret<u32>(score + <f32>0);
  return bits & 0x80000000 ? bits : ~(bits | 0x80000000);
}

// @ts-ignore: decorator
@inline function entry(key: u32, unit: u32): u64 { return (<u64>unit << 32) | <u64>key; }

/** Params: 0 first sequence, 1 scores, 2 heads, 3 capacity, 4 unit, 5 sinks, 6 recent, 7 count, 8 out, 9 out capacity. */
function setUp(first: u32, scores: usize, heads: u32, capacity: u32, unit: u32, sinks: u32, recent: u32, count: u32, out: usize, outCapacity: u32): void {
  setParam(0, first);
  setParam(1, <u32>scores);
  setParam(2, heads);
  setParam(3, capacity);
  setParam(4, unit);
  setParam(5, sinks);
  setParam(6, recent);
  setParam(7, count);
  setParam(8, <u32>out);
  setParam(9, outCapacity);
}

export function topK(first: u32, sequences: u32, scores: usize, heads: u32, capacity: u32, unit: u32, sinks: u32, recent: u32, count: u32, out: usize, outCapacity: u32): void {
  setUp(first, scores, heads, capacity, unit, sinks, recent, count, out, outCapacity);
  fork(topKItem, sequences * heads, ALL_THREADS);
}

/** One head of one sequence. */
function topKItem(item: u32): void {
  const heads = param(2);
  const s = param(0) + item / heads;
  const units = (batch.length(s) + param(4) - 1) / param(4);
  const sinks = param(5);
  best(<usize>(param(1) + (item * param(3) + sinks) * 4), units - sinks - param(6), sinks, param(7),
    <usize>(param(8) + item * param(9) * 4));
}

/** Writes the units of the k best of n scores to out, best first; the first score belongs to unit `base`. */
function best(scores: usize, n: u32, base: u32, k: u32, out: usize): void {
  if (k == 0) return;
  const list = scratch + HISTOGRAM_BYTES;
  let size: u32 = 0;
  if (n >= SAMPLED_FROM && k * 4 <= n) {
    size = filter(scores, n, base, sampledThreshold(scores, n, k, list), list);
    if (size < k) size = 0;
  }
  if (size == 0) size = exactSet(scores, n, base, k, list);
  const sorted = sort(list, list + <usize>((max<u32>(limits.length(), SAMPLE) + 16) * 8), size);
  for (let i: usize = 0; i < <usize>k; i++) store<u32>(out + (i << 2), load<u32>(sorted + (i << 3), 4));
}

/**
 * A score that slightly more than k of the n should reach. Bisects a sample, as integers in the order of the scores: at
 * most 32 counting passes whatever the scores.
 */
function sampledThreshold(scores: usize, n: u32, k: u32, sample: usize): f32 {
  const step = max<u32>(SAMPLE_STEP, n / SAMPLE);
  const size = min<u32>(SAMPLE, n / step) & ~3;
  const end = sample + <usize>(size * 4);
  for (let p = sample; p < end; p += 4, scores += <usize>(step * 4)) store<u32>(p, load<u32>(scores));
  let least = i32x4.splat(i32.MAX_VALUE), most = i32x4.splat(i32.MIN_VALUE);
  for (let p = sample; p < end; p += 16) {
    const v = v128.load(p);
    // Flips the magnitude bits of negative scores; NaN becomes the least integer.
    const order = v128.xor(v, i32x4.shr_u(i32x4.shr_s(v, 31), 1));
    const key = v128.bitselect(order, i32x4.splat(i32.MIN_VALUE), f32x4.eq(v, v));
    v128.store(p, key);
    least = i32x4.min_s(least, key);
    most = i32x4.max_s(most, key);
  }
  const expected = <f32>k * <f32>size / <f32>n;
  const rank = min<u32>(size, <u32>(expected + 3 * sqrt<f32>(expected)) + 4);
  // At least `rank` of the sample reach `low`; fewer reach `high`.
  let low = <i64>lowest(least), high = <i64>-lowest(i32x4.neg(most)) + 1;
  while (high - low > 1) {
    const middle = (low + high) >> 1;
    const reached = countFrom(sample, end, <i32>middle);
    if (reached < rank) {
      high = middle;
      continue;
    }
    low = middle;
    if (reached <= rank + (rank >> 5)) break;
  }
  const bits = <i32>low;
  if (bits < <i32>0x807fffff) return -Infinity;
  return reinterpret<f32>(bits ^ ((bits >> 31) & 0x7fffffff));
}

// @ts-ignore: decorator
@inline function lowest(v: v128): i32 {
  return min<i32>(min<i32>(i32x4.extract_lane(v, 0), i32x4.extract_lane(v, 1)), min<i32>(i32x4.extract_lane(v, 2), i32x4.extract_lane(v, 3)));
}

/** Counts the i32 in p..end that are at least `value`, which is above the least i32. */
function countFrom(p: usize, end: usize, value: i32): u32 {
  const below = i32x4.splat(value - 1);
  let count = i32x4.splat(0);
  for (; p < end; p += 16) count = i32x4.sub(count, i32x4.gt_s(v128.load(p), below));
  return i32x4.extract_lane(count, 0) + i32x4.extract_lane(count, 1) + i32x4.extract_lane(count, 2) + i32x4.extract_lane(count, 3);
}

/** The n-th smallest key (n >= 1) of `count` scores: radix selection in passes of 12, 12 and 8 bits. */
function nthKey(scores: usize, count: u32, n: u32): u32 {
  let prefix: u32 = 0;
  let mask: u32 = 0;
  for (let pass: u32 = 0; pass < 3; pass++) {
    const shift: u32 = pass == 0 ? 20 : pass == 1 ? 8 : 0;
    const digits: u32 = pass == 2 ? 0xff : 0xfff;
    memory.fill(scratch, 0, <usize>((digits + 1) * 4));
    const end = scores + <usize>(count * 4);
    for (let p = scores; p < end; p += 4) {
      const key = keyOf(load<f32>(p));
      if ((key & mask) != prefix) continue;
      const at = scratch + <usize>(((key >> shift) & digits) * 4);
      store<u32>(at, load<u32>(at) + 1);
    }
    let digit: u32 = 0;
    for (;;) {
      const here = load<u32>(scratch + <usize>(digit * 4));
      if (here >= n) break;
      n -= here;
      digit++;
    }
    prefix |= digit << shift;
    mask |= digits << shift;
  }
  return prefix;
}

/** Lists all scores >= threshold, in ascending order of unit. */
function filter(scores: usize, n: u32, base: u32, threshold: f32, list: usize): u32 {
  const t = f32x4.splat(threshold);
  const start = list;
  let i: u32 = 0;
  for (; i + 16 <= n; i += 16) {
    const p = scores + <usize>(i * 4);
    const a = f32x4.ge(v128.load(p), t), b = f32x4.ge(v128.load(p, 16), t);
    const c = f32x4.ge(v128.load(p, 32), t), d = f32x4.ge(v128.load(p, 48), t);
    let hits: u32 = i8x16.bitmask(i8x16.narrow_i16x8_s(i16x8.narrow_i32x4_s(a, b), i16x8.narrow_i32x4_s(c, d)));
    while (hits) {
      const at = ctz(hits);
      hits &= hits - 1;
      store<u64>(list, entry(keyOf(load<f32>(p + <usize>(at * 4))), base + i + at));
      list += 8;
    }
  }
  for (; i < n; i++) {
    const score = load<f32>(scores + <usize>(i * 4));
    if (score >= threshold) {
      store<u64>(list, entry(keyOf(score), base + i));
      list += 8;
    }
  }
  return <u32>(list - start) >> 3;
}

/** Lists exactly the k best, in ascending order of unit, by radix selection over all n. */
function exactSet(scores: usize, n: u32, base: u32, k: u32, list: usize): u32 {
  const worst = k < n ? nthKey(scores, n, k) : 0xffffffff;
  let better: u32 = 0;
  for (let i: u32 = 0; i < n; i++) better += u32(keyOf(load<f32>(scores + <usize>(i * 4))) < worst);
  let ties = k - better;
  for (let i: u32 = 0; i < n; i++) {
    const key = keyOf(load<f32>(scores + <usize>(i * 4)));
    if (key > worst) continue;
    if (key == worst) {
      if (ties == 0) continue;
      ties--;
    }
    store<u64>(list, entry(key, base + i));
    list += 8;
  }
  return k;
}

/**
 * Stable radix sort by key in passes of 8 bits; skips passes with one digit throughout. Keys count from the smallest: the
 * best of many lie close together, which saves a pass. Returns the address of the result, `from` or `to`.
 */
function sort(from: usize, to: usize, count: u32): usize {
  const counts = scratch;
  memory.fill(counts, 0, 4096);
  const end = from + <usize>(count * 8);
  let least: u32 = 0xffffffff;
  let most: u32 = 0;
  for (let p = from; p < end; p += 8) {
    const key = load<u32>(p);
    least = min<u32>(least, key);
    most = max<u32>(most, key);
  }
  const digits: u32 = (39 - clz<u32>((most - least) | 1)) >> 3;
  for (let p = from; p < end; p += 8) {
    const key = load<u32>(p) - least;
    store<u32>(p, key);
    for (let digit: u32 = 0; digit < digits; digit++) {
      const at = counts + <usize>((digit << 10) + (((key >> (digit * 8)) & 255) << 2));
      store<u32>(at, load<u32>(at) + 1);
    }
  }
  for (let digit: u32 = 0; digit < digits; digit++) {
    const table = counts + <usize>(digit << 10);
    const shift = digit * 8;
    if (load<u32>(table + <usize>(((load<u32>(from) >> shift) & 255) << 2)) == count) continue;
    let sum = <u32>to;
    for (let i: usize = 0; i < 1024; i += 4) {
      const here = load<u32>(table + i);
      store<u32>(table + i, sum);
      sum += here << 3;
    }
    const stop = from + <usize>(count * 8);
    for (let p = from; p < stop; p += 8) {
      const e = load<u64>(p);
      const at = table + <usize>(((<u32>e >> shift) & 255) << 2);
      const place = load<u32>(at);
      store<u64>(<usize>place, e);
      store<u32>(at, place + 8);
    }
    const swap = from;
    from = to;
    to = swap;
  }
  return from;
}

export function mergeByRank(first: u32, sequences: u32, scores: usize, heads: u32, capacity: u32, unit: u32, sinks: u32, recent: u32, count: u32, out: usize, outCapacity: u32): void {
  const ranks = region.ranks();
  const stride = limits.length();
  for (let s: u32 = 0; s < sequences; s++) {
    setUp(first + s, scores + <usize>(s * heads * capacity * 4), heads, capacity, unit, sinks, recent, count, ranks, stride);
    fork(topKItem, heads, ALL_THREADS);
    const bitmap = scratch;
    memory.fill(bitmap, 0, <usize>((limits.length() >> 5) + 1) * 4);
    let to = out + <usize>(s * outCapacity * 4);
    const end = to + <usize>(count * 4);
    for (let rank: u32 = 0; rank < count && to < end; rank++)
      for (let h: u32 = 0; h < heads && to < end; h++) {
        const u = load<u32>(ranks + <usize>((h * stride + rank) * 4));
        if (setBit(bitmap, u)) {
          store<u32>(to, u);
          to += 4;
        }
      }
  }
}

/** Sets a bit; true if it was clear. */
// @ts-ignore: decorator
@inline function setBit(bitmap: usize, i: u32): bool {
  const at = bitmap + <usize>((i >> 5) << 2);
  const word = load<u32>(at);
  const bit: u32 = 1 << (i & 31);
  store<u32>(at, word | bit);
  return (word & bit) == 0;
}

export function expandSelection(first: u32, sequences: u32, units: usize, groups: u32, capacity: u32, unit: u32, sinks: u32, recent: u32, count: u32, out: usize, outCapacity: u32, counts: usize): void {
  // Params: those of `setUp`, with units (or 0) for scores and groups for heads; 10 counts.
  setUp(first, units, groups, capacity, unit, sinks, recent, count, out, outCapacity);
  setParam(10, <u32>counts);
  fork(expandItem, sequences * groups, ALL_THREADS);
}

/** One head group of one sequence. */
function expandItem(item: u32): void {
  const s = item / param(2);
  const length = batch.length(param(0) + s);
  const unit = param(4);
  const numUnits = (length + unit - 1) / unit;
  const words = (numUnits + 31) >> 5;
  const bitmap = scratch;
  memory.fill(bitmap, 0, <usize>(words * 4));
  const from = <usize>(param(1) + item * param(3) * 4);
  if (param(1)) for (let i: usize = 0; i < <usize>param(7); i++) setBit(bitmap, load<u32>(from + (i << 2)));
  for (let u: u32 = 0; u < min<u32>(param(5), numUnits); u++) setBit(bitmap, u);
  for (let u: u32 = numUnits - min<u32>(param(6), numUnits); u < numUnits; u++) setBit(bitmap, u);
  const out = <usize>(param(8) + item * param(9) * 4);
  let to = out;
  for (let w: u32 = 0; w < words; w++) {
    let bits = load<u32>(bitmap + <usize>(w * 4));
    while (bits) {
      const u = (w << 5) + ctz(bits);
      bits &= bits - 1;
      const last = min<u32>(length, (u + 1) * unit);
      for (let p = u * unit; p < last; p++, to += 4) store<u32>(to, p);
    }
  }
  store<u32>(<usize>(param(10) + item * 4), <u32>(to - out) >> 2);
}
