/**
 * y = W · x (+ bias), y += W · x (+ bias), y = silu(G · x) * (U · x), for one or many rows of x. A job multiplies up to
 * three weights with the same x. An item is a few 8-row groups of one weight.
 */
import { quantiseFour, quantiseRows, RECORD, RECORD_OF_FOUR } from "./activations";
import { fork, ALL_THREADS, streamThreads } from "./control";
import { TILED_ROWS_QUANTISED as TILED } from "./layout";
import { F16_SCALE, geluTimes4, siluTimes4 } from "./math";
import { matvecBf16, matvecF16, matvecF16Special, matvecF32 } from "./matvec-floats";
import { matvecQuantised } from "./matvec-quantised";
import { isFourBits, isQuantised } from "./quantised";
import { limits, Dtype, model, param, region, roundUp, scratch, setParam, tuning, weight, workers } from "./state";
import { packFour } from "./tile";
import { chainBytes, FLOAT_PANEL_BYTES, tilesOfFloats } from "./tile-floats";
import { expandQuantised, QUANTISED_PANEL_COLS, tileQuantised } from "./tile-quantised";
import { rowGroupBytes, rowGroupShift } from "./weights";

/** Below, a job streams the weights: its items are long. */
const FEW_ROWS: u32 = 24;
/** From here on float weights take four rows of x at a time; the one or two that may be left go alone. */
const TILED_ROWS: u32 = 3;
/** The same for quantised weights, whose tiles first expand them. */
const TILED_ROWS_QUANTISED: u32 = TILED;
/** Bytes of a panel in scratch; those of quantised weights, 24 blocks of at most 640 bytes, fit too. */
const PANEL_BYTES: u32 = FLOAT_PANEL_BYTES;
/** Rows of x that one item packs. */
const PACK_ROWS: u32 = 16;
/** Maximum sums of 8 in an item with a second weight: they wait in scratch for those of the second. */
const PAIRED_SUMS: u32 = 512;
/** Items per thread, if the weights suffice: the last item ends the job for all. */
const ITEMS_PER_THREAD: u32 = 2;

export namespace Mode {
  export const STORE: u32 = 0;
  export const ADD: u32 = 1;
  export const SILU: u32 = 2;
  export const GELU: u32 = 3;
}

/**
 * Params: 0 rows of x, 1 x, 2 bytes of a row of x, 3 segments (weights), 4 bytes of all weights, 5 to 7 whether
 * weights are f32 or bf16, quantised, f16; then SEGMENT_WORDS for each segment: 0 weight, 1 second weight or 0, 2 mode, 3 bias or 0,
 * 4 out, 5 rowGroups, 6 rowGroups of an item, 7 first item.
 */
const HAS_FLOATS: usize = 5;
const HAS_QUANTISED: usize = 6;
const HAS_F16: usize = 7;
const SEGMENT: usize = 8;
const SEGMENT_WORDS: usize = 12;

/** The mode of a gate and its up weight. */
// @ts-ignore: decorator
@inline export function gateMode(): u32 { return model.isGelu() ? Mode.GELU : Mode.SILU; }

/** Scratch bytes of one weight's sums. */
// @ts-ignore: decorator
@inline function sumsBytes(): u32 {
  return max<u32>(roundUp(limits.rows(), 4), PAIRED_SUMS) * 32;
}

export function linearScratch(): u32 { return PANEL_BYTES + 2 * sumsBytes() + chainBytes(roundUp(limits.rows(), 4)); }

/** Starts a job on x f32 [rows, cols]. */
export function begin(x: usize, rows: u32, cols: u32): void {
  setParam(0, rows);
  setParam(1, <u32>x);
  setParam(2, cols * 4);
  setParam(3, 0);
  setParam(4, 0);
  setParam(HAS_FLOATS, 0);
  setParam(HAS_QUANTISED, 0);
  setParam(HAS_F16, 0);
}

