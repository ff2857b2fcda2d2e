/** Packs rows of quantised blocks, as GGUF files have them, into row groups: see quantised.ts. */
import { Q4_0, Q4_1, Q4_K, Q5_1, Q5_K, Q6_K, Q8_0 } from "../../../base/format-codes";
import { half } from "./math";
import { headerBytes, isFourBits, isSuper, quantBytes, superBytes } from "./quantised";

/** Stands for rows past the last: scales and quants of zero. */
const ZEROS = memory.data(256);
/** Addresses of the 8 rows' current blocks. */
const ROWS = memory.data(32);
/** Unsigned quants of a block, [row][32]. */
const QUANTS = memory.data(256);

// @ts-ignore: decorator
@inline function rowAt(row: u32): usize { return <usize>load<u32>(ROWS + <usize>(row * 4)); }

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
export function packQuantised(format: u32, src: usize, dst: usize, rows: u32, cols: u32): u32 {
  const bytes = fileBlockBytes(format);
  const blocks = isSuper(format) ? cols >> 8 : cols >> 5;
  const perRow = blocks * bytes;
  let special: u32 = 0;
  for (let r: u32 = 0; r < rows; r += 8) {
    for (let block: u32 = 0; block < blocks; block++) {
      for (let i: u32 = 0; i < 8; i++)
        store<u32>(ROWS + <usize>(i * 4), r + i < rows ? <u32>src + (r + i) * perRow + block * bytes : <u32>ZEROS);
      if (isSuper(format)) {
        special |= packSuper(format, dst);
        dst += <usize>(superBytes(format) + 8 * (headerBytes(format) + quantBytes(format)));
      } else {
        special |= packBlock(format, dst);
        dst += <usize>(headerBytes(format) + quantBytes(format));
      }
    }
  }
  return special;
}

/** f16 numbers, `from` bytes behind the rows' blocks, to dst. */
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

/** Four rows' vectors of four u32 to four vectors of a u32 of each row, 32 bytes apart. */
// @ts-ignore: decorator
@inline function transpose(a: v128, b: v128, c: v128, d: v128, dst: usize): void {
  const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(dst, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
  v128.store(dst, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7), 32);
  v128.store(dst, v128.shuffle<f32>(AB, CD, 0, 1, 4, 5), 64);
  v128.store(dst, v128.shuffle<f32>(AB, CD, 2, 3, 6, 7), 96);
}

// @ts-ignore: decorator
@inline function biased(at: usize): v128 { return v128.xor(v128.load(at), i8x16.splat(-128)); }

function packBlock(format: u32, dst: usize): u32 {
  let special = packHalves(dst, 0);
  const isWide = headerBytes(format) == 32;
  if (isWide) special |= packHalves(dst + 16, 2);
  const quants = dst + <usize>headerBytes(format);
  if (format == Q5_1) {
    for (let row: u32 = 0; row < 8; row++) unpackQ5_1(rowAt(row), QUANTS + <usize>(row * 32));
    packFiveBits(quants);
    return special;
  }
  const from: usize = isWide ? 4 : 2;
  for (let quad: u32 = 0; quad < 8; quad += 4) {
    const to = quants + <usize>(quad * 4);
    const a = rowAt(quad) + from, b = rowAt(quad + 1) + from, c = rowAt(quad + 2) + from, d = rowAt(quad + 3) + from;
    if (format == Q8_0) {
      transpose(biased(a), biased(b), biased(c), biased(d), to);
      transpose(biased(a + 16), biased(b + 16), biased(c + 16), biased(d + 16), to + 128);
    } else transpose(v128.load(a), v128.load(b), v128.load(c), v128.load(d), to);
  }
  return special;
}

function packSuper(format: u32, dst: usize): u32 {
  let special: u32 = 0;
  for (let row: u32 = 0; row < 8; row++) {
    const at = rowAt(row);
    const d: u32 = load<u16>(at + (format == Q6_K ? 208 : 0));
    special |= isSpecial(d);
    store<f32>(dst + <usize>(row * 4), half(d));
    if (format == Q6_K) continue;
    const dmin: u32 = load<u16>(at, 2);
    special |= isSpecial(dmin);
    store<f32>(dst + <usize>(row * 4), half(dmin), 32);
  }
  dst += <usize>superBytes(format);
  const blockBytes = <usize>(headerBytes(format) + quantBytes(format));
  for (let block: u32 = 0; block < 8; block++) {
    const header = dst + <usize>block * blockBytes;
    packScales(format, block, header);
    if (isFourBits(format)) continue;
    for (let row: u32 = 0; row < 8; row++) {
      const to = QUANTS + <usize>(row * 32);
      if (format == Q5_K) unpackQ5K(rowAt(row), block, to);
      else unpackQ6K(rowAt(row), block, to);
    }
    if (format == Q5_K) packFiveBits(header + 16);
    else packSixBits(header + 16);
  }
  if (isFourBits(format)) packQ4K(dst, blockBytes);
  return special;
}

/** Nibbles of a byte belong to two blocks in the file, to columns j and j + 16 of one block here. */
function packQ4K(dst: usize, blockBytes: usize): void {
  for (let two: u32 = 0; two < 4; two++) {
    const even = dst + <usize>(two * 2) * blockBytes + 16;
    for (let quad: u32 = 0; quad < 8; quad += 4) {
      const from: usize = 16 + <usize>(two * 32), to = even + <usize>(quad * 4);
      const a = rowAt(quad) + from, b = rowAt(quad + 1) + from, c = rowAt(quad + 2) + from, d = rowAt(quad + 3) + from;
      transpose(lowNibbles(a), lowNibbles(b), lowNibbles(c), lowNibbles(d), to);
      transpose(highNibbles(a), highNibbles(b), highNibbles(c), highNibbles(d), to + blockBytes);
    }
  }
}

// @ts-ignore: decorator
@inline function lowNibbles(at: usize): v128 {
  const low = i8x16.splat(15);
  return v128.or(v128.and(v128.load(at), low), i16x8.shl(v128.and(v128.load(at, 16), low), 4));
}

// @ts-ignore: decorator
@inline function highNibbles(at: usize): v128 {
  const high = i8x16.splat(-16);
  return v128.or(i16x8.shr_u(v128.and(v128.load(at), high), 4), v128.and(v128.load(at, 16), high));
}

/** Scales (and mins) of block `block` of 8. */
function packScales(format: u32, block: u32, header: usize): void {
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
      store<u8>(to, load<u8>(q, 4) & 63, 2);
    } else {
      store<u8>(to, (load<u8>(q, 4) & 15) | ((load<u8>(q - 4) >> 6) << 4));
      store<u8>(to, (load<u8>(q, 4) >> 4) | ((load<u8>(q) >> 6) << 4), 2);
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
@inline function quant(row: u32, s: u32, p: u32): u32 {
  return load<u8>(QUANTS + <usize>(row * 32 + (s >> 1) * 4 + (s & 1) + 2 * p));
}

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
