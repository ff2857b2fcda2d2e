/** Packs rows of quantised blocks, as GGUF files have them, into row groups: see quantised.ts. */
import { Q4_0, Q4_1, Q4_K, Q5_1, Q5_K, Q6_K, Q8_0 } from "../../../base/format-codes";
import { half } from "./math";
import { transpose4 } from "./pack-floats";
import { groupShift, hasMin, headerBytes, isSuper, quantBytes, quantisedGroupBytes, superBytes } from "./quantised";
import { scratch } from "./state";

/** Stands for rows past the last: scales and quants of zero. */
const ZEROS = memory.data(256);
/**
 * Scratch: addresses of the 8 rows' current blocks, then unsigned quants of a block, [row][32]. Not static memory: a worker
 * that starts meanwhile writes the module's data, zeros too, once more.
 */
const QUANTS: usize = 64;

// @ts-ignore: decorator
@inline function rowAt(row: u32): usize { return <usize>load<u32>(scratch + <usize>(row * 4)); }

/** Quants of a row. */
// @ts-ignore: decorator
@inline function quantsOf(row: u32): usize { return scratch + QUANTS + <usize>(row * 32); }

/** Bytes of a block of a row. */
function fileBlockBytes(format: u32): u32 {
  if (format == Q8_0) return 34;
  if (format == Q4_0) return 18;
  if (format == Q4_1) return 20;
  if (format == Q5_1) return 24;
  if (format == Q4_K) return 144;
  return format == Q5_K ? 176 : 210;
}

/** As `packRows`. Returns 1 if a scale is Inf or NaN. */
export function packQuantised(format: u32, src: usize, data: usize, firstRow: u32, rows: u32, cols: u32): u32 {
  const bytes = fileBlockBytes(format);
  const blocks = isSuper(format) ? cols >> 8 : cols >> 5;
  const perRow = blocks * bytes;
  const shift = groupShift(format);
  const perBlock = <usize>(isSuper(format)
    ? superBytes(format) + 8 * (headerBytes(format) + quantBytes(format))
    : headerBytes(format) + quantBytes(format));
  let special: u32 = 0;
  for (let r: u32 = 0; r < rows; r += 8) {
    const row = firstRow + r;
    const upper = row & ((1 << shift) - 8);
    let dst = data + <usize>(row >> shift) * <usize>quantisedGroupBytes(format, cols);
    for (let block: u32 = 0; block < blocks; block++, dst += perBlock) {
      for (let i: u32 = 0; i < 8; i++)
        store<u32>(scratch + <usize>(i * 4), r + i < rows ? <u32>src + (r + i) * perRow + block * bytes : <u32>ZEROS);
      special |= isSuper(format) ? packSuper(format, upper, dst) : packBlock(format, upper, dst);
    }
  }
  return special;
}

/** f16 numbers of the rows, `from` bytes behind their blocks, to dst. */
// @ts-ignore: decorator
@inline function packHalves(dst: usize, from: usize): u32 {
  let special: u32 = 0;
  for (let i: u32 = 0; i < 4; i++) {
    const low: u32 = load<u16>(rowAt(i) + from), high: u32 = load<u16>(rowAt(i + 4) + from);
    special |= isSpecial(low) | isSpecial(high);
    store<u32>(dst + <usize>(i * 4), low | (high << 16));
  }
  return special;
}

// @ts-ignore: decorator
@inline function isSpecial(bits: u32): u32 { return u32((bits & 0x7c00) == 0x7c00); }

/** The low halves of two vectors of bytes, in turn: lanes of two bytes. */
// @ts-ignore: decorator
@inline function weaveLow(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}