/** Prepares x for the weights' formats: integers for quantised ones, and rows of tiles 4 side by side, [rows / 4][cols][4]. */
function prepare(): void {
  const rows = param(0);
  const areTiles = rows >= TILED_ROWS && (param(HAS_FLOATS) != 0 || param(HAS_F16) != 0);
  const areQuantisedTiles = rows >= TILED_ROWS_QUANTISED && param(HAS_QUANTISED) != 0;
  if (areTiles || areQuantisedTiles) fork(packItem, (rows + PACK_ROWS - 1) / PACK_ROWS, ALL_THREADS);
  if (param(HAS_QUANTISED) && !areQuantisedTiles) quantiseRows(<usize>param(1), rows, param(2) >> 2, region.quantised());
  if (param(HAS_F16) && !areTiles) raise(<usize>param(1), rows * param(2), region.packed());
}

/** out = x * 2^56, for `matvecF16`. */
function raise(x: usize, bytes: u32, out: usize): void {
  const scale = v128.load(F16_SCALE);
  const end = x + <usize>bytes, end4 = x + <usize>(bytes & ~15);
  for (; x < end4; x += 16, out += 16) v128.store(out, f32x4.mul(v128.load(x), scale));
  for (; x < end; x += 4, out += 4) store<f32>(out, load<f32>(x) * <f32>72057594037927936);
}

/** Adds a weight. second: the up weight of SILU and GELU; bias: f32 [rows] or 0; out: f32 [rows of x, rows of w]. */
export function add(w: usize, second: usize, mode: u32, bias: usize, out: usize): void {
  const s = param(3);
  const at = SEGMENT + <usize>s * SEGMENT_WORDS;
  const rowGroups = (weight.rows(w) + 7) >> 3;
  setParam(at, <u32>w);
  setParam(at + 1, <u32>second);
  setParam(at + 2, mode);
  setParam(at + 3, <u32>bias);
  setParam(at + 4, <u32>out);
  setParam(at + 5, rowGroups);
  setParam(3, s + 1);
  setParam(4, param(4) + rowGroups * bytesOfRowGroups(w, second));
  noteFormat(w);
  if (second) noteFormat(second);
}

// @ts-ignore: decorator
@inline function noteFormat(w: usize): void {
  const dtype = weight.dtype(w);
  setParam(isQuantised(dtype) ? HAS_QUANTISED : dtype == Dtype.F16 ? HAS_F16 : HAS_FLOATS, 1);
}

/** Bytes of 8 rows of a weight. */
// @ts-ignore: decorator
@inline function bytesOf8Rows(w: usize): u32 {
  const dtype = weight.dtype(w);
  return rowGroupBytes(dtype, weight.cols(w)) >> (rowGroupShift(dtype) - 3);
}

/** Bytes of 8 rows of a weight and of its second weight, if any. */
// @ts-ignore: decorator
@inline function bytesOfRowGroups(w: usize, second: usize): u32 {
  return bytesOf8Rows(w) + (second ? bytesOf8Rows(second) : 0);
}

/** True if a product of few rows takes 16 rows of the weight at a time. */
// @ts-ignore: decorator
@inline function isDouble(w: usize): bool { return isFourBits(weight.dtype(w));
}

/** Divides the weights into items and runs them. */
export function run(): void {
  prepare();
  const isFew = param(0) < FEW_ROWS;
  const bytes = param(4);
  // Arithmetic bounds tiles, which gain by every thread.
  const threads: u32 = param(0) < TILED_ROWS ? streamThreads(bytes) : ALL_THREADS;
  const takers = min<u32>(threads, workers() + 1);
  const share = bytes / (takers * ITEMS_PER_THREAD);
  let items: u32 = 0;
  for (let s: u32 = 0; s < param(3); s++) {
    const at = SEGMENT + <usize>s * SEGMENT_WORDS;
    const w = <usize>param(at), second = <usize>param(at + 1), rowGroups = param(at + 5);
    let perItem: u32 = 1;
    if (isFew) {
      // A single thread shares nothing: the longer its stream the better.
      const most = takers < 2 ? share : min<u32>(share, tuning.itemBytes(weight.dtype(w)));
      perItem = max<u32>(1, most / bytesOfRowGroups(w, second));
      if (second) perItem = min<u32>(perItem, PAIRED_SUMS / roundUp(param(0), 4));
      if (isDouble(w) || (second != 0 && isDouble(second))) perItem = max<u32>(2, perItem & ~1);
    }
    setParam(at + 6, perItem);
    setParam(at + 7, items);
    items += (rowGroups + perItem - 1) / perItem;
  }
  fork(linearItem, items, threads);
}

