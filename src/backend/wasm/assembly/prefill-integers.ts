/**
 * Prefill attention in 16-bit integers, for quantised weights and the int8 cache: an instruction multiplies and adds eight of them, where
 * f32 takes two for four. Queries and keys are rounded with one scale a vector, values with one scale a token, the weights of
 * a block of keys with one scale a query vector. Sums of a head, and of a block, are exact integers of 32 bits.
 *
 * Scales keep sums below 2^31. Of a logit, |q · k| <= |q| |k| (Cauchy-Schwarz) <= 46,000². Of an output, 8,191 times the sum of the weights.
 */
import { exp2of4, madd, sumRows } from "./math";
import {
  firstSeen, groupSize, hide, KEYS, LOWEST, PANEL, panelBytes, slotOf, tileVectors, vectorAt, writeOutputs,
} from "./prefill-tile";
import { cache, model, param, scratch } from "./state";

/** Largest length of a query and a key, and largest element. */
const MOST_LENGTH: f32 = 46000;
const MOST: f32 = 32767;
/** Largest element of a value, and largest sum of a block's weights: 8191 * (262000 + KEYS / 2) < 2^31. */
const MOST_VALUE: f32 = 8191;
const MOST_WEIGHTS: f32 = 262000;
/** The same of int8 values. */
const MOST_WEIGHTS_INT8: f32 = 16900000;
/** Largest factor of weights, above all of a block that is hidden: its weights become 0. */
const MOST_FACTOR: f32 = 1e30;
/** A vector whose elements are all below counts as zeros: its squares underflow. */
const LEAST: f32 = 1e-18;
const LOG2_E: f32 = 1.4426950408889634;
/** 1.5 * 2^23: adding it rounds to the nearest integer, which the low 16 bits of the sum hold. */
const ROUND: f32 = 12582912;
/** Scales of sums that need none of four rows. */
const ONES = memory.data<f32>([1, 1, 1, 1], 16);

/**
 * Scratch, f32: outputs [panel][channel][8], scales of queries, largest and mass [vector], logits [key][8], factors [8], scales of keys and of values [key];
 * int16: queries [panel][channel / 2][8][2], weights [key / 2][8][2], keys [key / 4][channel / 2][4][2], values [channel / 4][key / 2][4][2].
 */
export function integersScratch(): u32 {
  const d = cache.rowFloats();
  return tileVectors() * (6 * d + 12) + 32 + KEYS * (32 + 8 + 16 + 4 * d);
}

/** See `tileOfFloats`. */
export function tileOfIntegers(s: u32, at: u32, rows: u32, position: u32, kvHead: u32): void {
  const heads = groupSize(), vectors = rows * heads;
  const d = cache.rowFloats(), bytes = panelBytes(), half = bytes >> 1;
  const outputs = scratch;
  const queryScales = outputs + <usize>(tileVectors() * d * 4);
  const largest = queryScales + <usize>(tileVectors() * 4);
  const mass = largest + <usize>(tileVectors() * 4);
  const logits = mass + <usize>(tileVectors() * 4);
  const factors = logits + <usize>KEYS * PANEL;
  const keyScales = factors + 32;
  const valueScales = keyScales + <usize>(KEYS * 4);
  const queries = valueScales + <usize>(KEYS * 4);
  const weights = queries + <usize>(tileVectors() * d * 2);
  const keys = weights + <usize>KEYS * 16;
  const values = keys + <usize>(KEYS * d * 2);

  packQueries(queries, queryScales, at, rows, kvHead);
  memory.fill(outputs, 0, queryScales - outputs);
  for (let p = largest; p < mass; p += 16) v128.store(p, f32x4.splat(LOWEST));
  memory.fill(mass, 0, logits - mass);

  const visible = position + rows;
  for (let key = firstSeen(position) & ~(KEYS - 1); key < visible; key += KEYS) {
    packBlock(s, kvHead, key, min<u32>(KEYS, visible - key), keys, values, keyScales);
    for (let v: u32 = 0; v < vectors; v += 8) {
      const last = position + (min<u32>(v + 8, vectors) - 1) / heads;
      const first = position + v / heads;
      if (last < key || key + KEYS <= firstSeen(first)) continue;
      const n = min<u32>(KEYS, (last + 4 - key) & ~3);
      const panel = <usize>(v >> 3);
      for (let k: u32 = 0; k < n; k += 4)
        tile(queries + panel * half, d >> 1, keys + <usize>(k * d * 2), queryScales + <usize>(v * 4), keyScales + <usize>(k * 4), logits + <usize>k * PANEL, false);
      if (first + 1 < key + n || firstSeen(last) > key)
        for (let i: u32 = 0; i < 8; i++) hide(logits + <usize>(i * 4), position + (v + i) / heads, key, n);
      softmaxPanel(logits, n, largest + <usize>(v * 4), mass + <usize>(v * 4), outputs + panel * bytes, bytes, valueScales, weights, factors);
      for (let c: u32 = 0; c < d; c += 4)
        tile(weights, n >> 1, values + <usize>(c * KEYS * 2), factors, ONES, outputs + panel * bytes + <usize>c * PANEL, true);
    }
  }
  writeOutputs(outputs, mass, at, rows, kvHead, heads);
}

