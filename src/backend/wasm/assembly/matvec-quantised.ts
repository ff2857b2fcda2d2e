/**
 * One row of x times a row group of quantised weights: integers within a block of 32 columns, f32 across blocks. Layouts:
 * quantised.ts, activations.ts. f16 scales stay bits, 2^-112 of their values: activations are raised by 2^56 for them, sums
 * at the end.
 */
import { Q4_0, Q4_1, Q4_K, Q5_1, Q5_K, Q8_0 } from "../../../base/format-codes";
import {
  INTEGERS, RAISED_SCALE, RAISED_SUM, RECORD, SCALE, START_4, START_4_SIGNED, START_6, START_8, SUM,
} from "./activations";
import { F16_BITS, F16_LOW, F16_SCALE, f16HighBits, f16LowBits, madd } from "./math";
import { byteOf, hasMin, headerBytes, isSuper, signedByteOf, superBytes } from "./quantised";

/** Masks of the lanes' fields. Kernels load them before their loops: newer V8 rematerialises constants at every use. */
const FIVE_BITS = memory.data<u16>([31, 31, 31, 31, 31, 31, 31, 31], 16);
const SIX_BITS = memory.data<u16>([63, 63, 63, 63, 63, 63, 63, 63], 16);
const SIX_TOP = memory.data<u16>([0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30], 16);

/** out[8] = row group at p · x of `cols` columns. x: records of a row; rows 8-15 of 4-bit formats: f32 [8] at out2. */
export function matvecQuantised(format: u32, p: usize, cols: u32, x: usize, out: usize, out2: usize): void {
  const end = x + <usize>(cols >> 5) * RECORD;
  if (format == Q8_0) matvec8_0(p, x, end, out);
  else if (format == Q4_0) matvec4_0(p, x, end, out, out2);
  else if (format == Q4_1) matvec4_1(p, x, end, out, out2);
  else if (format == Q5_1) matvec5_1(p, x, end, out);
  else if (format == Q4_K) matvec4K(p, x, end, out, out2);
  else if (format == Q5_K) matvec5K(p, x, end, out);
  else matvec6K(p, x, end, out);
}

function matvec4_0(p: usize, x: usize, end: usize, out: usize, out2: usize): void { fourBits(Q4_0, p, x, end, out, out2); }
function matvec4_1(p: usize, x: usize, end: usize, out: usize, out2: usize): void { fourBits(Q4_1, p, x, end, out, out2); }
function matvec4K(p: usize, x: usize, end: usize, out: usize, out2: usize): void { fourBits(Q4_K, p, x, end, out, out2); }
function matvec5_1(p: usize, x: usize, end: usize, out: usize): void { fiveBits(Q5_1, p, x, end, out); }
function matvec5K(p: usize, x: usize, end: usize, out: usize): void { fiveBits(Q5_K, p, x, end, out); }

/** sums + quants · pair */
// @ts-ignore: decorator
@inline function dot(quants: v128, pair: v128, sums: v128): v128 {
  return i32x4.add(sums, i32x4.dot_i16x8_s(quants, pair));
}

/** sums + integers * scales * factor */
// @ts-ignore: decorator
@inline function scaled(integers: v128, scales: v128, factor: v128, sums: v128): v128 {
  return madd(f32x4.mul(f32x4.convert_i32x4_s(integers), factor), scales, sums);
}