/** Records of rows t .. t + 3 of x. */
// @ts-ignore: decorator
@inline function quantisedFour(t: u32, cols: u32): usize {
  return region.quantised() + <usize>((t >> 2) * (cols >> 5)) * RECORD_OF_FOUR;
}

/** PACK_ROWS rows of x. */
function packItem(item: u32): void {
  const stride = <usize>param(2);
  const last = min<u32>(param(0), (item + 1) * PACK_ROWS);
  const cols = <u32>stride >> 2;
  for (let t = item * PACK_ROWS; t < last; t += 4) {
    const x = <usize>param(1) + <usize>t * stride;
    if (param(HAS_FLOATS) || param(HAS_F16)) packFour(x, stride, last - t, cols, region.packed() + <usize>t * stride);
    if (param(HAS_QUANTISED) && param(0) >= TILED_ROWS_QUANTISED)
      quantiseFour(x, stride, last - t, cols, quantisedFour(t, cols), scratch);
  }
}

/** A few row groups of one weight. */
function linearItem(item: u32): void {
  let s = param(3) - 1;
  while (param(SEGMENT + <usize>s * SEGMENT_WORDS + 7) > item) s--;
  const at = SEGMENT + <usize>s * SEGMENT_WORDS;
  const w = <usize>param(at);
  const second = <usize>param(at + 1);
  const perItem = param(at + 6);
  const first = (item - param(at + 7)) * perItem;
  const last = min<u32>(first + perItem, param(at + 5));
  const sums = scratch + <usize>PANEL_BYTES;
  const step = <usize>(roundUp(param(0), 4) * 32);
  if (!second) {
    const toOdd = param(0) < FEW_ROWS ? step : 0;
    for (let rowGroup = first; rowGroup < last; rowGroup++) {
      const to = rowGroup & 1 ? sums + toOdd : sums;
      rowGroupTimesX(w, rowGroup, to);
      finish(at, w, rowGroup, to, 0);
    }
    return;
  }
  // One weight after the other, so that the hardware prefetcher follows each through the whole item.
  const sums2 = sums + <usize>sumsBytes();
  for (let rowGroup = first, to = sums; rowGroup < last; rowGroup++, to += step) rowGroupTimesX(w, rowGroup, to);
  for (let rowGroup = first, to = sums2; rowGroup < last; rowGroup++, to += step) rowGroupTimesX(second, rowGroup, to);
  for (let rowGroup = first, to = sums; rowGroup < last; rowGroup++, to += step) finish(at, w, rowGroup, to, to + <usize>sumsBytes());
}

/** out[t][8] = rowGroup · x[t] for all rows of x. Of 16 rows, the first call for a few rows of x gives all, the second nothing. */
function rowGroupTimesX(w: usize, rowGroup: u32, out: usize): void {
  const dtype = weight.dtype(w);
  const data = weight.data(w) + <usize>((rowGroup >> (rowGroupShift(dtype) - 3)) * rowGroupBytes(dtype, weight.cols(w)));
  if (isQuantised(dtype)) {
    const isUpper = isFourBits(dtype) && (rowGroup & 1) != 0;
    if (param(0) >= TILED_ROWS_QUANTISED) manyRowsQuantised(dtype, data, isUpper, out);
    else if (!isUpper) fewRowsQuantised(dtype, data, out);
    return;
  }
  const limit = weight.data(w) + <usize>(((weight.rows(w) + 7) >> 3) * rowGroupBytes(dtype, weight.cols(w)));
  if (param(0) < TILED_ROWS) singleRows(dtype, data, limit, 0, out);
  else tiles(dtype, data, limit, out);
}

function fewRowsQuantised(dtype: u32, data: usize, out: usize): void {
  const cols = param(2) >> 2;
  const bytes = <usize>(cols >> 5) * RECORD;
  const step = <usize>(roundUp(param(0), 4) * 32);
  for (let x = region.quantised(), end = x + <usize>param(0) * bytes; x < end; x += bytes, out += 32)
    matvecQuantised(dtype, data, cols, x, out, out + step);
}