/** c[i][0..7] (+)= factors[0..7] * scales[i] * Σ panel · x[i] for i < 4. panel: int16 [pair][8][2]; x: int16 [pair][4][2]; c: f32 [4][8]. */
function tile(panel: usize, pairs: u32, x: usize, factors: usize, scales: usize, c: usize, accumulate: bool): void {
  let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let w0: v128, w1: v128, s: v128;
  const end = panel + <usize>(pairs * 32);
  // Not unrolled, and in loops that run once: see tile.ts.
  while (panel < end) {
    for (; panel < end; panel += 32, x += 16) {
      w0 = v128.load(panel); w1 = v128.load(panel, 16);
      s = v128.load32_splat(x); a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, s)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w1, s));
      s = v128.load32_splat(x, 4); a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w0, s)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, s));
      s = v128.load32_splat(x, 8); a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w0, s)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w1, s));
      s = v128.load32_splat(x, 12); a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w0, s)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w1, s));
    }
  }
  w0 = v128.load(factors); w1 = v128.load(factors, 16);
  putRow(c, a0, b0, w0, w1, v128.load32_splat(scales), accumulate);
  putRow(c + 32, a1, b1, w0, w1, v128.load32_splat(scales, 4), accumulate);
  putRow(c + 64, a2, b2, w0, w1, v128.load32_splat(scales, 8), accumulate);
  putRow(c + 96, a3, b3, w0, w1, v128.load32_splat(scales, 12), accumulate);
}

// @ts-ignore: decorator
@inline function putRow(c: usize, a: v128, b: v128, f0: v128, f1: v128, scale: v128, accumulate: bool): void {
  f0 = f32x4.mul(f0, scale); f1 = f32x4.mul(f1, scale);
  a = f32x4.convert_i32x4_s(a); b = f32x4.convert_i32x4_s(b);
  v128.store(c, accumulate ? madd(a, f0, v128.load(c)) : f32x4.mul(a, f0));
  v128.store(c, accumulate ? madd(b, f1, v128.load(c, 16)) : f32x4.mul(b, f1), 16);
}

/** Adds a block's logits [n][8], of base 2, to the running softmax of a panel. Stores its weights, and the factors of sums of them. */
function softmaxPanel(row: usize, n: u32, largest: usize, mass: usize, output: usize, bytes: usize, scales: usize, weights: usize, factors: usize): void {
  const end = row + <usize>n * PANEL;
  const before0 = v128.load(largest), before1 = v128.load(largest, 16);
  let m0 = before0, m1 = before1;
  for (let p = row; p < end; p += PANEL) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
  }
  let sum0 = v128.load(mass), sum1 = v128.load(mass, 16);
  if (v128.any_true(v128.or(f32x4.ne(m0, before0), f32x4.ne(m1, before1)))) {
    v128.store(largest, m0);
    v128.store(largest, m1, 16);
    const f0 = exp2of4(f32x4.sub(before0, m0)), f1 = exp2of4(f32x4.sub(before1, m1));
    sum0 = f32x4.mul(sum0, f0);
    sum1 = f32x4.mul(sum1, f1);
    for (const stop = output + bytes; output < stop; output += PANEL) {
      v128.store(output, f32x4.mul(v128.load(output), f0));
      v128.store(output, f32x4.mul(v128.load(output, 16), f1), 16);
    }
  }
  let most0 = f32x4.splat(0), most1 = most0, all0 = most0, all1 = most0;
  for (let p = row; p < end; p += PANEL, scales += 4) {
    const s = v128.load32_splat(scales);
    let e0 = exp2of4(f32x4.sub(v128.load(p), m0)), e1 = exp2of4(f32x4.sub(v128.load(p, 16), m1));
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
    e0 = f32x4.mul(e0, s);
    e1 = f32x4.mul(e1, s);
    v128.store(p, e0);
    v128.store(p, e1, 16);
    all0 = f32x4.add(all0, e0);
    all1 = f32x4.add(all1, e1);
    most0 = f32x4.pmax(most0, e0);
    most1 = f32x4.pmax(most1, e1);
  }
  v128.store(mass, sum0);
  v128.store(mass, sum1, 16);
  const f0 = factorOf(all0, most0), f1 = factorOf(all1, most1);
  v128.store(factors, f32x4.div(f32x4.splat(1), f0));
  v128.store(factors, f32x4.div(f32x4.splat(1), f1), 16);
  for (let p = row; p < end; p += 2 * PANEL, weights += 32) {
    v128.store(weights, pairOf(scaled(v128.load(p), f0), scaled(v128.load(p, 32), f0)));
    v128.store(weights, pairOf(scaled(v128.load(p, 16), f1), scaled(v128.load(p, 48), f1)), 16);
  }
}