function matvec8_0(p: usize, x: usize, end: usize, out: usize): void {
  let ya = f32x4.splat(0), yb = ya;
  const bits = v128.load(F16_BITS), lows = v128.load(F16_LOW);
  while (x < end) {
    let a = v128.load32_splat(x, START_8), b = i32x4.splat(0);
    let q = p + 16, at = x + INTEGERS;
    for (const stop = x + RECORD; at < stop; at += 16, q += 64) {
      const w0 = v128.load(q), w1 = v128.load(q, 16), w2 = v128.load(q, 32), w3 = v128.load(q, 48);
      let s = v128.load32_splat(at);
      a = dot(w0, s, a);
      b = dot(i16x8.shr_s(w0, 8), s, b);
      s = v128.load32_splat(at, 4);
      a = dot(w1, s, a);
      b = dot(i16x8.shr_s(w1, 8), s, b);
      s = v128.load32_splat(at, 8);
      a = dot(w2, s, a);
      b = dot(i16x8.shr_s(w2, 8), s, b);
      s = v128.load32_splat(at, 12);
      a = dot(w3, s, a);
      b = dot(i16x8.shr_s(w3, 8), s, b);
    }
    const d = v128.load(p), scale = v128.load32_splat(x, RAISED_SCALE);
    ya = scaled(i32x4.sub(a, i32x4.shl(b, 8)), f16LowBits(d, lows, bits), scale, ya);
    yb = scaled(b, f16HighBits(d, bits), scale, yb);
    p = q;
    x = at;
  }
  const raise = v128.load(F16_SCALE);
  v128.store(out, f32x4.mul(ya, raise));
  v128.store(out, f32x4.mul(yb, raise), 16);
}

/** `format` is a constant of the caller, so that one format's code remains. */
// @ts-ignore: decorator
@inline function fourBits(format: u32, p: usize, x: usize, end: usize, out: usize, out2: usize): void {
  let y0 = f32x4.splat(0), y1 = y0, y2 = y0, y3 = y0;
  const bits = v128.load(F16_BITS), lows = v128.load(F16_LOW);
  while (x < end) {
    // Blocks that share a header: 8, or all, which then need none.
    let z0 = f32x4.splat(0), z1 = z0, z2 = z0, z3 = z0, m0 = z0, m1 = z0, m2 = z0, m3 = z0;
    const top = p;
    p += <usize>superBytes(format);
    const last = isSuper(format) ? x + 8 * RECORD : end;
    while (x < last) {
      const start = x + (hasMin(format) ? START_4 : START_4_SIGNED);
      let a = v128.load32_splat(start), b = v128.load32_splat(start, 4);
      let c = v128.load32_splat(start, 8), d = v128.load32_splat(start, 12);
      let q = p + <usize>headerBytes(format), at = x + INTEGERS;
      for (const stop = x + RECORD; at < stop; at += 8, q += 32) {
        const w0 = v128.load(q), w1 = v128.load(q, 16);
        let s = v128.load32_splat(at);
        a = dot(w0, s, a);
        b = dot(i16x8.shr_s(w0, 4), s, b);
        c = dot(i16x8.shr_s(w0, 8), s, c);
        d = dot(i16x8.shr_s(w0, 12), s, d);
        s = v128.load32_splat(at, 4);
        a = dot(w1, s, a);
        b = dot(i16x8.shr_s(w1, 4), s, b);
        c = dot(i16x8.shr_s(w1, 8), s, c);
        d = dot(i16x8.shr_s(w1, 12), s, d);
      }
      a = i32x4.sub(a, i32x4.shl(b, 4));
      b = i32x4.sub(b, i32x4.shl(c, 4));
      c = i32x4.sub(c, i32x4.shl(d, 4));
      if (isSuper(format)) {
        const factor = v128.load32_splat(x, SCALE), sum = v128.load32_splat(x, SUM);
        const scales = v128.load(p), mins = v128.load(p, 16);
        z0 = scaled(a, byteOf(scales, 0), factor, z0);
        z1 = scaled(b, byteOf(scales, 1), factor, z1);
        z2 = scaled(c, byteOf(scales, 2), factor, z2);
        z3 = scaled(d, byteOf(scales, 3), factor, z3);
        m0 = madd(sum, byteOf(mins, 0), m0);
        m1 = madd(sum, byteOf(mins, 1), m1);
        m2 = madd(sum, byteOf(mins, 2), m2);
        m3 = madd(sum, byteOf(mins, 3), m3);
      } else {
        const factor = v128.load32_splat(x, RAISED_SCALE);
        const low = v128.load(p), high = v128.load(p, 16);
        y0 = scaled(a, f16LowBits(low, lows, bits), factor, y0);
        y1 = scaled(b, f16HighBits(low, bits), factor, y1);
        y2 = scaled(c, f16LowBits(high, lows, bits), factor, y2);
        y3 = scaled(d, f16HighBits(high, bits), factor, y3);
        if (hasMin(format)) {
          const sum = v128.load32_splat(x, RAISED_SUM);
          const lowMins = v128.load(p, 32), highMins = v128.load(p, 48);
          y0 = madd(f16LowBits(lowMins, lows, bits), sum, y0);
          y1 = madd(f16HighBits(lowMins, bits), sum, y1);
          y2 = madd(f16LowBits(highMins, lows, bits), sum, y2);
          y3 = madd(f16HighBits(highMins, bits), sum, y3);
        }
      }
      p = q;
      x += RECORD;
    }
    if (isSuper(format)) {
      y0 = f32x4.sub(madd(z0, v128.load(top), y0), f32x4.mul(m0, v128.load(top, 64)));
      y1 = f32x4.sub(madd(z1, v128.load(top, 16), y1), f32x4.mul(m1, v128.load(top, 80)));
      y2 = f32x4.sub(madd(z2, v128.load(top, 32), y2), f32x4.mul(m2, v128.load(top, 96)));
      y3 = f32x4.sub(madd(z3, v128.load(top, 48), y3), f32x4.mul(m3, v128.load(top, 112)));
    }
  }
  const raise = isSuper(format) ? f32x4.splat(1) : v128.load(F16_SCALE);
  v128.store(out, f32x4.mul(y0, raise));
  v128.store(out, f32x4.mul(y1, raise), 16);
  v128.store(out2, f32x4.mul(y2, raise));
  v128.store(out2, f32x4.mul(y3, raise), 16);
}

