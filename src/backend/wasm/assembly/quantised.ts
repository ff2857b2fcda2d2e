/**
 * Layout of quantised weights: row groups in blocks of 32 columns, one contiguous stream. A block is a header with the rows'
 * scales and then the quants in lanes of 16 bits: a vector has two lanes of each of 4 rows, for two adjacent columns, a pair.
 *
 * A lane of a pair in 8 and 4 bits is one integer of several rows, q0 + 256 q1 or q0 + 16 q1 + 256 q2 + 4096 q3, the last of
 * them signed. Sums of products with that integer and with its shifts give the sums of each row by subtraction, modulo 2^32:
 * a mask for each row would be an instruction more.
 *
 * | format | rows | header of a block | vectors | of 256 columns | bytes a weight |
 * | --- | --- | --- | --- | --- | --- |
 * | q8_0 | 8 | d f16 | s: pair s, quants + 128 of rows 0-3, quants of rows 4-7 | | 1.0625 |
 * | q4_0 | 16 | d f16 | s: pair s, quants, less 8 in rows 12-15 | | 0.5625 |
 * | q4_1 | 16 | d, m f16 | as q4_0 | | 0.625 |
 * | q4_k | 16 | scale, min u8 | as q4_0 | d, dmin f32 | 0.594 |
 * | q5_1 | 8 | d, m f16 | i, rows 0-3 and 4-7 in turn: pairs 3i .. 3i + 2, bit 4 - i of pair 15 | | 0.75 |
 * | q5_k | 8 | scale, min u8 | as q5_1 | d, dmin f32 | 0.719 |
 * | q6_k | 8 | scales of 16 columns i8 | rows 0-3 and 4-7 in turn, 8 pairs in 3 vectors: see `sixBits` | d f32 | 0.828 |
 *
 * Vectors of f16: rows 0-3 in the low halves of u32 lanes, rows 4-7 in the high halves; then rows 8-15. Bytes of a lane: the
 * numbers of rows r, r + 4, r + 8, r + 12 in one vector and the mins in another, or of two rows and then their mins; in q6_k
 * the scales of columns 0-15, then those of columns 16-31.
 */
import { Q4_0, Q4_1, Q4_K, Q5_1, Q5_K, Q6_K, Q8_0 } from "../../../base/format-codes";
import { half } from "./math";

// @ts-ignore: decorator
@inline export function isQuantised(format: u32): bool { return format >= <u32>Q8_0; }

/** True for formats of 256 columns. */
// @ts-ignore: decorator
@inline export function isSuper(format: u32): bool { return format >= <u32>Q4_K; }

/** True for formats whose values have a minimum beside the scale. */
// @ts-ignore: decorator
@inline export function hasMin(format: u32): bool {
  return format == Q4_1 || format == Q5_1 || format == Q4_K || format == Q5_K;
}

/** True for formats of 4 bits, whose row groups have 16 rows. */
// @ts-ignore: decorator
@inline export function isFourBits(format: u32): bool { return format == Q4_0 || format == Q4_1 || format == Q4_K; }

/** log2 of the rows of a row group. */
// @ts-ignore: decorator
@inline export function groupShift(format: u32): u32 { return isFourBits(format) ? 4 : 3; }

/** Bytes of the header of a block. */
// @ts-ignore: decorator
@inline export function headerBytes(format: u32): u32 {
  return (isFourBits(format) ? 32 : 16) << u32(format == Q4_1 || format == Q5_1);
}

/** Bytes of the header of 8 blocks. */
// @ts-ignore: decorator
@inline export function superBytes(format: u32): u32 {
  return format == Q4_K ? 128 : format == Q5_K ? 64 : format == Q6_K ? 32 : 0;
}

/** Bytes of the quants of a block. */
// @ts-ignore: decorator
@inline export function quantBytes(format: u32): u32 {
  return format == Q6_K ? 192 : format == Q5_1 || format == Q5_K ? 160 : 256;
}

/** Bytes of a row group. */
// @ts-ignore: decorator
@inline export function quantisedGroupBytes(format: u32, cols: u32): u32 {
  return (cols >> 5) * (headerBytes(format) + quantBytes(format)) + (cols >> 8) * superBytes(format);
}

/** Address of block `block` of a row group. */
// @ts-ignore: decorator
@inline export function blockAt(format: u32, group: usize, block: u32): usize {
  const before = block * (headerBytes(format) + quantBytes(format));
  return group + <usize>(before + (isSuper(format) ? ((block >> 3) + 1) * superBytes(format) : 0));
}