// @ts-ignore: decorator
@inline function weaveHigh(a: v128, b: v128): v128 {
  return v128.shuffle<i8>(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}

/** upper: 8 for rows 8-15 of a group of 16, else 0. */
function packBlock(format: u32, upper: u32, dst: usize): u32 {
  const scales = dst + <usize>(upper * 2);
  let special = packHalves(scales, 0);
  if (hasMin(format)) special |= packHalves(scales + <usize>(headerBytes(format) >> 1), 2);
  const from: usize = hasMin(format) ? 4 : 2;
  const quants = dst + <usize>headerBytes(format);
  if (format == Q8_0) packBytes(quants);
  else if (format == Q5_1) {
    for (let row: u32 = 0; row < 8; row++) unpackQ5_1(rowAt(row), quantsOf(row));
    packFiveBits(quants);
  } else {
    // Low nibbles are columns 0-15, high ones columns 16-31.
    packNibbles(quants, from, 0, upper);
    packNibbles(quants + 128, from, 1, upper);
  }
  return special;
}

/** Quants of 8 rows: those of rows 0-3 plus 128 in the low bytes of lanes. */
function packBytes(quants: usize): void {
  const bias = i8x16.splat(-128);
  for (let half: usize = 2; half < 34; half += 16, quants += 128) {
    const a = v128.xor(v128.load(rowAt(0) + half), bias), e = v128.load(rowAt(4) + half);
    const b = v128.xor(v128.load(rowAt(1) + half), bias), f = v128.load(rowAt(5) + half);
    const c = v128.xor(v128.load(rowAt(2) + half), bias), g = v128.load(rowAt(6) + half);
    const d = v128.xor(v128.load(rowAt(3) + half), bias), h = v128.load(rowAt(7) + half);
    transpose4(weaveLow(a, e), weaveLow(b, f), weaveLow(c, g), weaveLow(d, h), quants, 16);
    transpose4(weaveHigh(a, e), weaveHigh(b, f), weaveHigh(c, g), weaveHigh(d, h), quants + 64, 16);
  }
}

/** 16 nibbles, the low or the high ones of the bytes `from` behind a row's block. */
// @ts-ignore: decorator
@inline function nibbles(row: u32, from: usize, high: u32): v128 {
  return v128.and(i16x8.shr_u(v128.load(rowAt(row) + from), high * 4), i8x16.splat(15));
}

/** Bytes of rows `row` and `row` + 4. */
// @ts-ignore: decorator
@inline function twoNibbles(row: u32, from: usize, high: u32): v128 {
  return v128.or(nibbles(row, from, high), i16x8.shl(nibbles(row + 4, from, high), 4));
}

/** 16 columns of 8 rows, which are a byte of each lane; the other byte stays. The quants of rows 12-15 are less 8. */
function packNibbles(quants: usize, from: usize, high: u32, upper: u32): void {
  const a = twoNibbles(0, from, high), b = twoNibbles(1, from, high);
  const c = twoNibbles(2, from, high), d = twoNibbles(3, from, high);
  if (upper) {
    const sign = i8x16.splat(-128);
    transposeBytes(v128.xor(a, sign), v128.xor(b, sign), v128.xor(c, sign), v128.xor(d, sign), 8, quants);
  } else transposeBytes(a, b, c, d, 0, quants);
}

/** Bytes of four rows to a byte of the lanes of eight vectors; shift: 8 for the high byte. */
// @ts-ignore: decorator
@inline function transposeBytes(a: v128, b: v128, c: v128, d: v128, shift: i32, to: usize): void {
  const kept = i16x8.splat(<i16>(0xff00 >> shift));
  for (const end = to + 128; to < end; to += 64) {
    const ab = v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11), cd = v128.shuffle<i16>(c, d, 0, 8, 1, 9, 2, 10, 3, 11);
    // Columns 2i and 2i + 1 of the four rows in four bytes of each vector.
    const low = v128.shuffle<i32>(ab, cd, 0, 4, 1, 5), high = v128.shuffle<i32>(ab, cd, 2, 6, 3, 7);
    setBytes(i16x8.extend_low_i8x16_u(low), shift, kept, to);
    setBytes(i16x8.extend_high_i8x16_u(low), shift, kept, to + 16);
    setBytes(i16x8.extend_low_i8x16_u(high), shift, kept, to + 32);
    setBytes(i16x8.extend_high_i8x16_u(high), shift, kept, to + 48);
    a = v128.shuffle<i64>(a, a, 1, 0);
    b = v128.shuffle<i64>(b, b, 1, 0);
    c = v128.shuffle<i64>(c, c, 1, 0);
    d = v128.shuffle<i64>(d, d, 1, 0);
  }
}

// @ts-ignore: decorator
@inline function setBytes(bytes: v128, shift: i32, kept: v128, to: usize): void {
  v128.store(to, v128.or(v128.and(v128.load(to), kept), i16x8.shl(bytes, shift)));
}

function packSuper(format: u32, upper: u32, dst: usize): u32 {
  let special: u32 = 0;
  for (let row: u32 = 0; row < 8; row++) {
    const at = rowAt(row), to = dst + <usize>((row + upper) * 4);
    const d: u32 = load<u16>(at + (format == Q6_K ? 208 : 0));
    special |= isSpecial(d);
    store<f32>(to, half(d));
    if (format == Q6_K) continue;
    const dmin: u32 = load<u16>(at, 2);
    special |= isSpecial(dmin);
    store<f32>(to + <usize>(superBytes(format) >> 1), half(dmin));
  }
  dst += <usize>superBytes(format);
  for (let block: u32 = 0; block < 8; block++) {
    const quants = dst + <usize>headerBytes(format);
    packScales(format, block, dst + <usize>(upper >> 2));
    if (format == Q4_K) {
      // The nibbles of a byte belong to two blocks.
      const from: usize = 16 + <usize>((block >> 1) * 32);
      packNibbles(quants, from, block & 1, upper);
      packNibbles(quants + 128, from + 16, block & 1, upper);
    } else if (format == Q5_K) {
      for (let row: u32 = 0; row < 8; row++) unpackQ5K(rowAt(row), block, quantsOf(row));
      packFiveBits(quants);
    } else {
      for (let row: u32 = 0; row < 8; row++) unpackQ6K(rowAt(row), block, quantsOf(row));
      packSixBits(quants);
    }
    dst = quants + <usize>quantBytes(format);
  }
  return special;
}