// @ts-ignore: decorator
@inline function fiveBits(format: u32, p: usize, x: usize, end: usize, out: usize): void {
  let ya = f32x4.splat(0), yb = ya;
  const five = v128.load(FIVE_BITS), bits = v128.load(F16_BITS), lows = v128.load(F16_LOW);
  while (x < end) {
    let za = f32x4.splat(0), zb = za, ma = za, mb = za;
    const top = p;
    p += <usize>superBytes(format);
    const last = isSuper(format) ? x + 8 * RECORD : end;
    while (x < last) {
      let a = i32x4.splat(0), b = a, a15 = a, b15 = a;
      let q = p + <usize>headerBytes(format), at = x + INTEGERS;
      // The top bits of five lanes are a quant, the highest bit first.
      for (const stop = at + 60; at < stop; at += 12, q += 32) {
        const w0 = v128.load(q), w1 = v128.load(q, 16);
        const x0 = v128.load32_splat(at), x1 = v128.load32_splat(at, 4), x2 = v128.load32_splat(at, 8);
        a = dot(v128.and(w0, five), x0, a);
        b = dot(v128.and(w1, five), x0, b);
        a = dot(v128.and(i16x8.shr_u(w0, 5), five), x1, a);
        b = dot(v128.and(i16x8.shr_u(w1, 5), five), x1, b);
        a = dot(v128.and(i16x8.shr_u(w0, 10), five), x2, a);
        b = dot(v128.and(i16x8.shr_u(w1, 10), five), x2, b);
        a15 = i16x8.sub(i16x8.add(a15, a15), i16x8.shr_s(w0, 15));
        b15 = i16x8.sub(i16x8.add(b15, b15), i16x8.shr_s(w1, 15));
      }
      const x15 = v128.load32_splat(at);
      a = dot(a15, x15, a);
      b = dot(b15, x15, b);
      const h = v128.load(p);
      if (isSuper(format)) {
        const factor = v128.load32_splat(x, SCALE), sum = v128.load32_splat(x, SUM);
        za = scaled(a, byteOf(h, 0), factor, za);
        zb = scaled(b, byteOf(h, 1), factor, zb);
        ma = madd(sum, byteOf(h, 2), ma);
        mb = madd(sum, byteOf(h, 3), mb);
      } else {
        const factor = v128.load32_splat(x, RAISED_SCALE), sum = v128.load32_splat(x, RAISED_SUM);
        const mins = v128.load(p, 16);
        ya = madd(f16LowBits(mins, lows, bits), sum, scaled(a, f16LowBits(h, lows, bits), factor, ya));
        yb = madd(f16HighBits(mins, bits), sum, scaled(b, f16HighBits(h, bits), factor, yb));
      }
      p = q;
      x += RECORD;
    }
    if (isSuper(format)) {
      ya = f32x4.sub(madd(za, v128.load(top), ya), f32x4.mul(ma, v128.load(top, 32)));
      yb = f32x4.sub(madd(zb, v128.load(top, 16), yb), f32x4.mul(mb, v128.load(top, 48)));
    }
  }
  const raise = isSuper(format) ? f32x4.splat(1) : v128.load(F16_SCALE);
  v128.store(out, f32x4.mul(ya, raise));
  v128.store(out, f32x4.mul(yb, raise), 16);
}

