/**
 * Activations of quantised weights: blocks of 32 columns rounded to int16, the only rounding beside that of sums. A block
 * with NaN or Inf gets the scale NaN, and with it every sum it enters.
 *
 * One row: records of [scale, scale * sum of the integers: f32][minus that sum, of all, of columns 0-15, of 16-31: i32], 12 bytes unused, then
 * 16 pairs of int16. Four rows side by side: the same words as vectors of the four rows, then pairs of the four rows.
 * Pair s is columns 4 (s >> 1) + (s & 1) and 2 more, in the order of the quants (quantised.ts).
 */

export const RECORD: usize = 96;
/** From a record to its integers. */
export const INTEGERS: usize = 32;
export const RECORD_OF_FOUR: usize = 336;
export const INTEGERS_OF_FOUR: usize = 80;

/** Below this magnitude a block counts as zeros: its reciprocal overflows. */
const LEAST: f32 = 1e-30;
/** 1.5 * 2^23: adding it rounds to the nearest integer, which the low bits of the sum hold. */
const ROUND: f32 = 12582912;

/** Rows as records of single rows, `RECORD` bytes for 32 columns. */
export function quantiseRows(x: usize, rows: u32, cols: u32, out: usize): void {
  for (let blocks = rows * (cols >> 5); blocks > 0; blocks--, x += 128, out += RECORD) quantise(x, out);
}

/** Four rows side by side, `stride` bytes apart; rows from `count` on repeat the first. */
export function quantiseFour(x: usize, stride: usize, count: u32, cols: u32, out: usize, record: usize): void {
  for (let blocks = cols >> 5; blocks > 0; blocks--, x += 128, out += RECORD_OF_FOUR) {
    for (let i: u32 = 0; i < 4; i++) {
      quantise(i < count ? x + <usize>i * stride : x, record);
      let to = out + <usize>(i * 4);
      for (let word: usize = 0; word < 20; word += 4, to += 16) store<u32>(to, load<u32>(record + word));
      for (let s: usize = 0; s < 64; s += 4, to += 16) store<u32>(to, load<u32>(record + s, INTEGERS));
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
  const low = quantiseHalf(x, by, round, out + INTEGERS, ones);
  const high = quantiseHalf(x + 64, by, round, out + INTEGERS + 32, ones);
  const lowSum = sumLanes(low), highSum = sumLanes(high);
  store<f32>(out, scale);
  store<f32>(out, scale * <f32>(lowSum + highSum), 4);
  store<i32>(out, -(lowSum + highSum), 8);
  store<i32>(out, -lowSum, 12);
  store<i32>(out, -highSum, 16);
}

/** Stores 16 integers in the order of pairs; returns lanes whose sum is theirs. */
// @ts-ignore: decorator
@inline function quantiseHalf(x: usize, by: v128, round: v128, out: usize, ones: v128): v128 {
  const a = i16x8.narrow_i32x4_s(rounded(v128.load(x), by, round), rounded(v128.load(x, 16), by, round));
  const b = i16x8.narrow_i32x4_s(rounded(v128.load(x, 32), by, round), rounded(v128.load(x, 48), by, round));
  v128.store(out, v128.shuffle<i16>(a, a, 0, 2, 1, 3, 4, 6, 5, 7));
  v128.store(out, v128.shuffle<i16>(b, b, 0, 2, 1, 3, 4, 6, 5, 7), 16);
  return i32x4.add(i32x4.dot_i16x8_s(a, ones), i32x4.dot_i16x8_s(b, ones));
}

/** Nearest integers of x * by; 0 where x is not finite. */
// @ts-ignore: decorator
@inline function rounded(x: v128, by: v128, round: v128): v128 {
  return i32x4.sub(f32x4.add(f32x4.mul(x, by), round), round);
}

// @ts-ignore: decorator
@inline function sumLanes(v: v128): i32 {
  v = i32x4.add(v, v128.shuffle<i32>(v, v, 2, 3, 0, 1));
  return i32x4.extract_lane(v, 0) + i32x4.extract_lane(v, 1);
}
