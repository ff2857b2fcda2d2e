/**
 * One row of x times a row group of quantised weights, 8 sums at a time: integers within a block of 32 columns, f32 across
 * blocks. Quants are unsigned; what they exceed the values by is a multiple of the activations' sum, with which the
 * integer sums begin. Layouts: quantised.ts, activations.ts.
 */
import { Q4_0, Q4_1, Q4_K, Q5_1, Q5_K, Q8_0 } from "../../../base/format-codes";
import { INTEGERS, RECORD } from "./activations";
import { F16_BITS, F16_UNIT, f16HighBits, f16LowBits, madd } from "./math";
import { byteOf, hasMin, headerBytes, isFourBits, isSuper, signedByteOf, superBytes } from "./quantised";

/** Masks of the lanes' fields. Kernels load them before their loops: newer V8 rematerialises constants at every use. */
const LOW_BYTES = memory.data<u16>([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff], 16);
const NIBBLES = memory.data<u16>([15, 15, 15, 15, 15, 15, 15, 15], 16);
const HIGH_NIBBLES = memory.data<u16>([0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0, 0xf0], 16);
const FIVE_BITS = memory.data<u16>([31, 31, 31, 31, 31, 31, 31, 31], 16);
const SIX_BITS = memory.data<u16>([63, 63, 63, 63, 63, 63, 63, 63], 16);
const SIX_TOP = memory.data<u16>([0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30, 0x30], 16);

/** out[8] = row group at p · x of `cols` columns. x: records of a row. */
export function matvecQuantised(format: u32, p: usize, cols: u32, x: usize, out: usize): void {
  const end = x + <usize>(cols >> 5) * RECORD;
  if (format == Q8_0) matvec8_0(p, x, end, out);
  else if (format == Q4_0) matvec4_0(p, x, end, out);
  else if (format == Q4_1) matvec4_1(p, x, end, out);
  else if (format == Q5_1) matvec5_1(p, x, end, out);
  else if (format == Q4_K) matvec4K(p, x, end, out);
  else if (format == Q5_K) matvec5K(p, x, end, out);
  else matvec6K(p, x, end, out);
}

function matvec8_0(p: usize, x: usize, end: usize, out: usize): void { matvec(Q8_0, p, x, end, out); }
function matvec4_0(p: usize, x: usize, end: usize, out: usize): void { matvec(Q4_0, p, x, end, out); }
function matvec4_1(p: usize, x: usize, end: usize, out: usize): void { matvec(Q4_1, p, x, end, out); }
function matvec4K(p: usize, x: usize, end: usize, out: usize): void { matvec(Q4_K, p, x, end, out); }
function matvec5_1(p: usize, x: usize, end: usize, out: usize): void { matvec(Q5_1, p, x, end, out); }
function matvec5K(p: usize, x: usize, end: usize, out: usize): void { matvec(Q5_K, p, x, end, out); }

/** sums + quants · pair */
// @ts-ignore: decorator
@inline function dot(quants: v128, pair: v128, sums: v128): v128 {
  return i32x4.add(sums, i32x4.dot_i16x8_s(quants, pair));
}