function manyRowsQuantised(dtype: u32, data: usize, isUpper: bool, out: usize): void {
  const rows = param(0), cols = param(2) >> 2;
  for (let k: u32 = 0; k < cols; k += QUANTISED_PANEL_COLS) {
    const n = min<u32>(QUANTISED_PANEL_COLS, cols - k);
    expandQuantised(dtype, data, isUpper, k, n, scratch);
    for (let t: u32 = 0; t < rows; t += 4)
      tileQuantised(dtype, scratch, n, quantisedFour(t, cols) + <usize>(k >> 5) * RECORD_OF_FOUR, out + <usize>(t * 32), k != 0);
  }
}

/** Rows of x from `first` on, each alone. */
function singleRows(dtype: u32, data: usize, limit: usize, first: u32, out: usize): void {
  const stride = <usize>param(2), cols = param(2) >> 2;
  const all = dtype == Dtype.F16 ? region.packed() : <usize>param(1);
  const end = all + <usize>param(0) * stride;
  for (let x = all + <usize>first * stride, to = out + <usize>(first * 32); x < end; x += stride, to += 32) {
    if (dtype == Dtype.F32) matvecF32(data, cols, x, to);
    else if (dtype == Dtype.BF16) matvecBf16(data, cols, x, to, limit);
    else if (dtype == Dtype.F16) matvecF16(data, cols, x, to, limit);
    else matvecF16Special(data, cols, x, to);
  }
}

/** Four rows of x at a time. */
function tiles(dtype: u32, data: usize, limit: usize, out: usize): void {
  const rows = param(0), cols = param(2) >> 2;
  const left = rows & 3;
  // Of f16, rows alone would need x in another form.
  const isLeftAlone = left > 0 && left < TILED_ROWS && rows < FEW_ROWS && (dtype == Dtype.F32 || dtype == Dtype.BF16);
  const tiled = isLeftAlone ? rows - left : roundUp(rows, 4);
  const chains = scratch + <usize>(PANEL_BYTES + 2 * sumsBytes());
  tilesOfFloats(dtype, data, cols, region.packed(), tiled, out, chains, scratch);
  if (isLeftAlone) singleRows(dtype, data, limit, tiled, out);
}

/** Applies bias and mode to the sums of a row group and stores them. */
function finish(at: usize, w: usize, rowGroup: u32, sums: usize, sums2: usize): void {
  const total = weight.rows(w);
  const n = min<u32>(8, total - rowGroup * 8);
  const mode = param(at + 2);
  let bias = <usize>param(at + 3);
  if (bias) bias += <usize>(rowGroup * 32);
  let out = <usize>param(at + 4) + <usize>(rowGroup * 32);
  for (let t = param(0); t > 0; t--, sums += 32, sums2 += 32, out += <usize>(total * 4)) {
    let a = v128.load(sums);
    let b = v128.load(sums, 16);
    if (mode == Mode.SILU) {
      a = siluTimes4(a, v128.load(sums2));
      b = siluTimes4(b, v128.load(sums2, 16));
    } else if (mode == Mode.GELU) {
      a = geluTimes4(a, v128.load(sums2));
      b = geluTimes4(b, v128.load(sums2, 16));
    }
    if (n == 8) {
      if (bias) {
        a = f32x4.add(a, v128.load(bias));
        b = f32x4.add(b, v128.load(bias, 16));
      }
      if (mode == Mode.ADD) {
        a = f32x4.add(a, v128.load(out));
        b = f32x4.add(b, v128.load(out, 16));
      }
      v128.store(out, a);
      v128.store(out, b, 16);
    } else {
      v128.store(sums, a);
      v128.store(sums, b, 16);
      for (let i: usize = 0; i < <usize>n; i++) {
        let v = load<f32>(sums + (i << 2));
        if (bias) v += load<f32>(bias + (i << 2));
        if (mode == Mode.ADD) v += load<f32>(out + (i << 2));
        store<f32>(out + (i << 2), v);
      }
    }
  }
}
