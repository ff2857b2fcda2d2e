/**
 * Layout of quantised weights: groups of 8 rows in blocks of 32 columns, one contiguous stream. A block is a header with the
 * rows' scales and then the quants: lanes of 16 bits, two of each row in a vector, rows 0-3 and rows 4-7 in turn. The two
 * lanes of a row hold the elements of pairs: pair s is elements 4 (s >> 1) + (s & 1) and 2 more, and activations stand in the
 * same order (activations.ts). Formats of 256 columns have a header more for each 8 blocks: factors of their scales as f32.
 *
 * | format | header of a block | quants of vector i | of 256 columns | bytes a weight |
 * | --- | --- | --- | --- | --- |
 * | q8_0 | d f16 | quant + 128 of pairs 2i, 2i + 1 | | 1.0625 |
 * | q4_0 | d f16 | pairs 2i, 8 + 2i, 2i + 1, 9 + 2i | | 0.5625 |
 * | q4_1, q5_1 | d, m f16 | as q4_0; as q5_k | | 0.625, 0.75 |
 * | q4_k, q5_k | scale, min u8 | as q4_0; pairs 3i .. 3i + 2 and bit 4 - i of pair 15 | d, dmin | 0.594, 0.719 |
 * | q6_k | scales of 16 columns i8 | 3 vectors of 8 pairs, twice: see `sixBits` | d | 0.828 |
 *
 * f16 of rows 0-3 stand in the low halves of u32 lanes, those of rows 4-7 in the high halves. Bytes of a lane: scale of row r,
 * of row r + 4, min of row r, of row r + 4; in q6_k the scales of columns 0-15, then those of columns 16-31.
 */
import { Q4_0, Q4_1, Q4_K, Q5_1, Q5_K, Q6_K, Q8_0 } from "../../../base/format-codes";
import { half } from "./math";

// @ts-ignore: decorator
@inline export function isQuantised(format: u32): bool { return format >= <u32>Q8_0; }

// @ts-ignore: decorator
@inline export function isSuper(format: u32): bool { return format >= <u32>Q4_K; }

/** Bytes of the header of a block. */
// @ts-ignore: decorator
@inline export function headerBytes(format: u32): u32 { return format == Q4_1 || format == Q5_1 ? 32 : 16; }

/** Bytes of the header of 8 blocks. */
// @ts-ignore: decorator
@inline export function superBytes(format: u32): u32 { return format == Q6_K ? 32 : isSuper(format) ? 64 : 0; }

/** Bytes of the quants of a block. */
// @ts-ignore: decorator
@inline export function quantBytes(format: u32): u32 {
  if (format == Q8_0) return 256;
  if (format == Q6_K) return 192;
  return format == Q5_1 || format == Q5_K ? 160 : 128;
}

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

// @ts-ignore: decorator
@inline function superAt(format: u32, group: usize, block: u32): usize {
  return blockAt(format, group, block & ~7) - <usize>superBytes(format);
}

/** Bytes from a vector of rows 0-3 to that of rows 4-7. */
const TO_HIGH_ROWS: usize = 16;

/** Lane of row r (0-3 or 4-7) and column parity p in vector i. */
// @ts-ignore: decorator
@inline function lane(quants: usize, i: u32, row: u32, p: u32): u32 {
  return load<u16>(quants + <usize>(i * 32) + <usize>(row >> 2) * TO_HIGH_ROWS + <usize>((row & 3) * 4 + p * 2));
}

/** The unsigned quant of a row at pair s and parity p of a block. */
export function quantAt(format: u32, quants: usize, row: u32, s: u32, p: u32): u32 {
  if (format == Q8_0) return (lane(quants, s >> 1, row, p) >> ((s & 1) << 3)) & 255;
  if (format == Q6_K) return sixBits(quants + <usize>((s >> 3) * 96), row, s & 7, p);
  if (format == Q5_1 || format == Q5_K) {
    if (s < 15) return (lane(quants, s / 3, row, p) >> (s % 3 * 5)) & 31;
    let bits: u32 = 0;
    for (let i: u32 = 0; i < 5; i++) bits = bits * 2 + (lane(quants, i, row, p) >> 15);
    return bits;
  }
  return (lane(quants, (s & 7) >> 1, row, p) >> (((s & 1) << 3) + ((s >> 3) << 2))) & 15;
}

/** Three vectors hold 8 pairs: 2v and 2v + 1 in the low 12 bits of vector v, pairs 6 and 7 in the bits that remain. */
function sixBits(quants: usize, row: u32, s: u32, p: u32): u32 {
  if (s < 6) return (lane(quants, s >> 1, row, p) >> ((s & 1) * 6)) & 63;
  return (lane(quants, s - 6, row, p) >> 12) | (((lane(quants, 2, row, p) >> (s == 6 ? 12 : 14)) & 3) << 4);
}

/** The f16 of a row in a vector of 8. */
// @ts-ignore: decorator
@inline function halfOf(at: usize, row: u32): f32 { return half(load<u16>(at + <usize>((row & 3) * 4 + (row >> 2) * 2))); }

/** Gathers one row of a row group as f32 [cols], each value as the format defines it. */
export function gatherQuantised(format: u32, group: usize, row: u32, cols: u32, out: usize): void {
  for (let block: u32 = 0; block < cols >> 5; block++, out += 128) {
    const header = blockAt(format, group, block);
    const quants = header + <usize>headerBytes(format);
    const top = superAt(format, group, block) + <usize>(row * 4);
    const bytes = header + <usize>((row & 3) * 4 + (row >> 2));
    let d: f32 = 0, m: f32 = 0, d2: f32 = 0;
    let offset: i32 = 0;
    if (format == Q6_K) {
      d = load<f32>(top) * <f32>load<i8>(bytes);
      d2 = load<f32>(top) * <f32>load<i8>(bytes, 2);
      offset = 32;
    } else if (isSuper(format)) {
      d2 = d = load<f32>(top) * <f32>load<u8>(bytes);
      m = -(load<f32>(top, 32) * <f32>load<u8>(bytes, 2));
    } else {
      d2 = d = halfOf(header, row);
      if (headerBytes(format) == 32) m = halfOf(header + 16, row);
      else offset = format == Q8_0 ? 128 : 8;
    }
    const hasMin = offset == 0;
    for (let s: u32 = 0; s < 16; s++) {
      for (let p: u32 = 0; p < 2; p++) {
        const v = (s < 8 ? d : d2) * <f32>(<i32>quantAt(format, quants, row, s, p) - offset);
        store<f32>(out + <usize>(((s >> 1) * 4 + (s & 1) + 2 * p) * 4), hasMin ? v + m : v);
      }
    }
  }
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

/** True for formats whose values have a minimum beside the scale. */
// @ts-ignore: decorator
@inline export function hasMin(format: u32): bool {
  return format == Q4_1 || format == Q5_1 || format == Q4_K || format == Q5_K;
}

// @ts-ignore: decorator
@inline export function isFourBits(format: u32): bool { return format == Q4_0 || format == Q4_1 || format == Q4_K; }
