/**
 * A module by itself, for any backend: quantises float weights to q8_0 and q4_0 as base/quantize-weights.ts defines it, bit for
 * bit. Its arithmetic is therefore in f64, and its sums run in the same order.
 */
import { BF16, F16, Q8_0 } from "../../../base/format-codes";

const INFINITY_BITS: u32 = 0x7f800000;
/** 65536, which f16 infinity and NaN decode to or pass. */
const PAST_F16_BITS: u32 = 0x47800000;
/** 7 * 65504, the largest magnitude of q4_0. */
const Q4_LARGEST: f32 = 458528;
/** 1.5 * 2^52: adding it rounds to the nearest integer, ties to even, which the low bits of the sum hold. */
const ROUND: f64 = 6755399441055744;

/** The values of a block: f32 [32]. */
const VALUES = memory.data(128, 16);
/** The same in f64. */
const DOUBLES = memory.data(256, 16);
/** 8.5, 15 and 8, twice each. V8 builds a constant vector anew in each iteration, in some six instructions; it loads one once. */
const CONSTANTS = memory.data<f64>([8.5, 8.5, 15, 15, 8, 8], 16);
/** Sums of `fit`: twice three vectors. */
const SUMS = memory.data(96, 16);
/** The f16 scale of a block. */
let blockScale: u32 = 0;

/** First address that the caller may use. */
export function freeMemory(): usize { return (__heap_base + 63) & ~63; }

/**
 * Quantises `blocks` times 32 weights of a float format at src into blocks of `to` at dst. Returns 0 if a value is not finite or
 * too large for a block.
 */
export function quantise(from: u32, to: u32, src: usize, blocks: u32, dst: usize): u32 {
  const step: usize = from == F16 || from == BF16 ? 64 : 128;
  const limit = from == F16 ? PAST_F16_BITS : INFINITY_BITS;
  for (; blocks > 0; blocks--, src += step) {
    const largest = decodeBlock(from, src);
    if (largest >= limit) return 0;
    if (to == Q8_0) {
      if (!toQ8(reinterpret<f32>(largest), dst)) return 0;
      dst += 34;
    } else {
      if (!toQ4(reinterpret<f32>(largest), dst)) return 0;
      dst += 18;
    }
  }
  return 1;
}

/** Decodes 32 weights into VALUES. Returns the bits of the largest magnitude, which order as the magnitudes do. */
function decodeBlock(from: u32, src: usize): u32 {
  const magnitude = i32x4.splat(0x7fffffff);
  let largest = i32x4.splat(0);
  for (let at: usize = 0; at < 128; at += 16) {
    let v: v128;
    if (from == F16) v = f16ToF32x4(v128.load16x4_u(src + (at >> 1)));
    else if (from == BF16) v = i32x4.shl(v128.load16x4_u(src + (at >> 1)), 16);
    else v = v128.load(src + at);
    v128.store(VALUES + at, v);
    largest = i32x4.max_s(largest, v128.and(v, magnitude));
  }
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 2, 3, 0, 1));
  largest = i32x4.max_s(largest, v128.shuffle<i32>(largest, largest, 1, 0, 3, 2));
  return i32x4.extract_lane(largest, 0);
}

/** f16 in the low halves of lanes to f32. No step has a subnormal operand, which some processors take 100 cycles for. */
// @ts-ignore: decorator
@inline function f16ToF32x4(h: v128): v128 {
  const magnitude = v128.and(h, i32x4.splat(0x7fff));
  const shifted = i32x4.shl(magnitude, 13);
  const normal = i32x4.add(shifted, i32x4.splat(112 << 23));
  const small = f32x4.sub(v128.or(shifted, i32x4.splat(113 << 23)), i32x4.splat(113 << 23));
  const value = v128.bitselect(small, normal, i32x4.lt_s(magnitude, i32x4.splat(0x400)));
  return v128.or(value, i32x4.shl(v128.and(h, i32x4.splat(0x8000)), 16));
}

