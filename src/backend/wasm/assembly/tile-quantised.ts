/**
 * The GEMM of quantised weights: integer panels of a row group against four rows of x at a time. A panel holds blocks of 32
 * columns, 16 of q6_k: scales f32 [8], mins f32 [8], quants int16 [pair][8 rows][2]. Sums are integers within a block, f32
 * across blocks.
 */
import { Q6_K, Q8_0 } from "../../../base/format-codes";
import { INTEGERS_OF_FOUR, RECORD_OF_FOUR } from "./activations";
import { f16High, f16Low, madd } from "./math";
import {
  blockAt, byteOf, hasMin, headerBytes, isFourBits, isSuper, quantBytes, signedByteOf, superBytes,
} from "./quantised";

/** Columns of a panel in scratch: whole blocks of every format. */
export const QUANTISED_PANEL_COLS: u32 = 768;
const HEADER: usize = 64;
/** Bytes of a pair of columns. */
const PAIR: usize = 32;

/**
 * Expands `cols` columns of 8 rows of a row group, from column `from` on, a multiple of QUANTISED_PANEL_COLS, into a panel.
 * upper: rows 8-15 of a group of 16.
 */
export function expandQuantised(format: u32, group: usize, upper: bool, from: u32, cols: u32, panel: usize): void {
  let p = blockAt(format, group, from >> 5) - <usize>superBytes(format);
  let top: usize = 0;
  for (let block: u32 = 0; block < cols >> 5; block++) {
    if (isSuper(format) && (block & 7) == 0) {
      top = p;
      p += <usize>superBytes(format);
    }
    const quants = p + <usize>headerBytes(format);
    if (format == Q6_K) {
      expandSixBits(p, top, panel);
      panel += 2 * (HEADER + 8 * PAIR);
    } else {
      if (isSuper(format)) expandByteScales(format, p, top, upper, panel);
      else expandHalves(format, p, upper, panel);
      panel += HEADER;
      if (format == Q8_0) expandBytes(quants, panel);
      else if (!isFourBits(format)) expandFiveBits(quants, panel);
      else if (upper) expandHighNibbles(quants, panel, hasMin(format) ? 0 : 8);
      else expandLowNibbles(quants, panel, hasMin(format) ? 0 : 8);
      panel += 16 * PAIR;
    }
    p = quants + <usize>quantBytes(format);
  }
}

function expandHalves(format: u32, header: usize, upper: bool, panel: usize): void {
  if (upper) header += 16;
  v128.store(panel, f16Low(v128.load(header)));
  v128.store(panel, f16High(v128.load(header)), 16);
  if (!hasMin(format)) return;
  const mins = v128.load(header + <usize>(headerBytes(format) >> 1));
  v128.store(panel, f16Low(mins), 32);
  v128.store(panel, f16High(mins), 48);
}

function expandByteScales(format: u32, header: usize, top: usize, upper: bool, panel: usize): void {
  let scales = v128.load(header), mins = i32x4.shr_u(scales, 16);
  if (isFourBits(format)) {
    mins = v128.load(header, 16);
    if (upper) {
      scales = i32x4.shr_u(scales, 16);
      mins = i32x4.shr_u(mins, 16);
      top += 32;
    }
  }
  const topMins = top + <usize>(superBytes(format) >> 1);
  v128.store(panel, f32x4.mul(byteOf(scales, 0), v128.load(top)));
  v128.store(panel, f32x4.mul(byteOf(scales, 1), v128.load(top, 16)), 16);
  v128.store(panel, f32x4.neg(f32x4.mul(byteOf(mins, 0), v128.load(topMins))), 32);
  v128.store(panel, f32x4.neg(f32x4.mul(byteOf(mins, 1), v128.load(topMins, 16))), 48);
}

function expandBytes(quants: usize, to: usize): void {
  const low = i16x8.splat(255), offset = i16x8.splat(128);
  for (const end = quants + 256; quants < end; quants += 16, to += PAIR) {
    const v = v128.load(quants);
    v128.store(to, i16x8.sub(v128.and(v, low), offset));
    v128.store(to, i16x8.shr_s(v, 8), 16);
  }
}