/** The factor that makes weights integers; NaN if one of them is. all: their sum; most: the largest. */
// @ts-ignore: decorator
@inline function factorOf(all: v128, most: v128): v128 {
  const ofSum = f32x4.div(f32x4.splat(cache.isInt8() ? MOST_WEIGHTS_INT8 : MOST_WEIGHTS), all);
  return f32x4.min(f32x4.min(ofSum, f32x4.div(f32x4.splat(MOST), most)), f32x4.splat(MOST_FACTOR));
}

/** x * factor rounded, in the low 16 bits. */
// @ts-ignore: decorator
@inline function scaled(x: v128, factor: v128): v128 { return f32x4.add(f32x4.mul(x, factor), f32x4.splat(ROUND)); }

/** The low halves of the lanes of a and b side by side. */
// @ts-ignore: decorator
@inline function pairOf(a: v128, b: v128): v128 { return v128.or(v128.and(a, i32x4.splat(0xffff)), i32x4.shl(b, 16)); }

/** Queries in panels, with scales that make logits those of base 2; vectors past the last are zeros. */
function packQueries(to: usize, scales: usize, row: u32, rows: u32, kvHead: u32): void {
  const heads = groupSize(), d = model.headDim();
  const half = panelBytes() >> 1;
  // An int8 key is at most 127 * sqrt(d) long.
  const length: f32 = cache.isInt8() ? <f32>16800000 / Mathf.sqrt(<f32>cache.rowFloats()) : MOST_LENGTH;
  memory.fill(to, 0, <usize>(tileVectors() * cache.rowFloats() * 2));
  memory.fill(scales, 0, <usize>(tileVectors() * 4));
  for (let v: u32 = 0; v < rows * heads; v++) {
    const from = vectorAt(2, row + v / heads, kvHead * heads + v % heads);
    let most: f32 = 0, sum: f32 = 0;
    for (let p = from, end = from + <usize>(d * 4); p < end; p += 4) {
      const x = load<f32>(p);
      most = max<f32>(most, abs<f32>(x));
      sum += x * x;
    }
    const factor = factorOfVector(sum, most, length);
    store<f32>(scales + <usize>(v * 4), factor == 0 ? 0 : model.attentionScale() * LOG2_E / factor);
    let out = to + <usize>(v >> 3) * half + <usize>((v & 7) * 4);
    for (let c: u32 = 0; c < d; c += 2, out += 32) {
      store<i16>(out, <i16>nearest<f32>(load<f32>(from + <usize>(c * 4)) * factor));
      if (c + 1 < d) store<i16>(out, <i16>nearest<f32>(load<f32>(from + <usize>(c * 4), 4) * factor), 2);
    }
  }
}

/** The factor that makes a vector integers: 0 for one of zeros, NaN if its length overflows or an element is NaN. */
// @ts-ignore: decorator
@inline function factorOfVector(squares: f32, most: f32, length: f32): f32 {
  if (!(squares < Infinity)) return NaN;
  return most < LEAST ? 0 : min<f32>(MOST / most, length / Mathf.sqrt(squares));
}

