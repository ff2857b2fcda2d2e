/**
 * Weight layout: groups of 8 rows, column by column, rows as lanes. f32: 32 bytes a column. 16-bit: one vector a column,
 * rows 0-3 in the low halves of its u32 lanes and rows 4-7 in the high halves. Missing rows of the last rowGroup are zeros.
 */
import { f16High, f16Low, f16Special, half } from "./math";
import { pack16, packF32 } from "./pack-floats";
import { packQuantised } from "./pack-quantised";
import { gatherQuantised, groupShift, isQuantised, quantisedGroupBytes } from "./quantised";
import { Dtype, weight } from "./state";

// @ts-ignore: decorator
@inline export function rowGroupBytes(dtype: u32, cols: u32): u32 {
  return isQuantised(dtype) ? quantisedGroupBytes(dtype, cols) : cols << (dtype == Dtype.F32 ? 5 : 4);
}

/** log2 of the rows of a row group. */
// @ts-ignore: decorator
@inline export function rowGroupShift(dtype: u32): u32 { return isQuantised(dtype) ? groupShift(dtype) : 3; }

/** Bytes of a packed matrix. */
export function packedBytes(dtype: u32, rows: u32, cols: u32): u32 {
  const shift = rowGroupShift(dtype);
  return ((rows + (1 << shift) - 1) >> shift) * rowGroupBytes(dtype, cols);
}

/**
 * Packs row-major rows at src into the row groups of a matrix at data, from row `firstRow` on, a multiple of 8. Returns 1 if
 * an f16 among them, a number or a scale, is Inf or NaN.
 */
export function packRows(dtype: u32, src: usize, data: usize, firstRow: u32, rows: u32, cols: u32): u32 {
  if (isQuantised(dtype)) return packQuantised(dtype, src, data, firstRow, rows, cols);
  const bytes = rowGroupBytes(dtype, cols);
  let dst = data + <usize>(firstRow >> 3) * <usize>bytes;
  let special: u32 = 0;
  for (let r: u32 = 0; r < rows; r += 8, dst += bytes) {
    const n = min<u32>(8, rows - r);
    if (dtype == Dtype.F32) packF32(src + <usize>(r * cols * 4), dst, n, cols);
    else special |= pack16(src + <usize>(r * cols * 2), dst, n, cols);
  }
  return dtype == Dtype.F16 ? special : 0;
}

/** Decodes `count` values at src to f32 at dst: for vectors. */
export function decodeVector(dtype: u32, src: usize, dst: usize, count: u32): void {
  for (let i: u32 = 0; i < count; i++) {
    const at = dst + <usize>(i * 4);
    if (dtype == Dtype.F32) store<u32>(at, load<u32>(src + <usize>(i * 4)));
    else {
      const bits: u32 = load<u16>(src + <usize>(i * 2));
      if (dtype == Dtype.BF16) store<u32>(at, bits << 16);
      else store<f32>(at, half(bits));
    }
  }
}

/** Gathers a row of a weight into f32 [cols] at out. */
export function gatherRow(w: usize, row: u32, out: usize): void {
  const cols = weight.cols(w);
  const dtype = weight.dtype(w);
  const shift = rowGroupShift(dtype);
  const lane = row & ((1 << shift) - 1);
  let p = weight.data(w) + <usize>((row >> shift) * rowGroupBytes(dtype, cols));
  if (isQuantised(dtype)) return gatherQuantised(dtype, p, lane, cols, out);
  if (dtype == Dtype.F32) {
    p += <usize>(lane * 4);
    for (let k: u32 = 0; k < cols; k++, p += 32, out += 4) store<u32>(out, load<u32>(p));
    return;
  }
  p += <usize>((lane & 3) * 4 + (lane >> 2) * 2);
  if (dtype == Dtype.BF16) for (let k: u32 = 0; k < cols; k++, p += 16, out += 4) store<u32>(out, <u32>load<u16>(p) << 16);
  else for (let k: u32 = 0; k < cols; k++, p += 16, out += 4) store<f32>(out, half(load<u16>(p)));
}

/** Expands columns of a 16-bit row group at p into an f32 panel: 32 bytes a column. */
export function expandPanel(dtype: u32, p: usize, cols: u32, panel: usize): void {
  const end = p + <usize>(cols * 16);
  if (dtype == Dtype.BF16)
    for (; p < end; p += 16, panel += 32) {
      const w = v128.load(p);
      v128.store(panel, i32x4.shl(w, 16));
      v128.store(panel, v128.and(w, i32x4.splat(0xffff0000)), 16);
    }
  else
    for (; p < end; p += 16, panel += 32) {
      const w = v128.load(p);
      v128.store(panel, f16Special(f16Low(w)));
      v128.store(panel, f16Special(f16High(w)), 16);
    }
}