/** excess: of the quants over the values. */
function expandLowNibbles(quants: usize, to: usize, excess: i16): void {
  const low = i16x8.splat(15), offset = i16x8.splat(excess);
  for (const end = quants + 256; quants < end; quants += 16, to += PAIR) {
    const v = v128.load(quants);
    v128.store(to, i16x8.sub(v128.and(v, low), offset));
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(v, 4), low), offset), 16);
  }
}

/** Rows 12-15 are short of 8. */
function expandHighNibbles(quants: usize, to: usize, excess: i16): void {
  const low = i16x8.splat(15), offset = i16x8.splat(excess), offset2 = i16x8.splat(excess - 8);
  for (const end = quants + 256; quants < end; quants += 16, to += PAIR) {
    const v = v128.load(quants);
    v128.store(to, i16x8.sub(v128.and(i16x8.shr_u(v, 8), low), offset));
    v128.store(to, i16x8.sub(i16x8.shr_s(v, 12), offset2), 16);
  }
}

function expandFiveBits(quants: usize, to: usize): void {
  const low = i16x8.splat(31);
  for (let rows: usize = 0; rows < 32; rows += 16) {
    let last = i16x8.splat(0), at = to + rows;
    for (let i: usize = 0; i < 160; i += 32, at += 3 * PAIR) {
      const v = v128.load(quants + rows + i);
      v128.store(at, v128.and(v, low));
      v128.store(at, v128.and(i16x8.shr_u(v, 5), low), PAIR);
      v128.store(at, v128.and(i16x8.shr_u(v, 10), low), 2 * PAIR);
      last = i16x8.sub(i16x8.add(last, last), i16x8.shr_s(v, 15));
    }
    v128.store(at, last);
  }
}

/** Two blocks of 16 columns. */
function expandSixBits(header: usize, top: usize, to: usize): void {
  const six = i16x8.splat(63), high = i16x8.splat(0x30), offset = i16x8.splat(32);
  const h = v128.load(header);
  for (let half: usize = 0; half < 2; half++, to += HEADER + 8 * PAIR) {
    const scales = half == 0 ? i32x4.shl(h, 16) : h;
    v128.store(to, f32x4.mul(signedByteOf(scales, 2), v128.load(top)));
    v128.store(to, f32x4.mul(signedByteOf(scales, 3), v128.load(top, 16)), 16);
    for (let rows: usize = 0; rows < 32; rows += 16) {
      const quants = header + 16 + half * 96 + rows, at = to + HEADER + rows;
      const v0 = v128.load(quants), v1 = v128.load(quants, 32), v2 = v128.load(quants, 64);
      v128.store(at, i16x8.sub(v128.and(v0, six), offset));
      v128.store(at, i16x8.sub(v128.and(i16x8.shr_u(v0, 6), six), offset), PAIR);
      v128.store(at, i16x8.sub(v128.and(v1, six), offset), 2 * PAIR);
      v128.store(at, i16x8.sub(v128.and(i16x8.shr_u(v1, 6), six), offset), 3 * PAIR);
      v128.store(at, i16x8.sub(v128.and(v2, six), offset), 4 * PAIR);
      v128.store(at, i16x8.sub(v128.and(i16x8.shr_u(v2, 6), six), offset), 5 * PAIR);
      v128.store(at, i16x8.sub(v128.or(i16x8.shr_u(v0, 12), v128.and(i16x8.shr_u(v2, 8), high)), offset), 6 * PAIR);
      v128.store(at, i16x8.sub(v128.or(i16x8.shr_u(v1, 12), v128.and(i16x8.shr_u(v2, 10), high)), offset), 7 * PAIR);
    }
  }
}

