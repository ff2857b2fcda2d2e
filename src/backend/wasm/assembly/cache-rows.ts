/**
 * Rows of the int8 cache: q = x / scale rounded half to even, scale = max|x| / 127. A row with Inf or NaN gets a scale of Inf or
 * NaN, so that all its elements are NaN when they are read.
 */

/** Largest magnitude of n floats; NaN if one of them is NaN. */
// @ts-ignore: decorator
@inline export function largestOf(x: usize, n: u32): f32 {
  const end = x + <usize>(n * 4), end4 = x + <usize>((n & ~3) * 4);
  let most = f32x4.splat(0);
  for (; x < end4; x += 16) most = f32x4.max(most, f32x4.abs(v128.load(x)));
  let largest = max<f32>(
    max<f32>(f32x4.extract_lane(most, 0), f32x4.extract_lane(most, 1)),
    max<f32>(f32x4.extract_lane(most, 2), f32x4.extract_lane(most, 3)),
  );
  for (; x < end; x += 4) largest = max<f32>(largest, abs<f32>(load<f32>(x)));
  return largest;
}

/** Stores n floats as int8 to `to`, and their scale to `scaleAt`. */
export function storeInt8(x: usize, n: u32, to: usize, scaleAt: usize): void {
  const scale: f32 = largestOf(x, n) / <f32>127;
  store<f32>(scaleAt, scale);
  if (scale == 0) {
    memory.fill(to, 0, <usize>n);
    return;
  }
  const end = x + <usize>(n * 4), end4 = x + <usize>((n & ~3) * 4);
  const s = f32x4.splat(scale);
  for (; x < end4; x += 16, to += 4) {
    // A quotient by a subnormal scale may be past 127.
    const q = i32x4.max_s(i32x4.min_s(i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x), s))), i32x4.splat(127)), i32x4.splat(-127));
    const pairs = i16x8.narrow_i32x4_s(q, q);
    v128.store32_lane(to, i8x16.narrow_i16x8_s(pairs, pairs), 0);
  }
  for (; x < end; x += 4, to++) {
    const q = i32x4.extract_lane(i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.splat(load<f32>(x) / scale))), 0);
    store<i8>(to, <i8>max<i32>(min<i32>(q, 127), -127));
  }
}

/** The four int8 at `from` times their scale. */
// @ts-ignore: decorator
@inline export function loadInt8(from: usize, scale: v128): v128 {
  const q = i32x4.extend_low_i16x8_s(i16x8.extend_low_i8x16_s(v128.load32_zero(from)));
  return f32x4.mul(f32x4.convert_i32x4_s(q), scale);
}