/** Byte `i` of u32 lanes as f32. */
// @ts-ignore: decorator
@inline export function byteOf(v: v128, i: i32): v128 {
  if (i == 3) return f32x4.convert_i32x4_s(i32x4.shr_u(v, 24));
  return f32x4.convert_i32x4_s(v128.and(i == 0 ? v : i32x4.shr_u(v, i * 8), i32x4.splat(255)));
}

/** Signed byte `i` of u32 lanes as f32. */
// @ts-ignore: decorator
@inline export function signedByteOf(v: v128, i: i32): v128 {
  return f32x4.convert_i32x4_s(i32x4.shr_s(i == 3 ? v : i32x4.shl(v, 24 - i * 8), 24));
}

/** Lane of row r (of 4) and column parity p in vector i. */
// @ts-ignore: decorator
@inline function lane(quants: usize, i: u32, r: u32, p: u32): u32 {
  return load<u16>(quants + <usize>(i * 16 + r * 4 + p * 2));
}

/** The unsigned quant of a row and column of a block. */
function quantAt(format: u32, quants: usize, row: u32, col: u32): u32 {
  const s = col >> 1, p = col & 1, r = row & 3, quad = row >> 2;
  if (format == Q8_0) return ((lane(quants, s, r, p) >> (quad * 8)) & 255) ^ (quad * 128);
  if (isFourBits(format)) return ((lane(quants, s, r, p) >> (quad * 4)) & 15) ^ (quad == 3 ? 8 : 0);
  if (format == Q6_K) return sixBits(quants + <usize>((s >> 3) * 96), r, quad, s & 7, p);
  if (s < 15) return (lane(quants, s / 3 * 2 + quad, r, p) >> (s % 3 * 5)) & 31;
  let bits: u32 = 0;
  for (let i: u32 = 0; i < 5; i++) bits = bits * 2 + (lane(quants, i * 2 + quad, r, p) >> 15);
  return bits;
}

/** Three vectors hold 8 pairs: 2v and 2v + 1 in the low 12 bits of vector v, pairs 6 and 7 in the bits that remain. */
function sixBits(quants: usize, r: u32, quad: u32, s: u32, p: u32): u32 {
  if (s < 6) return (lane(quants, (s >> 1) * 2 + quad, r, p) >> ((s & 1) * 6)) & 63;
  const low = lane(quants, (s - 6) * 2 + quad, r, p) >> 12;
  return low | (((lane(quants, 4 + quad, r, p) >> (s == 6 ? 12 : 14)) & 3) << 4);
}

/** The f16 of a row. */
// @ts-ignore: decorator
@inline function halfOf(at: usize, row: u32): f32 {
  return half(load<u16>(at + <usize>((row >> 3) * 16 + (row & 3) * 4 + ((row >> 2) & 1) * 2)));
}

/** Gathers one row of a row group as f32 [cols], each value as the format defines it. */
export function gatherQuantised(format: u32, group: usize, row: u32, cols: u32, out: usize): void {
  for (let block: u32 = 0; block < cols >> 5; block++, out += 128) {
    const header = blockAt(format, group, block);
    const quants = header + <usize>headerBytes(format);
    const top = blockAt(format, group, block & ~7) - <usize>superBytes(format) + <usize>(row * 4);
    const bytes = header + <usize>((row & 3) * 4 + (row >> 2));
    let d: f32 = 0, m: f32 = 0, d2: f32 = 0;
    let offset: i32 = 0;
    if (format == Q6_K) {
      d = load<f32>(top) * <f32>load<i8>(bytes);
      d2 = load<f32>(top) * <f32>load<i8>(bytes, 2);
      offset = 32;
    } else if (isSuper(format)) {
      const mins: usize = format == Q4_K ? 16 : 2;
      d2 = d = load<f32>(top) * <f32>load<u8>(bytes);
      m = -(load<f32>(top + <usize>(superBytes(format) >> 1)) * <f32>load<u8>(bytes + mins));
    } else {
      d2 = d = halfOf(header, row);
      if (hasMin(format)) m = halfOf(header + <usize>(headerBytes(format) >> 1), row);
      else offset = format == Q8_0 ? 128 : 8;
    }
    for (let col: u32 = 0; col < 32; col++) {
      const v = (col < 16 ? d : d2) * <f32>(<i32>quantAt(format, quants, row, col) - offset);
      store<f32>(out + <usize>(col * 4), hasMin(format) ? v + m : v);
    }
  }
}
