/** One row of x times a row group of f32, bf16 or f16 weights: out[8] = row group at p · x. */
import { F16_BITS, F16_LOW, F16_SCALE, f16High, f16HighBits, f16Low, f16LowBits, f16Special, HIGH_HALVES, madd } from "./math";
import { Dtype, scratch, tuning } from "./state";

/** Bytes of weights touched together. */
const TOUCHED: usize = 1024;

export function matvecF32(p: usize, cols: u32, x: usize, out: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  const end4 = x + <usize>((cols & ~3) * 4);
  const end = x + <usize>(cols * 4);
  for (; x < end4; x += 16, p += 128) {
    const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
    a0 = madd(v128.load(p), x0, a0);
    b0 = madd(v128.load(p, 16), x0, b0);
    a1 = madd(v128.load(p, 32), x1, a1);
    b1 = madd(v128.load(p, 48), x1, b1);
    const x2 = v128.load32_splat(x, 8), x3 = v128.load32_splat(x, 12);
    a2 = madd(v128.load(p, 64), x2, a2);
    b2 = madd(v128.load(p, 80), x2, b2);
    a3 = madd(v128.load(p, 96), x3, a3);
    b3 = madd(v128.load(p, 112), x3, b3);
  }
  for (; x < end; x += 4, p += 32) {
    const x0 = v128.load32_splat(x);
    a0 = madd(v128.load(p), x0, a0);
    b0 = madd(v128.load(p, 16), x0, b0);
  }
  v128.store(out, f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3)));
  v128.store(out, f32x4.add(f32x4.add(b0, b1), f32x4.add(b2, b3)), 16);
}

/**
 * Loads one word of each cache line at p .. p + TOUCHED. The loop over 16-bit weights is too long for the next lines' misses
 * to begin while one is waited for; here all misses begin at once.
 */
// @ts-ignore: decorator
@inline function touch(p: usize): u32 {
  return touch256(p) ^ touch256(p + 256) ^ touch256(p + 512) ^ touch256(p + 768);
}

// @ts-ignore: decorator
@inline function touch256(p: usize): u32 {
  return load<u32>(p) ^ load<u32>(p, 64) ^ load<u32>(p, 128) ^ load<u32>(p, 192);
}

/**
 * Chains of dependent sums for a row group of 16-bit weights. Without a fused instruction V8 keeps no more than four in
 * registers; each row then has two, over every other column.
 */
// @ts-ignore: decorator
@inline export const BF16_CHAINS: u32 = ASC_FEATURE_RELAXED_SIMD ? 4 : 2;

/** limit: end of the weight; nothing past it is touched. */
export function matvecBf16(p: usize, cols: u32, x: usize, out: usize, limit: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  const high = v128.load(HIGH_HALVES);
  const ends = x + <usize>((cols & ~(BF16_CHAINS - 1)) * 4);
  const end = x + <usize>(cols * 4);
  const ahead = tuning.ahead(Dtype.BF16);
  let seen: u32 = 0;
  while (x < ends) {
    if (ahead != 0 && p + ahead + TOUCHED <= limit) seen ^= touch(p + ahead);
    const stop = min<usize>(ends, x + TOUCHED / 4);
    if (BF16_CHAINS == 4) {
      for (; x < stop; x += 16, p += 64) {
        const w0 = v128.load(p), w1 = v128.load(p, 16);
        const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
        a0 = madd(i32x4.shl(w0, 16), x0, a0);
        b0 = madd(v128.and(w0, high), x0, b0);
        a1 = madd(i32x4.shl(w1, 16), x1, a1);
        b1 = madd(v128.and(w1, high), x1, b1);
        const w2 = v128.load(p, 32), w3 = v128.load(p, 48);
        const x2 = v128.load32_splat(x, 8), x3 = v128.load32_splat(x, 12);
        a2 = madd(i32x4.shl(w2, 16), x2, a2);
        b2 = madd(v128.and(w2, high), x2, b2);
        a3 = madd(i32x4.shl(w3, 16), x3, a3);
        b3 = madd(v128.and(w3, high), x3, b3);
      }
    } else {
      for (; x < stop; x += 8, p += 32) {
        const w0 = v128.load(p), w1 = v128.load(p, 16);
        const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
        a0 = madd(i32x4.shl(w0, 16), x0, a0);
        b0 = madd(v128.and(w0, high), x0, b0);
        a1 = madd(i32x4.shl(w1, 16), x1, a1);
        b1 = madd(v128.and(w1, high), x1, b1);
      }
    }
  }
  store<u32>(scratch, seen);
  for (; x < end; x += 4, p += 16) {
    const w = v128.load(p);
    const x0 = v128.load32_splat(x);
    a0 = madd(i32x4.shl(w, 16), x0, a0);
    b0 = madd(v128.and(w, high), x0, b0);
  }
  v128.store(out, f32x4.add(f32x4.add(a0, a1), f32x4.add(a2, a3)));
  v128.store(out, f32x4.add(f32x4.add(b0, b1), f32x4.add(b2, b3)), 16);
}

/**
 * For finite f16 and x below 2^72. The weights lack a factor of 2^112: x comes with half of it, and the sums get the other half, so
 * that no product underflows.
 */
export function matvecF16(p: usize, cols: u32, x: usize, out: usize, limit: usize): void {
  let a0 = f32x4.splat(0), a1 = a0, b0 = a0, b1 = a0;
  const bits = v128.load(F16_BITS), low = v128.load(F16_LOW);
  const end2 = x + <usize>((cols & ~1) * 4);
  const end = x + <usize>(cols * 4);
  const ahead = tuning.ahead(Dtype.F16);
  let seen: u32 = 0;
  while (x < end2) {
    if (ahead != 0 && p + ahead + TOUCHED <= limit) seen ^= touch(p + ahead);
    for (const stop = min<usize>(end2, x + TOUCHED / 4); x < stop; x += 8, p += 32) {
      const w0 = v128.load(p), w1 = v128.load(p, 16);
      const x0 = v128.load32_splat(x), x1 = v128.load32_splat(x, 4);
      a0 = madd(f16LowBits(w0, low, bits), x0, a0);
      b0 = madd(f16HighBits(w0, bits), x0, b0);
      a1 = madd(f16LowBits(w1, low, bits), x1, a1);
      b1 = madd(f16HighBits(w1, bits), x1, b1);
    }
  }
  store<u32>(scratch, seen);
  for (; x < end; x += 4, p += 16) {
    const w = v128.load(p);
    const x0 = v128.load32_splat(x);
    a0 = madd(f16LowBits(w, low, bits), x0, a0);
    b0 = madd(f16HighBits(w, bits), x0, b0);
  }
  const scale = v128.load(F16_SCALE);
  v128.store(out, f32x4.mul(f32x4.add(a0, a1), scale));
  v128.store(out, f32x4.mul(f32x4.add(b0, b1), scale), 16);
}

/** For f16 with Inf or NaN among them. */
export function matvecF16Special(p: usize, cols: u32, x: usize, out: usize): void {
  let a = f32x4.splat(0), b = a;
  for (const end = x + <usize>(cols * 4); x < end; x += 4, p += 16) {
    const w = v128.load(p);
    const x0 = v128.load32_splat(x);
    a = madd(f16Special(f16Low(w)), x0, a);
    b = madd(f16Special(f16High(w)), x0, b);
  }
  v128.store(out, a);
  v128.store(out, b, 16);
}