/** Keys key..key+n-1 and their values; four scales of values stand KEYS floats after those of their keys. */
function packBlock(s: u32, kvHead: u32, key: u32, n: u32, keys: usize, values: usize, scales: usize): void {
  const stride = <usize>cache.slotBytes();
  // Pages hold a multiple of 4 keys and blocks start at multiples of 4, so four keys are consecutive rows.
  for (let j: u32 = 0; j < n; j += 4, keys += <usize>(cache.rowFloats() * 8), values += 32, scales += 16) {
    const at = slotOf(s, key + j, kvHead);
    const count = min<u32>(4, n - j);
    if (cache.isInt8()) packFourInt8(<usize>param(0) + at, stride, count, keys, values, scales);
    else {
      packFourKeys(<usize>param(0) + at, stride, count, keys, scales);
      packFourValues(<usize>param(1) + at, stride, count, values, scales + KEYS * 4);
    }
  }
}

/** The magnitude of floats as integers: those of NaN are the largest. */
// @ts-ignore: decorator
@inline function magnitude(v: v128): v128 { return v128.and(v, i32x4.splat(0x7fffffff)); }

/** The largest lane of each of four vectors. */
// @ts-ignore: decorator
@inline function largestOfFour(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.max_s(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.max_s(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.max_s(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}

/** The factors of four rows, 0 for zeros and NaN for rows that are not finite; stores their scales. */
// @ts-ignore: decorator
@inline function finishFactors(factors: v128, largest: v128, isFinite: v128, scales: usize): v128 {
  const isSmall = f32x4.lt(largest, f32x4.splat(LEAST));
  const scale = v128.andnot(f32x4.div(f32x4.splat(1), factors), isSmall);
  v128.store(scales, v128.bitselect(scale, f32x4.splat(NaN), isFinite));
  return v128.bitselect(v128.andnot(factors, isSmall), f32x4.splat(NaN), isFinite);
}

/** Four rows as int16, rows from `count` on the first again: [channel / 2][4][2]. */
function packFourKeys(x: usize, stride: usize, count: u32, out: usize, scales: usize): void {
  let x1 = x + (count > 1 ? stride : 0), x2 = x + (count > 2 ? stride * 2 : 0), x3 = x + (count > 3 ? stride * 3 : 0);
  const bytes = <usize>(cache.rowFloats() * 4), end = x + bytes;
  let s0 = f32x4.splat(0), s1 = s0, s2 = s0, s3 = s0, m0 = s0, m1 = s0, m2 = s0, m3 = s0;
  for (; x < end; x += 16, x1 += 16, x2 += 16, x3 += 16) {
    let v = v128.load(x); s0 = madd(v, v, s0); m0 = i32x4.max_s(m0, magnitude(v));
    v = v128.load(x1); s1 = madd(v, v, s1); m1 = i32x4.max_s(m1, magnitude(v));
    v = v128.load(x2); s2 = madd(v, v, s2); m2 = i32x4.max_s(m2, magnitude(v));
    v = v128.load(x3); s3 = madd(v, v, s3); m3 = i32x4.max_s(m3, magnitude(v));
  }
  const squares = sumRows(s0, s1, s2, s3), largest = largestOfFour(m0, m1, m2, m3);
  let f = f32x4.pmin(f32x4.div(f32x4.splat(MOST), largest), f32x4.div(f32x4.splat(MOST_LENGTH), f32x4.sqrt(squares)));
  f = finishFactors(f, largest, f32x4.lt(squares, f32x4.splat(Infinity)), scales);
  const f0 = v128.shuffle<i32>(f, f, 0, 0, 0, 0), f1 = v128.shuffle<i32>(f, f, 1, 1, 1, 1);
  const f2 = v128.shuffle<i32>(f, f, 2, 2, 2, 2), f3 = v128.shuffle<i32>(f, f, 3, 3, 3, 3);
  const round = f32x4.splat(ROUND);
  x -= bytes; x1 -= bytes; x2 -= bytes; x3 -= bytes;
  for (; x < end; x += 16, x1 += 16, x2 += 16, x3 += 16, out += 32) {
    const a = i16x8.narrow_i32x4_s(i32x4.sub(scaled(v128.load(x), f0), round), i32x4.sub(scaled(v128.load(x1), f1), round));
    const b = i16x8.narrow_i32x4_s(i32x4.sub(scaled(v128.load(x2), f2), round), i32x4.sub(scaled(v128.load(x3), f3), round));
    v128.store(out, v128.shuffle<i32>(a, b, 0, 2, 4, 6));
    v128.store(out, v128.shuffle<i32>(a, b, 1, 3, 5, 7), 16);
  }
}

/** Four rows of a block's values as int16: two pairs of [channel / 4][key / 2][4][2]. */
function packFourValues(x: usize, stride: usize, count: u32, out: usize, scales: usize): void {
  let x1 = x + (count > 1 ? stride : 0), x2 = x + (count > 2 ? stride * 2 : 0), x3 = x + (count > 3 ? stride * 3 : 0);
  const bytes = <usize>(cache.rowFloats() * 4), end = x + bytes;
  let m0 = f32x4.splat(0), m1 = m0, m2 = m0, m3 = m0;
  for (; x < end; x += 16, x1 += 16, x2 += 16, x3 += 16) {
    m0 = i32x4.max_s(m0, magnitude(v128.load(x)));
    m1 = i32x4.max_s(m1, magnitude(v128.load(x1)));
    m2 = i32x4.max_s(m2, magnitude(v128.load(x2)));
    m3 = i32x4.max_s(m3, magnitude(v128.load(x3)));
  }
  const largest = largestOfFour(m0, m1, m2, m3);
  const f = finishFactors(f32x4.div(f32x4.splat(MOST_VALUE), largest), largest, f32x4.lt(largest, f32x4.splat(Infinity)), scales);
  const f0 = v128.shuffle<i32>(f, f, 0, 0, 0, 0), f1 = v128.shuffle<i32>(f, f, 1, 1, 1, 1);
  const f2 = v128.shuffle<i32>(f, f, 2, 2, 2, 2), f3 = v128.shuffle<i32>(f, f, 3, 3, 3, 3);
  x -= bytes; x1 -= bytes; x2 -= bytes; x3 -= bytes;
  for (; x < end; x += 16, x1 += 16, x2 += 16, x3 += 16, out += KEYS * 8) {
    v128.store(out, pairOf(scaled(v128.load(x), f0), scaled(v128.load(x1), f1)));
    v128.store(out, pairOf(scaled(v128.load(x2), f2), scaled(v128.load(x3), f3)), 16);
  }
}

/** `packFourKeys` and `packFourValues` for slots of the int8 cache, whose integers stay. */
function packFourInt8(slot: usize, stride: usize, count: u32, keys: usize, values: usize, scales: usize): void {
  const d = <usize>cache.rowFloats();
  let k0 = slot, k1 = slot + (count > 1 ? stride : 0), k2 = slot + (count > 2 ? stride * 2 : 0), k3 = slot + (count > 3 ? stride * 3 : 0);
  putScales(k0 + 2 * d, scales); putScales(k1 + 2 * d, scales + 4);
  putScales(k2 + 2 * d, scales + 8); putScales(k3 + 2 * d, scales + 12);
  for (const end = k0 + d; k0 < end; k0 += 8, k1 += 8, k2 += 8, k3 += 8, keys += 64, values += KEYS * 16) {
    let a = v128.load8x8_s(k0), b = v128.load8x8_s(k1), c = v128.load8x8_s(k2), e = v128.load8x8_s(k3);
    const ab = v128.shuffle<i32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<i32>(a, b, 2, 6, 3, 7);
    const ce = v128.shuffle<i32>(c, e, 0, 4, 1, 5), CE = v128.shuffle<i32>(c, e, 2, 6, 3, 7);
    v128.store(keys, v128.shuffle<i32>(ab, ce, 0, 1, 4, 5));
    v128.store(keys, v128.shuffle<i32>(ab, ce, 2, 3, 6, 7), 16);
    v128.store(keys, v128.shuffle<i32>(AB, CE, 0, 1, 4, 5), 32);
    v128.store(keys, v128.shuffle<i32>(AB, CE, 2, 3, 6, 7), 48);
    a = v128.load8x8_s(k0 + d); b = v128.load8x8_s(k1 + d); c = v128.load8x8_s(k2 + d); e = v128.load8x8_s(k3 + d);
    v128.store(values, v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11));
    v128.store(values, v128.shuffle<i16>(c, e, 0, 8, 1, 9, 2, 10, 3, 11), 16);
    v128.store(values + KEYS * 8, v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15));
    v128.store(values + KEYS * 8, v128.shuffle<i16>(c, e, 4, 12, 5, 13, 6, 14, 7, 15), 16);
  }
}

/** Scales of an int8 slot: NaN for a row with Inf or NaN. */
// @ts-ignore: decorator
@inline function putScales(from: usize, to: usize): void {
  const ofKey = load<f32>(from), ofValue = load<f32>(from, 4);
  store<f32>(to, ofKey < Infinity ? ofKey : NaN);
  store<f32>(to + KEYS * 4, ofValue < Infinity ? ofValue : NaN);
}
