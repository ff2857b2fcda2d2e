/** Vector arithmetic shared by the kernels. */

/** a * b + c; fused if the build has relaxed SIMD. */
// @ts-ignore: decorator
@inline export function madd(a: v128, b: v128, c: v128): v128 {
  if (ASC_FEATURE_RELAXED_SIMD) return f32x4.relaxed_madd(a, b, c);
  return f32x4.add(f32x4.mul(a, b), c);
}

/** 1.5 * 2^23: adding it rounds to the nearest integer, which the low bits of the sum hold. */
const ROUND: f32 = 12582912;

/** e^x to about 1 ulp; 0 below -87.3, e^88.3 above 88.3; NaN stays NaN. pmin and pmax take one instruction, min and max seven. */
// @ts-ignore: decorator
@inline export function exp4(x: v128): v128 {
  const small = f32x4.lt(x, f32x4.splat(-87.33));
  x = f32x4.pmin(f32x4.pmax(x, f32x4.splat(-87.33)), f32x4.splat(88.3));
  const t = f32x4.add(f32x4.mul(x, f32x4.splat(1.44269504088896341)), f32x4.splat(ROUND));
  const n = f32x4.sub(t, f32x4.splat(ROUND));
  let r = f32x4.sub(x, f32x4.mul(n, f32x4.splat(0.693359375)));
  r = f32x4.add(r, f32x4.mul(n, f32x4.splat(2.12194440e-4)));
  let p = f32x4.splat(1.9875691500e-4);
  p = madd(p, r, f32x4.splat(1.3981999507e-3));
  p = madd(p, r, f32x4.splat(8.3334519073e-3));
  p = madd(p, r, f32x4.splat(4.1665795894e-2));
  p = madd(p, r, f32x4.splat(1.6666665459e-1));
  p = madd(p, r, f32x4.splat(5.0000001201e-1));
  p = madd(p, f32x4.mul(r, r), f32x4.add(r, f32x4.splat(1)));
  const scale = i32x4.add(i32x4.shl(t, 23), i32x4.splat(127 << 23));
  return v128.andnot(f32x4.mul(p, scale), small);
}

/** 2^x to 3e-6, for weights that become 16-bit integers; 2^-125 below -125; NaN stays NaN. x: at most 127. */
// @ts-ignore: decorator
@inline export function exp2of4(x: v128): v128 {
  x = f32x4.pmax(x, f32x4.splat(-125));
  const t = f32x4.add(x, f32x4.splat(ROUND));
  const r = f32x4.sub(x, f32x4.sub(t, f32x4.splat(ROUND)));
  let p = madd(f32x4.splat(0.009570101698790648), r, f32x4.splat(0.055917860302731576));
  p = madd(p, r, f32x4.splat(0.24024744833108203));
  p = madd(p, r, f32x4.splat(0.6931218147397954));
  p = madd(p, r, f32x4.splat(0.9999992614441329));
  return i32x4.add(p, i32x4.shl(t, 23));
}

// @ts-ignore: decorator
@inline export function exp1(x: f32): f32 { return f32x4.extract_lane(exp4(f32x4.splat(x)), 0); }

/** x / (1 + e^-x) * y */
// @ts-ignore: decorator
@inline export function siluTimes4(x: v128, y: v128): v128 {
  return f32x4.mul(f32x4.div(x, f32x4.add(f32x4.splat(1), exp4(f32x4.neg(x)))), y);
}

/** GELU of x by its tanh formula (arXiv 1606.08415, section 2), times y: x / (1 + e^-2u) * y, u = √(2/π) (x + 0.044715 x³). */
// @ts-ignore: decorator
@inline export function geluTimes4(x: v128, y: v128): v128 {
  const cubic = madd(f32x4.mul(f32x4.mul(x, x), f32x4.splat(0.044715)), x, x);
  const e = exp4(f32x4.mul(cubic, f32x4.splat(-1.5957691216057308)));
  return f32x4.mul(f32x4.div(x, f32x4.add(f32x4.splat(1), e)), y);
}