/** All formats but q6_k. `format` is a constant of the caller, so that one format's code remains. */
// @ts-ignore: decorator
@inline function matvec(format: u32, p: usize, x: usize, end: usize, out: usize): void {
  let ya = f32x4.splat(0), yb = ya;
  const low = v128.load(format == Q8_0 ? LOW_BYTES : isFourBits(format) ? NIBBLES : FIVE_BITS);
  const high = v128.load(HIGH_NIBBLES), bits = v128.load(F16_BITS), unit = v128.load(F16_UNIT);
  while (x < end) {
    // Blocks that share a header: 8, or all, which then need none.
    let za = f32x4.splat(0), zb = za, ma = za, mb = za;
    const top = p;
    p += <usize>superBytes(format);
    const last = isSuper(format) ? x + 8 * RECORD : end;
    while (x < last) {
      let a = i32x4.splat(0);
      if (!hasMin(format)) a = i32x4.shl(v128.load32_splat(x, 8), format == Q8_0 ? 7 : 3);
      let b = a;
      let q = p + <usize>headerBytes(format), at = x + INTEGERS;
      if (format == Q8_0) {
        for (const stop = x + RECORD; at < stop; at += 16, q += 64) {
          const w0 = v128.load(q), w1 = v128.load(q, 16);
          const x0 = v128.load32_splat(at), x1 = v128.load32_splat(at, 4);
          a = dot(v128.and(w0, low), x0, a);
          b = dot(v128.and(w1, low), x0, b);
          a = dot(i16x8.shr_u(w0, 8), x1, a);
          b = dot(i16x8.shr_u(w1, 8), x1, b);
          const w2 = v128.load(q, 32), w3 = v128.load(q, 48);
          const x2 = v128.load32_splat(at, 8), x3 = v128.load32_splat(at, 12);
          a = dot(v128.and(w2, low), x2, a);
          b = dot(v128.and(w3, low), x2, b);
          a = dot(i16x8.shr_u(w2, 8), x3, a);
          b = dot(i16x8.shr_u(w3, 8), x3, b);
        }
      } else if (isFourBits(format)) {
        // Sums of nibbles that stay in their place, 16 times too large.
        let a16 = i32x4.splat(0), b16 = a16;
        for (const stop = at + 32; at < stop; at += 8, q += 32) {
          const w0 = v128.load(q), w1 = v128.load(q, 16);
          const x0 = v128.load32_splat(at), x8 = v128.load32_splat(at, 32);
          a = dot(v128.and(w0, low), x0, a);
          b = dot(v128.and(w1, low), x0, b);
          a16 = dot(v128.and(w0, high), x8, a16);
          b16 = dot(v128.and(w1, high), x8, b16);
          const h0 = i16x8.shr_u(w0, 8), h1 = i16x8.shr_u(w1, 8);
          const x1 = v128.load32_splat(at, 4), x9 = v128.load32_splat(at, 36);
          a = dot(v128.and(h0, low), x1, a);
          b = dot(v128.and(h1, low), x1, b);
          a16 = dot(v128.and(h0, high), x9, a16);
          b16 = dot(v128.and(h1, high), x9, b16);
        }
        a = i32x4.add(a, i32x4.shr_s(a16, 4));
        b = i32x4.add(b, i32x4.shr_s(b16, 4));
      } else {
        // The top bits of five lanes are a quant, the highest bit first.
        let a15 = i32x4.splat(0), b15 = a15;
        for (const stop = at + 60; at < stop; at += 12, q += 32) {
          const w0 = v128.load(q), w1 = v128.load(q, 16);
          const x0 = v128.load32_splat(at), x1 = v128.load32_splat(at, 4), x2 = v128.load32_splat(at, 8);
          a = dot(v128.and(w0, low), x0, a);
          b = dot(v128.and(w1, low), x0, b);
          a = dot(v128.and(i16x8.shr_u(w0, 5), low), x1, a);
          b = dot(v128.and(i16x8.shr_u(w1, 5), low), x1, b);
          a = dot(v128.and(i16x8.shr_u(w0, 10), low), x2, a);
          b = dot(v128.and(i16x8.shr_u(w1, 10), low), x2, b);
          a15 = i16x8.sub(i16x8.add(a15, a15), i16x8.shr_s(w0, 15));
          b15 = i16x8.sub(i16x8.add(b15, b15), i16x8.shr_s(w1, 15));
        }
        const x15 = v128.load32_splat(at);
        a = dot(a15, x15, a);
        b = dot(b15, x15, b);
      }
      const scale = v128.load32_splat(x);
      const fa = f32x4.mul(f32x4.convert_i32x4_s(a), scale), fb = f32x4.mul(f32x4.convert_i32x4_s(b), scale);
      const h = v128.load(p);
      if (isSuper(format)) {
        const sum = v128.load32_splat(x, 4);
        za = madd(fa, byteOf(h, 0), za);
        zb = madd(fb, byteOf(h, 1), zb);
        ma = madd(sum, byteOf(h, 2), ma);
        mb = madd(sum, byteOf(h, 3), mb);
      } else {
        ya = madd(fa, f32x4.mul(f16LowBits(h, bits), unit), ya);
        yb = madd(fb, f32x4.mul(f16HighBits(h, bits), unit), yb);
        if (hasMin(format)) {
          const m = v128.load(p, 16), sum = f32x4.mul(v128.load32_splat(x, 4), unit);
          ya = madd(f16LowBits(m, bits), sum, ya);
          yb = madd(f16HighBits(m, bits), sum, yb);
        }
      }
      p = q;
      x += RECORD;
    }
    if (isSuper(format)) {
      ya = f32x4.sub(madd(za, v128.load(top), ya), f32x4.mul(ma, v128.load(top, 32)));
      yb = f32x4.sub(madd(zb, v128.load(top, 16), yb), f32x4.mul(mb, v128.load(top, 48)));
    }
  }
  v128.store(out, ya);
  v128.store(out, yb, 16);
}

function matvec6K(p: usize, x: usize, end: usize, out: usize): void {
  let ya = f32x4.splat(0), yb = ya;
  const six = v128.load(SIX_BITS), high = v128.load(SIX_TOP);
  while (x < end) {
    let za = f32x4.splat(0), zb = za;
    const top = p;
    p += 32;
    for (const last = x + 8 * RECORD; x < last; x += RECORD) {
      const h = v128.load(p), scale = v128.load32_splat(x);
      p += 16;
      for (let half: usize = 0; half < 8; half += 4, p += 96) {
        const at = x + INTEGERS + half * 8;
        let a = i32x4.shl(v128.load32_splat(x + half, 12), 5), b = a;
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
        const fa = f32x4.mul(f32x4.convert_i32x4_s(a), scale), fb = f32x4.mul(f32x4.convert_i32x4_s(b), scale);
        // Bytes 0 and 1 are the scales of columns 0-15, bytes 2 and 3 of columns 16-31.
        const scales = half == 0 ? i32x4.shl(h, 16) : h;
        za = madd(fa, signedByteOf(scales, 2), za);
        zb = madd(fb, signedByteOf(scales, 3), zb);
      }
    }
    ya = madd(za, v128.load(top), ya);
    yb = madd(zb, v128.load(top, 16), yb);
  }
  v128.store(out, ya);
  v128.store(out, yb, 16);
}
