/**
 * Many rows of x times a row group of float weights, four rows at a time. A sum has the chains of `matvec-floats.ts`, each over
 * every 2nd or 4th column, so that a row gets the same bits alone and beside any others. The eight registers of a tile hold one
 * chain: the chains take turns on columns that stay in L1.
 */
import { HIGH_HALVES, madd } from "./math";
import { BF16_CHAINS } from "./matvec-floats";
import { Dtype } from "./state";
import { expandPanel } from "./weights";

/** Columns of an f32 panel in scratch: 16 KiB, half of L1. */
const PANEL_COLS: u32 = 512;
export const FLOAT_PANEL_BYTES: u32 = PANEL_COLS * 32;
/** Columns that are not expanded and stay in L1: short, so that the next ones arrive from memory while these are multiplied. */
const DIRECT_COLS: u32 = 128;
/** With fewer rows of x it is cheaper to unpack bf16 in each tile than once into a panel. */
const PANEL_ROWS: u32 = 24;
/** Bytes of the sums of four rows. */
const TILE_BYTES: usize = 128;

/** Scratch bytes of the chains' sums of `rows` rows, a multiple of 4. */
export function chainBytes(rows: u32): u32 { return 4 * rows * 32; }

// @ts-ignore: decorator
@inline function chainsOf(dtype: u32): u32 {
  return dtype == Dtype.F32 ? 4 : dtype == Dtype.BF16 ? BF16_CHAINS : dtype == Dtype.F16 ? 2 : 1;
}

/**
 * out[t][8] = row group at data · x[t] for t < rows, a multiple of 4. x: f32 [rows / 4][cols][4]; chains: scratch of
 * `chainBytes`; panel: scratch of FLOAT_PANEL_BYTES.
 */
export function tilesOfFloats(dtype: u32, data: usize, cols: u32, x: usize, rows: u32, out: usize, chains: usize, panel: usize): void {
  const count = chainsOf(dtype);
  const ofChain = <usize>(rows * 32);
  const ofTile = <usize>cols * 16;
  const isBf16 = dtype == Dtype.BF16 && rows < PANEL_ROWS;
  const isDirect = isBf16 || dtype == Dtype.F32;
  const step = isDirect ? DIRECT_COLS : PANEL_COLS;
  const ofWeight: usize = dtype == Dtype.F32 ? 32 : 16;
  for (let k: u32 = 0; k < cols; k += step) {
    const n = min<u32>(step, cols - k);
    let p = data + <usize>k * ofWeight;
    if (!isDirect) {
      expandPanel(dtype, p, n, panel);
      p = panel;
    }
    let v = x + <usize>(k * 16);
    for (let c = chains, last = chains + ofChain; c < last; c += TILE_BYTES, v += ofTile)
      tile(isBf16, p, n, count, v, c, ofChain, k != 0);
  }
  for (const last = out + ofChain; out < last; out += 16, chains += 16) {
    let a = v128.load(chains);
    if (count > 1) a = f32x4.add(a, v128.load(chains + ofChain));
    if (count > 2) a = f32x4.add(a, f32x4.add(v128.load(chains + 2 * ofChain), v128.load(chains + 3 * ofChain)));
    v128.store(out, a);
  }
}

/** Every chain over n columns of a tile; columns past the last whole turn of the chains go to the first. */
function tile(isBf16: bool, p: usize, n: u32, chains: u32, x: usize, c: usize, ofChain: usize, accumulate: bool): void {
  const width: usize = isBf16 ? 16 : 32;
  const whole = n & ~(chains - 1);
  const end = p + <usize>whole * width;
  const last = c + <usize>chains * ofChain;
  for (let from = p, v = x, to = c; to < last; from += width, v += 16, to += ofChain)
    pass(isBf16, from, chains, end, v, to, accumulate);
  if (whole < n) pass(isBf16, end, 1, p + <usize>n * width, x + <usize>(whole * 16), c, true);
}

// @ts-ignore: decorator
@inline function pass(isBf16: bool, p: usize, step: u32, end: usize, x: usize, c: usize, accumulate: bool): void {
  if (isBf16) passBf16(p, step, end, x, c, accumulate);
  else passF32(p, step, end, x, c, accumulate);
}

function passBf16(p: usize, step: u32, end: usize, x: usize, c: usize, accumulate: bool): void {
  chain(true, p, step, end, x, c, accumulate);
}

function passF32(p: usize, step: u32, end: usize, x: usize, c: usize, accumulate: bool): void {
  chain(false, p, step, end, x, c, accumulate);
}

/** c[i][0..7] (+)= Σ w[0..7] * x[i] over every `step`th column from p to end. */
// @ts-ignore: decorator
@inline function chain(isBf16: bool, p: usize, step: u32, end: usize, x: usize, c: usize, accumulate: bool): void {
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  if (accumulate) {
    a0 = v128.load(c); b0 = v128.load(c, 16);
    a1 = v128.load(c, 32); b1 = v128.load(c, 48);
    a2 = v128.load(c, 64); b2 = v128.load(c, 80);
    a3 = v128.load(c, 96); b3 = v128.load(c, 112);
  }
  const high = v128.load(HIGH_HALVES);
  const ofX = <usize>step * 16, ofWeights = isBf16 ? ofX : 2 * ofX;
  let w0: v128, w1: v128, v: v128;
  // Not unrolled, and in loops that run once: see tile.ts.
  while (p < end) {
    while (p < end) {
      for (; p < end; p += ofWeights, x += ofX) {
        w1 = v128.load(p);
        w0 = isBf16 ? i32x4.shl(w1, 16) : w1;
        w1 = isBf16 ? v128.and(w1, high) : v128.load(p, 16);
        v = v128.load32_splat(x); a0 = madd(w0, v, a0); b0 = madd(w1, v, b0);
        v = v128.load32_splat(x, 4); a1 = madd(w0, v, a1); b1 = madd(w1, v, b1);
        v = v128.load32_splat(x, 8); a2 = madd(w0, v, a2); b2 = madd(w1, v, b2);
        v = v128.load32_splat(x, 12); a3 = madd(w0, v, a3); b3 = madd(w1, v, b3);
      }
    }
  }
  v128.store(c, a0); v128.store(c, b0, 16);
  v128.store(c, a1, 32); v128.store(c, b1, 48);
  v128.store(c, a2, 64); v128.store(c, b2, 80);
  v128.store(c, a3, 96); v128.store(c, b3, 112);
}