/** c[i][0..7] (+)= panel · x[i] for four rows of x. x: records of four; c: f32 [4][8]. */
export function tileQuantised(format: u32, panel: usize, cols: u32, x: usize, c: usize, accumulate: bool): void {
  if (!accumulate) for (let i: usize = 0; i < 128; i += 16) v128.store(c + i, f32x4.splat(0));
  const end = x + <usize>(cols >> 5) * RECORD_OF_FOUR;
  if (format == Q6_K)
    for (; x < end; x += RECORD_OF_FOUR, panel += 2 * (HEADER + 8 * PAIR)) {
      tileBlock(panel, 8, x, x + INTEGERS_OF_FOUR, c);
      tileBlock(panel + HEADER + 8 * PAIR, 8, x, x + INTEGERS_OF_FOUR + 128, c);
    }
  else
    for (; x < end; x += RECORD_OF_FOUR, panel += HEADER + 16 * PAIR) {
      tileBlock(panel, 16, x, x + INTEGERS_OF_FOUR, c);
      if (hasMin(format)) addMins(panel + 32, x + 16, c);
    }
}

/** One block of a panel; x: the record of its columns, v: their integers. */
// @ts-ignore: decorator
@inline function tileBlock(panel: usize, pairs: usize, x: usize, v: usize, c: usize): void {
  let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  let w0: v128, w1: v128, s: v128;
  const d = panel;
  panel += HEADER;
  // Not unrolled, and in loops that run once: see tile.ts.
  const end = panel + pairs * PAIR;
  while (panel < end) {
    for (; panel < end; panel += PAIR, v += 16) {
      w0 = v128.load(panel); w1 = v128.load(panel, 16);
      s = v128.load32_splat(v); a0 = i32x4.add(a0, i32x4.dot_i16x8_s(w0, s)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(w1, s));
      s = v128.load32_splat(v, 4); a1 = i32x4.add(a1, i32x4.dot_i16x8_s(w0, s)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(w1, s));
      s = v128.load32_splat(v, 8); a2 = i32x4.add(a2, i32x4.dot_i16x8_s(w0, s)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(w1, s));
      s = v128.load32_splat(v, 12); a3 = i32x4.add(a3, i32x4.dot_i16x8_s(w0, s)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(w1, s));
    }
  }
  w0 = v128.load(d); w1 = v128.load(d, 16);
  s = v128.load32_splat(x);
  v128.store(c, madd(f32x4.convert_i32x4_s(a0), f32x4.mul(w0, s), v128.load(c)));
  v128.store(c, madd(f32x4.convert_i32x4_s(b0), f32x4.mul(w1, s), v128.load(c, 16)), 16);
  s = v128.load32_splat(x, 4);
  v128.store(c, madd(f32x4.convert_i32x4_s(a1), f32x4.mul(w0, s), v128.load(c, 32)), 32);
  v128.store(c, madd(f32x4.convert_i32x4_s(b1), f32x4.mul(w1, s), v128.load(c, 48)), 48);
  s = v128.load32_splat(x, 8);
  v128.store(c, madd(f32x4.convert_i32x4_s(a2), f32x4.mul(w0, s), v128.load(c, 64)), 64);
  v128.store(c, madd(f32x4.convert_i32x4_s(b2), f32x4.mul(w1, s), v128.load(c, 80)), 80);
  s = v128.load32_splat(x, 12);
  v128.store(c, madd(f32x4.convert_i32x4_s(a3), f32x4.mul(w0, s), v128.load(c, 96)), 96);
  v128.store(c, madd(f32x4.convert_i32x4_s(b3), f32x4.mul(w1, s), v128.load(c, 112)), 112);
}

/** mins: f32 [8]; sums: of the four rows' activations. */
// @ts-ignore: decorator
@inline function addMins(mins: usize, sums: usize, c: usize): void {
  const m0 = v128.load(mins), m1 = v128.load(mins, 16);
  for (const end = c + 128; c < end; c += 32, sums += 4) {
    const s = v128.load32_splat(sums);
    v128.store(c, madd(m0, s, v128.load(c)));
    v128.store(c, madd(m1, s, v128.load(c, 16)), 16);
  }
}