function toQ8(largest: f32, dst: usize): bool {
  const step = <f64>largest / 127;
  const bits: u32 = step == 0 ? 0 : max<u32>(1, f32ToF16(<f32>step));
  if (bits == 0x7c00) return false;
  const inverse = f64x2.splat(bits == 0 ? 0 : 1 / halfValue(bits));
  store<u16>(dst, <u16>bits);
  for (let at: usize = 0; at < 32; at += 16) {
    const p = VALUES + at * 4;
    const a = i16x8.narrow_i32x4_s(roundFour(v128.load(p), inverse), roundFour(v128.load(p, 16), inverse));
    const b = i16x8.narrow_i32x4_s(roundFour(v128.load(p, 32), inverse), roundFour(v128.load(p, 48), inverse));
    v128.store(dst + at, i8x16.narrow_i16x8_s(a, b), 2);
  }
  return true;
}

/** Math.round of four f32 times `inverse`, within ±127, as i32. */
// @ts-ignore: decorator
@inline function roundFour(v: v128, inverse: v128): v128 {
  const high = v128.shuffle<i64>(v, v, 1, 1);
  return v128.shuffle<i32>(roundTwo(v, inverse), roundTwo(high, inverse), 0, 2, 4, 6);
}

/** Integers in the low words of two lanes. Halves round up. */
// @ts-ignore: decorator
@inline function roundTwo(v: v128, inverse: v128): v128 {
  let x = f64x2.mul(f64x2.promote_low_f32x4(v), inverse);
  x = f64x2.pmin(f64x2.pmax(x, f64x2.splat(-127)), f64x2.splat(127));
  const sum = f64x2.add(x, f64x2.splat(ROUND));
  const isHalfBelow = f64x2.eq(f64x2.sub(x, f64x2.sub(sum, f64x2.splat(ROUND))), f64x2.splat(0.5));
  return i64x2.sub(sum, isHalfBelow);
}

function toQ4(largest: f32, dst: usize): bool {
  if (!(largest <= Q4_LARGEST)) return false;
  for (let at: usize = 0; at < 128; at += 16) {
    const v = v128.load(VALUES + at);
    v128.store(DOUBLES + at * 2, f64x2.promote_low_f32x4(v));
    v128.store(DOUBLES + at * 2, f64x2.promote_low_f32x4(v128.shuffle<i64>(v, v, 1, 1)), 16);
  }
  blockScale = 0;
  if (largest != 0) chooseScale(extreme(largest));
  const scale = halfValue(blockScale);
  const inverse = f64x2.splat(scale == 0 ? 0 : 1 / scale);
  store<u16>(dst, <u16>blockScale);
  for (let at: usize = 0; at < 16; at += 4) {
    const p = DOUBLES + at * 8;
    const low = v128.shuffle<i32>(nibbles(v128.load(p), inverse), nibbles(v128.load(p, 16), inverse), 0, 2, 4, 6);
    const high = v128.shuffle<i32>(nibbles(v128.load(p, 128), inverse), nibbles(v128.load(p, 144), inverse), 0, 2, 4, 6);
    const both = v128.or(low, i32x4.shl(high, 4));
    v128.store32_lane(dst + at, v128.swizzle(both, i8x16(0, 4, 8, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0)), 0, 2);
  }
  return true;
}

/** Elements 0 to 15 in the low words of two lanes. */
// @ts-ignore: decorator
@inline function nibbles(v: v128, inverse: v128): v128 {
  return f64x2.add(elements(v, inverse, f64x2.splat(8.5), f64x2.splat(15)), f64x2.splat(ROUND));
}

// @ts-ignore: decorator
@inline function elements(v: v128, inverse: v128, half: v128, most: v128): v128 {
  const element = f64x2.floor(f64x2.add(f64x2.mul(v, inverse), half));
  return f64x2.pmin(f64x2.pmax(element, f64x2.splat(0)), most);
}

/** The first value of the largest magnitude, with its sign. */
function extreme(largest: f32): f64 {
  let p = VALUES;
  while (abs(load<f32>(p)) != largest) p += 4;
  return <f64>load<f32>(p);
}