// @ts-ignore: decorator
@inline export function sum4(v: v128): f32 {
  return (f32x4.extract_lane(v, 0) + f32x4.extract_lane(v, 2)) + (f32x4.extract_lane(v, 1) + f32x4.extract_lane(v, 3));
}

// @ts-ignore: decorator
@inline export function max4(v: v128): f32 {
  return max<f32>(
    max<f32>(f32x4.extract_lane(v, 0), f32x4.extract_lane(v, 1)),
    max<f32>(f32x4.extract_lane(v, 2), f32x4.extract_lane(v, 3)),
  );
}

/** [Σa, Σb, Σc, Σd] */
// @ts-ignore: decorator
@inline export function sumRows(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 4, 1, 5), v128.shuffle<f32>(a, b, 2, 6, 3, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 4, 1, 5), v128.shuffle<f32>(c, d, 2, 6, 3, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 1, 4, 5), v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
}

/** An f16 as f32. */
export function half(bits: u32): f32 {
  const v = reinterpret<f32>((bits & 0x7fff) << 13) * <f32>5.192296858534828e33;
  let out = reinterpret<u32>(v) | ((bits & 0x8000) << 16);
  if ((bits & 0x7c00) == 0x7c00) out |= 0x7f800000;
  return reinterpret<f32>(out);
}

/** The f16 in the low halves of u32 lanes as f32, exact for finite values. */
// @ts-ignore: decorator
@inline export function f16Low(w: v128): v128 {
  const bits = i32x4.shl(v128.and(w, i32x4.splat(0x7fff)), 13);
  const sign = i32x4.shl(v128.and(w, i32x4.splat(0x8000)), 16);
  return v128.or(f32x4.mul(bits, f32x4.splat(5.192296858534828e33)), sign);
}

/** The f16 in the high halves. */
// @ts-ignore: decorator
@inline export function f16High(w: v128): v128 {
  const bits = v128.and(i32x4.shr_u(w, 3), i32x4.splat(0x0fffe000));
  const sign = v128.and(w, i32x4.splat(0x80000000));
  return v128.or(f32x4.mul(bits, f32x4.splat(5.192296858534828e33)), sign);
}

/**
 * Masks and factors of the 16-bit kernels. Kernels load them from memory before their loops, because newer V8
 * rematerialises vector constants at every use.
 */
export const HIGH_HALVES = memory.data<u32>([0xffff0000, 0xffff0000, 0xffff0000, 0xffff0000], 16);
export const F16_BITS = memory.data<u32>([0x8fffe000, 0x8fffe000, 0x8fffe000, 0x8fffe000], 16);
/** 2^56, the square root of 2^112. */
export const F16_SCALE = memory.data<u32>([0x5b800000, 0x5b800000, 0x5b800000, 0x5b800000], 16);

/** 2^112 */
export const F16_UNIT = memory.data<u32>([0x77800000, 0x77800000, 0x77800000, 0x77800000], 16);

/** 2^13 for the low halves of u32 lanes. */
export const F16_LOW = memory.data<u32>([8192, 8192, 8192, 8192], 16);

/**
 * Finite f16 in the low halves of u32 lanes as f32 times 2^-112, exact. bits: F16_BITS, low: F16_LOW. A product takes the place
 * of two shifts, of which processors do fewer at a time.
 */
// @ts-ignore: decorator
@inline export function f16LowBits(w: v128, low: v128, bits: v128): v128 {
  return v128.and(i32x4.dot_i16x8_s(w, low), bits);
}

// @ts-ignore: decorator
@inline export function f16HighBits(w: v128, bits: v128): v128 { return v128.and(i32x4.shr_s(w, 3), bits); }

/** Turns the results of `f16Low` and `f16High` for Inf and NaN into Inf and NaN. */
// @ts-ignore: decorator
@inline export function f16Special(v: v128): v128 {
  const special = f32x4.ge(f32x4.abs(v), f32x4.splat(65536));
  return v128.or(v, v128.and(special, i32x4.splat(0x7f800000)));
}
