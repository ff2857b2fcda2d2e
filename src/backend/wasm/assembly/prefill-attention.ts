/**
 * Dense causal attention of the many rows of a prefill chunk: tiles of query rows × the heads of a kv head, against key
 * blocks of 64, with an online softmax. The query vectors of a tile stand in panels of 8, side by side, so that both
 * products use the GEMM microtile and the softmax runs down the keys, 8 vectors at a time.
 */
import { fork, MOST_THREADS } from "./control";
import { Job } from "./dispatch";
import { exp4 } from "./math";
import { batch, param, roundUp, scratch, setParam, shape } from "./state";
import { packFour, tile8x4 } from "./tile";

const KEYS: u32 = 64;
/** Query vectors (rows × heads of a kv head) of a tile, where one row has no more. */
const TILE: u32 = 128;
/** Bytes of one channel, or one key, of a panel. */
const PANEL: usize = 32;

// @ts-ignore: decorator
@inline function groupSize(): u32 { return shape.queryHeads() / shape.kvHeads(); }
// @ts-ignore: decorator
@inline function rowsPerTile(): u32 { return max<u32>(1, TILE / groupSize()); }
/** Query vectors of a full tile, padded to panels. */
// @ts-ignore: decorator
@inline function tileVectors(): u32 { return roundUp(rowsPerTile() * groupSize(), 8); }

/** Queries, outputs [panel][channel][8]; largest, mass [vector]; weights [key][8]; keys [key / 4][channel][4]; values [channel / 4][key][4]. */
export function prefillScratch(): u32 {
  return (tileVectors() * (2 * shape.rowFloats() + 2) + KEYS * 8 + 2 * KEYS * shape.rowFloats()) * 4;
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
  fork(Job.PREFILL, items, MOST_THREADS);
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
  const panelBytes = <usize>shape.rowFloats() * PANEL;

  const queries = scratch;
  const outputs = queries + <usize>(tileVectors() * shape.rowFloats() * 4);
  const largest = outputs + <usize>(tileVectors() * shape.rowFloats() * 4);
  const mass = largest + <usize>(tileVectors() * 4);
  const weights = mass + <usize>(tileVectors() * 4);
  const keys = weights + <usize>KEYS * PANEL;
  const values = keys + <usize>(KEYS * shape.rowFloats() * 4);

  const at = batch.firstRow(s) + firstRow;
  packQueries(queries, at, rows, kvHead, heads);
  memory.fill(outputs, 0, largest - outputs);
  for (let p = largest; p < mass; p += 16) v128.store(p, f32x4.splat(-Infinity));
  memory.fill(mass, 0, weights - mass);

  const visible = position + rows;
  for (let key: u32 = 0; key < visible; key += KEYS) {
    packBlock(s, kvHead, key, min<u32>(KEYS, visible - key), keys, values);
    for (let v: u32 = 0; v < vectors; v += 8) {
      // The panel's last row sees this many keys of the block, its first row perhaps fewer.
      const last = position + (min<u32>(v + 8, vectors) - 1) / heads;
      if (last < key) continue;
      const n = min<u32>(KEYS, last + 1 - key);
      const panel = <usize>(v >> 3) * panelBytes;
      for (let k: u32 = 0; k < n; k += 4)
        tile8x4(queries + panel, shape.headDim(), keys + <usize>(k * shape.rowFloats() * 4), weights + <usize>k * PANEL, PANEL, false);
      const first = position + v / heads;
      if (first + 1 < key + n)
        for (let i: u32 = 0; i < 8; i++) hide(weights + <usize>(i * 4), position + (v + i) / heads + 1, key, n);
      softmaxPanel(weights, n, largest + <usize>(v * 4), mass + <usize>(v * 4), outputs + panel, panelBytes);
      for (let c: u32 = 0; c < shape.rowFloats(); c += 4)
        tile8x4(weights, n, values + <usize>(c * KEYS * 4), outputs + panel + <usize>c * PANEL, PANEL, true);
    }
  }
  writeOutputs(outputs, mass, at, rows, kvHead, heads);
}