/** Scales and mins of block `block` of 8. */
function packScales(format: u32, block: u32, header: usize): void {
  const mins: usize = format == Q4_K ? 16 : 2;
  for (let row: u32 = 0; row < 8; row++) {
    const to = header + <usize>((row & 3) * 4 + (row >> 2));
    const at = rowAt(row);
    if (format == Q6_K) {
      store<u8>(to, load<u8>(at + <usize>(block * 2), 192));
      store<u8>(to, load<u8>(at + <usize>(block * 2), 193), 2);
      continue;
    }
    const q = at + 4 + <usize>block;
    if (block < 4) {
      store<u8>(to, load<u8>(q) & 63);
      store<u8>(to + mins, load<u8>(q, 4) & 63);
    } else {
      store<u8>(to, (load<u8>(q, 4) & 15) | ((load<u8>(q - 4) >> 6) << 4));
      store<u8>(to + mins, (load<u8>(q, 4) >> 4) | ((load<u8>(q) >> 6) << 4));
    }
  }
}

function unpackQ5_1(at: usize, to: usize): void {
  const high = load<u32>(at, 4);
  for (let j: u32 = 0; j < 16; j++) {
    const byte: u32 = load<u8>(at + <usize>j, 8);
    store<u8>(to + <usize>j, (byte & 15) | (((high >> j) & 1) << 4));
    store<u8>(to + <usize>j, (byte >> 4) | (((high >> (j + 16)) & 1) << 4), 16);
  }
}

function unpackQ5K(at: usize, block: u32, to: usize): void {
  const quants = at + 48 + <usize>((block >> 1) * 32);
  const shift = (block & 1) * 4;
  for (let j: usize = 0; j < 32; j++)
    store<u8>(to + j, ((load<u8>(quants + j) >> <u8>shift) & 15) | (((load<u8>(at + j, 16) >> <u8>block) & 1) << 4));
}

function unpackQ6K(at: usize, block: u32, to: usize): void {
  const inHalf = block & 3;
  const low = at + <usize>((block >> 2) * 64 + (inHalf & 1) * 32);
  const high = at + 128 + <usize>((block >> 2) * 32);
  const shift = (inHalf >> 1) * 4, highShift = inHalf * 2;
  for (let j: usize = 0; j < 32; j++)
    store<u8>(to + j, ((load<u8>(low + j) >> <u8>shift) & 15) | (((load<u8>(high + j) >> <u8>highShift) & 3) << 4));
}

/** Quant of a row at pair s and parity p. */
// @ts-ignore: decorator
@inline function quant(row: u32, s: u32, p: u32): u32 { return load<u8>(quantsOf(row) + <usize>(s * 2 + p)); }

// @ts-ignore: decorator
@inline function setLane(quants: usize, i: u32, row: u32, p: u32, value: u32): void {
  store<u16>(quants + <usize>(i * 32 + (row >> 2) * 16 + (row & 3) * 4 + p * 2), <u16>value);
}

function packFiveBits(quants: usize): void {
  for (let row: u32 = 0; row < 8; row++)
    for (let p: u32 = 0; p < 2; p++) {
      const last = quant(row, 15, p);
      for (let i: u32 = 0; i < 5; i++) {
        const three = quant(row, 3 * i, p) | (quant(row, 3 * i + 1, p) << 5) | (quant(row, 3 * i + 2, p) << 10);
        setLane(quants, i, row, p, three | (((last >> (4 - i)) & 1) << 15));
      }
    }
}

function packSixBits(quants: usize): void {
  for (let row: u32 = 0; row < 8; row++)
    for (let p: u32 = 0; p < 2; p++)
      for (let h: u32 = 0; h < 2; h++) {
        const s = h * 8, at = quants + <usize>(h * 96);
        const six = quant(row, s + 6, p), seven = quant(row, s + 7, p);
        setLane(at, 0, row, p, quant(row, s, p) | (quant(row, s + 1, p) << 6) | ((six & 15) << 12));
        setLane(at, 1, row, p, quant(row, s + 2, p) | (quant(row, s + 3, p) << 6) | ((seven & 15) << 12));
        setLane(at, 2, row, p, quant(row, s + 4, p) | (quant(row, s + 5, p) << 6) | ((six >> 4) << 12) | ((seven >> 4) << 14));
      }
}