/** Sets `blockScale` to the f16 scale of the least squared error. */
function chooseScale(value: f64): void {
  const a = f32ToF16(<f32>(value / -8)), b = f32ToF16(<f32>(value / -7)), c = f32ToF16(<f32>(value / 7.5));
  const scaleA = halfValue(a), scaleB = halfValue(b), scaleC = halfValue(c);
  fit(pair(scaleA, scaleB), 0);
  fit(f64x2.splat(scaleC), 48);
  const a2 = refined(scaleA, 0), b2 = refined(scaleB, 8), c2 = refined(scaleC, 48);
  const fineA = halfValue(a2), fineB = halfValue(b2), fineC = halfValue(c2);
  const errors = errorsOf(pair(fineA, fineB)), lastError = errorsOf(f64x2.splat(fineC));
  let least = Infinity;
  least = keepBetter(least, scaleA, load<f64>(SUMS), a);
  least = keepBetter(least, fineA, f64x2.extract_lane(errors, 0), a2);
  least = keepBetter(least, scaleB, load<f64>(SUMS, 8), b);
  least = keepBetter(least, fineB, f64x2.extract_lane(errors, 1), b2);
  least = keepBetter(least, scaleC, load<f64>(SUMS, 48), c);
  keepBetter(least, fineC, f64x2.extract_lane(lastError, 0), c2);
}

// @ts-ignore: decorator
@inline function pair(a: f64, b: f64): v128 { return f64x2.replace_lane(f64x2.splat(a), 1, b); }

/**
 * Sums of two candidates to SUMS + at: squared errors, value times element, element squared. Lanes are candidates, since elements
 * are summed in order. With four candidates in one loop V8 has too few registers: five times as slow.
 */
function fit(scales: v128, at: usize): void {
  const inverses = f64x2.div(f64x2.splat(1), scales);
  const half = v128.load(CONSTANTS), most = v128.load(CONSTANTS, 16), eight = v128.load(CONSTANTS, 32);
  let errors = f64x2.splat(0), products = errors, squares = errors;
  for (let p = DOUBLES; p < DOUBLES + 256; p += 8) {
    const v = v128.load64_splat(p);
    const e = f64x2.sub(elements(v, inverses, half, most), eight);
    const off = f64x2.sub(v, f64x2.mul(scales, e));
    errors = f64x2.add(errors, f64x2.mul(off, off));
    products = f64x2.add(products, f64x2.mul(v, e));
    squares = f64x2.add(squares, f64x2.mul(e, e));
  }
  v128.store(SUMS + at, errors);
  v128.store(SUMS + at, products, 16);
  v128.store(SUMS + at, squares, 32);
}

/** Squared errors of two candidates. */
function errorsOf(scales: v128): v128 {
  const inverses = f64x2.div(f64x2.splat(1), scales);
  const half = v128.load(CONSTANTS), most = v128.load(CONSTANTS, 16), eight = v128.load(CONSTANTS, 32);
  let errors = f64x2.splat(0);
  for (let p = DOUBLES; p < DOUBLES + 256; p += 8) {
    const v = v128.load64_splat(p);
    const off = f64x2.sub(v, f64x2.mul(scales, f64x2.sub(elements(v, inverses, half, most), eight)));
    errors = f64x2.add(errors, f64x2.mul(off, off));
  }
  return errors;
}

/** f16 bits of the scale that least squares give for a candidate at SUMS + at; 0 where there is none. */
// @ts-ignore: decorator
@inline function refined(scale: f64, at: usize): u32 {
  const square = load<f64>(SUMS + at, 32);
  return scale == 0 || square == 0 ? 0 : f32ToF16(<f32>(load<f64>(SUMS + at, 16) / square));
}

/** A scale of zero has no error: it is no candidate. */
// @ts-ignore: decorator
@inline function keepBetter(least: f64, scale: f64, error: f64, bits: u32): f64 {
  if (scale == 0 || !(error < least)) return least;
  blockScale = bits;
  return error;
}

/** As `f16ToF32` of base/half.ts. */
function halfValue(bits: u32): f64 {
  const magnitude = bits & 0x7fff;
  let value: f32;
  if (magnitude >= 0x7c00) value = magnitude > 0x7c00 ? <f32>NaN : <f32>Infinity;
  else if (magnitude < 0x400) value = reinterpret<f32>((magnitude << 13) | (113 << 23)) - reinterpret<f32>(113 << 23);
  else value = reinterpret<f32>((magnitude << 13) + (112 << 23));
  return <f64>(bits & 0x8000 ? -value : value);
}

/** As `f32ToF16` of base/half.ts. */
function f32ToF16(value: f32): u32 {
  const bits = reinterpret<u32>(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > 0x7f800000) return sign | 0x7e00;
  if (magnitude >= 0x477ff000) return sign | 0x7c00;
  if (magnitude < 0x38800000) return sign | (reinterpret<u32>(reinterpret<f32>(magnitude) + 0.5) - 0x3f000000);
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}
