/**
 * Dense causal attention of the many rows of a prefill chunk: tiles of query rows × the heads of a kv head, against key
 * blocks of 64, with an online softmax. Keys are packed into panels of 8 keys, values into panels of 8 channels, and both
 * products use the GEMM microtile.
 */
import { fork } from "./control";
import { Job } from "./dispatch";
import { exp1, exp4, max4, sum4 } from "./math";
import { batch, param, roundUp, scratch, setParam, shape } from "./state";
import { tile8x4 } from "./tile";

const KEYS: u32 = 64;
/** Query vectors (rows × heads of a kv head) of a tile, where one row has no more. */
const TILE: u32 = 64;

// @ts-ignore: decorator
@inline function groupSize(): u32 { return shape.queryHeads() / shape.kvHeads(); }
// @ts-ignore: decorator
@inline function rowsPerTile(): u32 { return max<u32>(1, TILE / groupSize()); }
/** Query vectors of a full tile, padded to the microtile. */
// @ts-ignore: decorator
@inline function tileVectors(): u32 { return roundUp(rowsPerTile() * groupSize(), 4); }
/** Floats of a packed row. */
// @ts-ignore: decorator
@inline function width(): u32 { return roundUp(shape.headDim(), 8); }

/** Queries, outputs [tile][width]; weights [tile][64]; largest, mass [tile]; key and value panels [64][width]. */
export function prefillScratch(): u32 {
  return (tileVectors() * (2 * width() + KEYS + 2) + 2 * KEYS * width()) * 4 + 64;
}

/** Params: keys, values, query, output, first, count. */
export function prefill(layer: u32, first: u32, count: u32, query: usize, output: usize): void {
  setParam(0, <u32>shape.keys(layer));
  setParam(1, <u32>shape.values(layer));
  setParam(2, <u32>query);
  setParam(3, <u32>output);
  setParam(4, first);
  setParam(5, count);
  let tiles: u32 = 0;
  for (let s: u32 = 0; s < count; s++) tiles += tilesOf(s);
  const items = tiles * shape.kvHeads();
  setParam(6, items);
  fork(Job.PREFILL, items);
}

// @ts-ignore: decorator
@inline function tilesOf(s: u32): u32 {
  const rows = batch.rowCount(param(4) + s);
  return rows == 1 ? 0 : (rows + rowsPerTile() - 1) / rowsPerTile();
}

export function prefillItem(item: u32): void {
  // The last tiles see the most keys: first come, so that no thread is left with a long one.
  item = param(6) - 1 - item;
  const kvHead = item % shape.kvHeads();
  let tile = item / shape.kvHeads();
  let s: u32 = 0;
  while (tile >= tilesOf(s)) tile -= tilesOf(s++);
  s += param(4);
  const total = batch.rowCount(s);
  const firstRow = tile * rowsPerTile();
  const rows = min<u32>(rowsPerTile(), total - firstRow);
  const position = batch.length(s) - total + firstRow;
  const heads = groupSize();
  const vectors = rows * heads;
  const padded = roundUp(vectors, 4);
  const w = width();
  const rowBytes = <usize>(w * 4);

  const queries = scratch;
  const outputs = queries + <usize>(tileVectors() * w * 4);
  const weights = outputs + <usize>(tileVectors() * w * 4);
  const largest = weights + <usize>(tileVectors() * KEYS * 4);
  const mass = largest + <usize>(tileVectors() * 4);
  const keyPanels = (mass + <usize>(tileVectors() * 4) + 15) & ~15;
  const valuePanels = keyPanels + <usize>(KEYS * w * 4);

  const at = batch.firstRow(s) + firstRow;
  packQueries(queries, at, rows, kvHead, heads, padded);
  memory.fill(outputs, 0, <usize>(padded * w * 4));
  for (let m: u32 = 0; m < padded; m++) {
    store<f32>(largest + <usize>(m * 4), -Infinity);
    store<f32>(mass + <usize>(m * 4), 0);
  }

  const visible = position + rows;
  for (let key: u32 = 0; key < visible; key += KEYS) {
    const n = min<u32>(KEYS, visible - key);
    packBlock(s, kvHead, key, n, keyPanels, valuePanels);
    for (let panel: u32 = 0; panel * 8 < n; panel++)
      for (let m: u32 = 0; m < padded; m += 4) {
        const q = queries + <usize>m * rowBytes;
        tile8x4(keyPanels + <usize>panel * 8 * rowBytes, shape.headDim(), q, q + rowBytes, q + rowBytes * 2,
          q + rowBytes * 3, weights + <usize>(m * KEYS * 4 + panel * 32), KEYS * 4, false);
      }
    for (let r: u32 = 0; r < rows; r++) {
      const p = position + r;
      const seen: u32 = p < key ? 0 : min<u32>(n, p + 1 - key);
      for (let m = r * heads; m < (r + 1) * heads; m++)
        softmaxRow(weights + <usize>(m * KEYS * 4), seen, n, largest + <usize>(m * 4), mass + <usize>(m * 4),
          outputs + <usize>m * rowBytes, rowBytes);
    }
    for (let d: u32 = 0; d < w; d += 8)
      for (let m: u32 = 0; m < padded; m += 4) {
        const p = weights + <usize>(m * KEYS * 4);
        tile8x4(valuePanels + <usize>(d * KEYS * 4), n, p, p + KEYS * 4, p + KEYS * 8, p + KEYS * 12,
          outputs + <usize>m * rowBytes + <usize>(d * 4), rowBytes, true);
      }
  }
  writeOutputs(outputs, mass, at, rows, kvHead, heads);
}

