/**
 * Activations of quantised weights: blocks of 32 columns rounded to int16, the only rounding beside that of sums. A block
 * with NaN or Inf gets the scale NaN, and with it every sum it enters.
 *
 * A record of one row is 64 bytes of numbers about the integers, then 32 int16. A record of four rows is f32 [4] scales,
 * f32 [4] scale * sum, then for each pair of columns the four rows' two int16.
 */
import { RECORD_BYTES, RECORD_OF_FOUR_BYTES } from "./layout";

export const RECORD: usize = RECORD_BYTES;
/** From a record to its integers. */
export const INTEGERS: usize = 64;
/** f32: the scale, and the scale times the sum of the integers; both again times 2^56, for f16 weights' scales as bits. */
export const SCALE: usize = 0;
export const SUM: usize = 4;
export const RAISED_SCALE: usize = 8;
export const RAISED_SUM: usize = 12;
/** i32: the integer sums that a block of each format begins with; see `startSums`. */
export const START_8: usize = 16;
export const START_4_SIGNED: usize = 20;
export const START_4: usize = 36;
export const START_6: usize = 52;

export const RECORD_OF_FOUR: usize = RECORD_OF_FOUR_BYTES;
export const INTEGERS_OF_FOUR: usize = 32;

/** Below this magnitude a block counts as zeros: its reciprocal overflows. */
const LEAST: f32 = 1e-30;
/** 1.5 * 2^23: adding it rounds to the nearest integer, which the low bits of the sum hold. */
const ROUND: f32 = 12582912;
/** 2^56 */
const RAISED: f32 = 72057594037927936;

/** Rows as records of single rows. */
export function quantiseRows(x: usize, rows: u32, cols: u32, out: usize): void {
  for (let blocks = rows * (cols >> 5); blocks > 0; blocks--, x += 128, out += RECORD) quantise(x, out);
}

/** Four rows side by side, `stride` bytes apart; rows from `count` on repeat the first. record: room for one. */
export function quantiseFour(x: usize, stride: usize, count: u32, cols: u32, out: usize, record: usize): void {
  for (let blocks = cols >> 5; blocks > 0; blocks--, x += 128, out += RECORD_OF_FOUR) {
    for (let i: u32 = 0; i < 4; i++) {
      quantise(i < count ? x + <usize>i * stride : x, record);
      let to = out + <usize>(i * 4);
      store<u32>(to, load<u32>(record, SCALE));
      store<u32>(to, load<u32>(record, SUM), 16);
      for (let s: usize = 0; s < 64; s += 4, to += 16) store<u32>(to, load<u32>(record + s, INTEGERS), INTEGERS_OF_FOUR);
    }
  }
}

/** One block. */
// @ts-ignore: decorator
@inline function quantise(x: usize, out: usize): void {
  // Magnitudes as integers: those of NaN are the largest.
  let m = v128.and(v128.load(x), i32x4.splat(0x7fffffff));
  for (let i: usize = 16; i < 128; i += 16) m = i32x4.max_s(m, v128.and(v128.load(x + i), i32x4.splat(0x7fffffff)));
  m = i32x4.max_s(m, v128.shuffle<i32>(m, m, 2, 3, 0, 1));
  m = i32x4.max_s(m, v128.shuffle<i32>(m, m, 1, 0, 3, 2));
  const bits = i32x4.extract_lane(m, 0);
  const largest = reinterpret<f32>(bits);
  const isFinite = bits < 0x7f800000;
  const isZero = !isFinite || largest < LEAST;
  const inverse: f32 = isZero ? 0 : <f32>32767 / largest;
  const scale: f32 = !isFinite ? NaN : isZero ? 0 : largest / <f32>32767;
  const by = f32x4.splat(inverse), round = f32x4.splat(ROUND), ones = i16x8.splat(1);
  const low = sumLanes(quantiseHalf(x, by, round, out + INTEGERS, ones));
  const high = sumLanes(quantiseHalf(x + 64, by, round, out + INTEGERS + 32, ones));
  const sum = scale * <f32>(low + high);
  store<f32>(out, scale, SCALE);
  store<f32>(out, sum, SUM);
  store<f32>(out, scale * RAISED, RAISED_SCALE);
  store<f32>(out, sum * RAISED, RAISED_SUM);
  startSums(low, high, out);
}

/**
 * Quants exceed the values by a constant in some rows; as many times the activations' sum is what the rows' integer sums begin with. Rows of a
 * lane are found by subtracting 16 (or 256) times the sum of the rows above: a sum begins with 16 times more for that.
 */
// @ts-ignore: decorator
@inline function startSums(low: i32, high: i32, out: usize): void {
  const s = low + high;
  store<i32>(out, -128 * s, START_8);
  // Excess 8 of rows 0-11; rows 12-15 are signed.
  store<i32>(out, -2184 * s, START_4_SIGNED);
  store<i32>(out, -136 * s, START_4_SIGNED + 4);
  store<i32>(out, -8 * s, START_4_SIGNED + 8);
  store<i32>(out, 0, START_4_SIGNED + 12);
  // Rows 12-15 are short of 8.
  store<i32>(out, 32768 * s, START_4);
  store<i32>(out, 2048 * s, START_4 + 4);
  store<i32>(out, 128 * s, START_4 + 8);
  store<i32>(out, 8 * s, START_4 + 12);
  store<i32>(out, -32 * low, START_6);
  store<i32>(out, -32 * high, START_6 + 4);
}

/** Stores 16 integers; returns lanes whose sum is theirs. */
// @ts-ignore: decorator
@inline function quantiseHalf(x: usize, by: v128, round: v128, out: usize, ones: v128): v128 {
  const a = i16x8.narrow_i32x4_s(rounded(v128.load(x), by, round), rounded(v128.load(x, 16), by, round));
  const b = i16x8.narrow_i32x4_s(rounded(v128.load(x, 32), by, round), rounded(v128.load(x, 48), by, round));
  v128.store(out, a);
  v128.store(out, b, 16);
  return i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones));
}

/** Nearest integers of x * by; saturates where x is not finite. */
// @ts-ignore: decorator
@inline function rounded(x: v128, by: v128, round: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(x, by), round), round);
}

// @ts-ignore: decorator
@inline function sumLanes(v: v128): i32 {
  v = i32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1);
}