function matvec6K(p: usize, x: usize, end: usize, out: usize): void {
  let ya = f32x4.splat(0), yb = ya;
  const six = v128.load(SIX_BITS), high = v128.load(SIX_TOP);
  while (x < end) {
    let za = f32x4.splat(0), zb = za;
    const top = p;
    p += 32;
    for (const last = x + 8 * RECORD; x < last; x += RECORD) {
      const h = v128.load(p), scale = v128.load32_splat(x, SCALE);
      p += 16;
      for (let half: usize = 0; half < 8; half += 4, p += 96) {
        const at = x + INTEGERS + half * 8;
        let a = v128.load32_splat(x + half, START_6), b = a;
        const v0 = v128.load(p), w0 = v128.load(p, 16), v1 = v128.load(p, 32), w1 = v128.load(p, 48);
        let s = v128.load32_splat(at);
        a = dot(v128.and(v0, six), s, a);
        b = dot(v128.and(w0, six), s, b);
        s = v128.load32_splat(at, 4);
        a = dot(v128.and(i16x8.shr_u(v0, 6), six), s, a);
        b = dot(v128.and(i16x8.shr_u(w0, 6), six), s, b);
        s = v128.load32_splat(at, 8);
        a = dot(v128.and(v1, six), s, a);
        b = dot(v128.and(w1, six), s, b);
        s = v128.load32_splat(at, 12);
        a = dot(v128.and(i16x8.shr_u(v1, 6), six), s, a);
        b = dot(v128.and(i16x8.shr_u(w1, 6), six), s, b);
        const v2 = v128.load(p, 64), w2 = v128.load(p, 80);
        s = v128.load32_splat(at, 16);
        a = dot(v128.and(v2, six), s, a);
        b = dot(v128.and(w2, six), s, b);
        s = v128.load32_splat(at, 20);
        a = dot(v128.and(i16x8.shr_u(v2, 6), six), s, a);
        b = dot(v128.and(i16x8.shr_u(w2, 6), six), s, b);
        s = v128.load32_splat(at, 24);
        a = dot(v128.or(i16x8.shr_u(v0, 12), v128.and(i16x8.shr_u(v2, 8), high)), s, a);
        b = dot(v128.or(i16x8.shr_u(w0, 12), v128.and(i16x8.shr_u(w2, 8), high)), s, b);
        s = v128.load32_splat(at, 28);
        a = dot(v128.or(i16x8.shr_u(v1, 12), v128.and(i16x8.shr_u(v2, 10), high)), s, a);
        b = dot(v128.or(i16x8.shr_u(w1, 12), v128.and(i16x8.shr_u(w2, 10), high)), s, b);
        // Bytes 0 and 1 are the scales of columns 0-15, bytes 2 and 3 of columns 16-31.
        const scales = half == 0 ? i32x4.shl(h, 16) : h;
        za = scaled(a, signedByteOf(scales, 2), scale, za);
        zb = scaled(b, signedByteOf(scales, 3), scale, zb);
      }
    }
    ya = madd(za, v128.load(top), ya);
    yb = madd(zb, v128.load(top, 16), yb);
  }
  v128.store(out, ya);
  v128.store(out, yb, 16);
}