function packQueries(to: usize, row: u32, rows: u32, kvHead: u32, heads: u32): void {
  const d = shape.headDim();
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>d);
  const panelBytes = <usize>shape.rowFloats() * PANEL;
  memory.fill(to, 0, <usize>(tileVectors() * shape.rowFloats() * 4));
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      let from = <usize>(param(2) + ((row + r) * shape.queryHeads() + kvHead * heads + h) * d * 4);
      const v = r * heads + h;
      let out = to + <usize>(v >> 3) * panelBytes + <usize>((v & 7) * 4);
      for (const end = from + <usize>(d * 4); from < end; from += 4, out += PANEL) store<f32>(out, load<f32>(from) * scale);
    }
}

/** Keys key..key+n-1 as [key / 4][channel][4], values as [channel / 4][key][4]. */
function packBlock(s: u32, kvHead: u32, key: u32, n: u32, keys: usize, values: usize): void {
  const table = batch.pageTable(s);
  const shift = shape.pageShift();
  const bytes = <usize>(shape.rowFloats() * 4);
  const stride = <usize>shape.slotBytes();
  // Pages hold a multiple of 4 keys, and blocks start at multiples of 4: four keys lie in a row.
  for (let j: u32 = 0; j < n; j += 4) {
    const page = load<u32>(table + <usize>(((key + j) >> shift) * 4));
    const at = <usize>((((page * shape.kvHeads() + kvHead) << shift) + ((key + j) & (shape.pageSize() - 1))) * <u32>stride);
    packFour(<usize>param(0) + at, stride, n - j, shape.rowFloats(), keys + <usize>j * bytes);
    let v = <usize>param(1) + at;
    for (let i: u32 = j; i < min<u32>(n, j + 4); i++, v += stride) {
      let out = values + <usize>(i * 16);
      for (const end = v + bytes; v < end; v += 16, out += KEYS * 16) v128.store(out, v128.load(v));
      v -= bytes;
    }
  }
}

/** Takes the keys past `visible` from one vector: lane of the weights at `lane`. */
function hide(lane: usize, visible: u32, key: u32, n: u32): void {
  for (let k: u32 = visible > key ? visible - key : 0; k < n; k++) store<f32>(lane + <usize>k * PANEL, -Infinity);
}

/** Takes the logits [n][8] of a block into the running softmax of a panel; they become weights. */
function softmaxPanel(row: usize, n: u32, largest: usize, mass: usize, output: usize, bytes: usize): void {
  const end = row + <usize>n * PANEL;
  const before0 = v128.load(largest), before1 = v128.load(largest, 16);
  let m0 = before0, m1 = before1;
  for (let p = row; p < end; p += PANEL) {
    m0 = f32x4.pmax(m0, v128.load(p));
    m1 = f32x4.pmax(m1, v128.load(p, 16));
  }
  let sum0 = v128.load(mass), sum1 = v128.load(mass, 16);
  if (v128.any_true(v128.or(f32x4.ne(m0, before0), f32x4.ne(m1, before1)))) {
    v128.store(largest, m0);
    v128.store(largest, m1, 16);
    const f0 = exp4(f32x4.sub(before0, m0)), f1 = exp4(f32x4.sub(before1, m1));
    sum0 = f32x4.mul(sum0, f0);
    sum1 = f32x4.mul(sum1, f1);
    for (const stop = output + bytes; output < stop; output += PANEL) {
      v128.store(output, f32x4.mul(v128.load(output), f0));
      v128.store(output, f32x4.mul(v128.load(output, 16), f1), 16);
    }
  }
  for (let p = row; p < end; p += PANEL) {
    const e0 = exp4(f32x4.sub(v128.load(p), m0)), e1 = exp4(f32x4.sub(v128.load(p, 16), m1));
    v128.store(p, e0);
    v128.store(p, e1, 16);
    sum0 = f32x4.add(sum0, e0);
    sum1 = f32x4.add(sum1, e1);
  }
  v128.store(mass, sum0);
  v128.store(mass, sum1, 16);
}

function writeOutputs(outputs: usize, mass: usize, row: u32, rows: u32, kvHead: u32, heads: u32): void {
  const d = shape.headDim();
  const panelBytes = <usize>shape.rowFloats() * PANEL;
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      const v = r * heads + h;
      let from = outputs + <usize>(v >> 3) * panelBytes + <usize>((v & 7) * 4);
      let to = <usize>(param(3) + ((row + r) * shape.queryHeads() + kvHead * heads + h) * d * 4);
      const scale: f32 = <f32>1 / load<f32>(mass + <usize>(v * 4));
      for (const end = to + <usize>(d * 4); to < end; to += 4, from += PANEL) store<f32>(to, load<f32>(from) * scale);
    }
}