function packQueries(to: usize, row: u32, rows: u32, kvHead: u32, heads: u32, padded: u32): void {
  const d = shape.headDim();
  const w = width();
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>d);
  memory.fill(to, 0, <usize>(padded * w * 4));
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      const from = <usize>(param(2) + ((row + r) * shape.queryHeads() + kvHead * heads + h) * d * 4);
      const out = to + <usize>((r * heads + h) * w * 4);
      for (let i: usize = 0; i < <usize>(d * 4); i += 4) store<f32>(out + i, load<f32>(from + i) * scale);
    }
}

/** Keys key..key+n-1 as panels [key / 8][channel][8], values as panels [channel / 8][key][8]; missing keys are zero. */
function packBlock(s: u32, kvHead: u32, key: u32, n: u32, keyPanels: usize, valuePanels: usize): void {
  const table = batch.pageTable(s);
  const shift = shape.pageShift();
  const floats = shape.rowFloats();
  const w = width();
  const panelBytes = <usize>(w * 32);
  if (n & 7) memory.fill(keyPanels + <usize>(n >> 3) * panelBytes, 0, panelBytes);
  // Pages hold a multiple of 4 keys, and blocks start at multiples of 4: four keys lie in a row.
  for (let j: u32 = 0; j < n; j += 4) {
    const page = load<u32>(table + <usize>(((key + j) >> shift) * 4));
    const at = <usize>((((page * shape.kvHeads() + kvHead) << shift) + ((key + j) & (shape.pageSize() - 1))) * shape.slotBytes());
    let k = <usize>param(0) + at;
    let v = <usize>param(1) + at;
    const bytes = <usize>(floats * 4), stride = <usize>shape.slotBytes();
    let to = keyPanels + <usize>(j >> 3) * panelBytes + <usize>((j & 4) * 4);
    if (j + 4 <= n) {
      for (const end = k + bytes; k < end; k += 16, to += 128) {
        const a = v128.load(k), b = v128.load(k + stride), c = v128.load(k + stride * 2), d = v128.load(k + stride * 3);
        const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
        const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
        v128.store(to, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
        v128.store(to, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7), 32);
        v128.store(to, v128.shuffle<f32>(AB, CD, 0, 1, 4, 5), 64);
        v128.store(to, v128.shuffle<f32>(AB, CD, 2, 3, 6, 7), 96);
      }
    } else {
      for (let i: u32 = 0; j + i < n; i++)
        for (let c: u32 = 0; c < floats; c++)
          store<f32>(to + <usize>(c * 32 + i * 4), load<f32>(k + <usize>i * stride + <usize>(c * 4)));
    }
    for (let i: u32 = j; i < min<u32>(n, j + 4); i++, v += stride) {
      let out = valuePanels + <usize>(i * 32);
      for (let c: u32 = 0; c < floats; c += 8, out += KEYS * 32) {
        v128.store(out, v128.load(v + <usize>(c * 4)));
        v128.store(out, c + 4 < floats ? v128.load(v + <usize>(c * 4), 16) : f32x4.splat(0), 16);
      }
    }
  }
}

/** Takes one query's logits of a block into its running softmax; weights past `seen` become 0. */
function softmaxRow(row: usize, seen: u32, n: u32, largest: usize, mass: usize, output: usize, bytes: usize): void {
  const end = row + <usize>(roundUp(n, 4) * 4);
  for (let p = row + <usize>(seen * 4); p < end; p += 4) store<f32>(p, -Infinity);
  if (seen == 0) {
    for (let p = row; p < end; p += 16) v128.store(p, f32x4.splat(0));
    return;
  }
  let m = f32x4.splat(-Infinity);
  for (let p = row; p < end; p += 16) m = f32x4.pmax(m, v128.load(p));
  const before = load<f32>(largest);
  const now = max<f32>(before, max4(m));
  m = f32x4.splat(now);
  let sum = f32x4.splat(0);
  for (let p = row; p < end; p += 16) {
    const e = exp4(f32x4.sub(v128.load(p), m));
    v128.store(p, e);
    sum = f32x4.add(sum, e);
  }
  if (now == before) {
    store<f32>(mass, load<f32>(mass) + sum4(sum));
    return;
  }
  const factor = exp1(before - now);
  store<f32>(largest, now);
  store<f32>(mass, load<f32>(mass) * factor + sum4(sum));
  const f = f32x4.splat(factor);
  for (let i: usize = 0; i < bytes; i += 16) v128.store(output + i, f32x4.mul(v128.load(output + i), f));
}

function writeOutputs(outputs: usize, mass: usize, row: u32, rows: u32, kvHead: u32, heads: u32): void {
  const d = shape.headDim();
  const w = width();
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      const m = r * heads + h;
      const from = outputs + <usize>(m * w * 4);
      const to = <usize>(param(3) + ((row + r) * shape.queryHeads() + kvHead * heads + h) * d * 4);
      const scale: f32 = <f32>1 / load<f32>(mass + <usize>(m * 4));
      for (let i: usize = 0; i < <usize>(d * 4); i += 4) store<f32>(to + i, load<f32>(from + i) * scale);
    }
}
