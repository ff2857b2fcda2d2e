/**
 * Dense causal attention of a prefill chunk's rows: tiles of query rows × the query heads of a kv head, against key blocks
 * of 64, with an online softmax. Panels hold 8 query vectors of a tile side by side, so that both products use the GEMM
 * microtile and the softmax handles 8 vectors at a time.
 */
import { loadInt8 } from "./cache-rows";
import { fork, ALL_THREADS } from "./control";
import { exp4 } from "./math";
import { batch, cache, model, param, roundUp, scratch, setParam } from "./state";
import { packFour, tile8x4 } from "./tile";

const KEYS: u32 = 64;
/** Query vectors (rows × query heads of a kv head) of a tile, unless one row has more. */
const TILE: u32 = 128;
/** Bytes of one channel, or one key, of a panel. */
const PANEL: usize = 32;
/** Below every logit but -Infinity: a vector that has seen no key yet keeps a mass of 0 where -Infinity would give NaN. */
const LOWEST: f32 = -f32.MAX_VALUE;

// @ts-ignore: decorator
@inline function groupSize(): u32 { return model.queryHeads() / model.kvHeads(); }
// @ts-ignore: decorator
@inline function rowsPerTile(): u32 { return max<u32>(1, TILE / groupSize()); }
/** Query vectors of a full tile, padded to panels. */
// @ts-ignore: decorator
@inline function tileVectors(): u32 { return roundUp(rowsPerTile() * groupSize(), 8); }

/**
 * Scratch: queries and outputs [panel][channel][8], largest and mass [vector], weights [key][8], keys [key / 4][channel][4],
 * values [channel / 4][key][4], four int8 keys as floats.
 */
export function prefillScratch(): u32 {
  return (tileVectors() * (2 * cache.rowFloats() + 2) + KEYS * 8 + (2 * KEYS + 4) * cache.rowFloats()) * 4;
}

/**
 * window: positions that a row sees, its own included; 0: all up to it.
 * Params: 0 keys, 1 values (offsets of the layer), 2 query, 3 output, 4 first sequence, 5 sequences, 6 items, 7 window.
 */
export function prefill(layer: u32, first: u32, count: u32, query: usize, output: usize, window: u32): void {
  setParam(0, <u32>cache.keys(layer));
  setParam(1, <u32>cache.values(layer));
  setParam(2, <u32>query);
  setParam(3, <u32>output);
  setParam(4, first);
  setParam(5, count);
  setParam(7, window);
  let tiles: u32 = 0;
  for (let s: u32 = 0; s < count; s++) tiles += tilesOf(s);
  const items = tiles * model.kvHeads();
  setParam(6, items);
  fork(prefillItem, items, ALL_THREADS);
}

/** Tiles of a sequence; none of one row, which is the decode kernel's. */
// @ts-ignore: decorator
@inline function tilesOf(s: u32): u32 {
  const rows = batch.rowCount(param(4) + s);
  return rows == 1 ? 0 : (rows + rowsPerTile() - 1) / rowsPerTile();
}

/** One tile of one kv head. */
function prefillItem(item: u32): void {
  // The last tiles see the most keys and run first, so that no thread ends with a long one.
  item = param(6) - 1 - item;
  const kvHead = item % model.kvHeads();
  let tile = item / model.kvHeads();
  let s: u32 = 0;
  while (tile >= tilesOf(s)) tile -= tilesOf(s++);
  s += param(4);
  const total = batch.rowCount(s);
  const firstRow = tile * rowsPerTile();
  const rows = min<u32>(rowsPerTile(), total - firstRow);
  const position = batch.length(s) - total + firstRow;
  const heads = groupSize();
  const vectors = rows * heads;
  const panelBytes = <usize>cache.rowFloats() * PANEL;

  const queries = scratch;
  const outputs = queries + <usize>(tileVectors() * cache.rowFloats() * 4);
  const largest = outputs + <usize>(tileVectors() * cache.rowFloats() * 4);
  const mass = largest + <usize>(tileVectors() * 4);
  const weights = mass + <usize>(tileVectors() * 4);
  const keys = weights + <usize>KEYS * PANEL;
  const values = keys + <usize>(KEYS * cache.rowFloats() * 4);

  const at = batch.firstRow(s) + firstRow;
  packQueries(queries, at, rows, kvHead, heads);
  memory.fill(outputs, 0, largest - outputs);
  for (let p = largest; p < mass; p += 16) v128.store(p, f32x4.splat(LOWEST));
  memory.fill(mass, 0, weights - mass);

  const visible = position + rows;
  for (let key = firstSeen(position) & ~(KEYS - 1); key < visible; key += KEYS) {
    packBlock(s, kvHead, key, min<u32>(KEYS, visible - key), keys, values);
    for (let v: u32 = 0; v < vectors; v += 8) {
      // The panel's last row sees n keys of the block; its first row may see fewer.
      const last = position + (min<u32>(v + 8, vectors) - 1) / heads;
      const first = position + v / heads;
      if (last < key || key + KEYS <= firstSeen(first)) continue;
      const n = min<u32>(KEYS, last + 1 - key);
      const panel = <usize>(v >> 3) * panelBytes;
      for (let k: u32 = 0; k < n; k += 4)
        tile8x4(queries + panel, model.headDim(), keys + <usize>(k * cache.rowFloats() * 4), weights + <usize>k * PANEL, PANEL, false);
      if (first + 1 < key + n || firstSeen(last) > key)
        for (let i: u32 = 0; i < 8; i++) hide(weights + <usize>(i * 4), position + (v + i) / heads, key, n);
      softmaxPanel(weights, n, largest + <usize>(v * 4), mass + <usize>(v * 4), outputs + panel, panelBytes);
      for (let c: u32 = 0; c < cache.rowFloats(); c += 4)
        tile8x4(weights, n, values + <usize>(c * KEYS * 4), outputs + panel + <usize>c * PANEL, PANEL, true);
    }
  }
  writeOutputs(outputs, mass, at, rows, kvHead, heads);
}

/** The first position that a row sees. */
// @ts-ignore: decorator
@inline function firstSeen(position: u32): u32 {
  const window = param(7);
  return window == 0 || position < window ? 0 : position + 1 - window;
}

/** Queries times the logits' factor in panels; vectors past the last are zeros. */
function packQueries(to: usize, row: u32, rows: u32, kvHead: u32, heads: u32): void {
  const d = model.headDim();
  const scale = model.attentionScale();
  const panelBytes = <usize>cache.rowFloats() * PANEL;
  memory.fill(to, 0, <usize>(tileVectors() * cache.rowFloats() * 4));
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      let from = <usize>(param(2) + ((row + r) * model.queryHeads() + kvHead * heads + h) * d * 4);
      const v = r * heads + h;
      let out = to + <usize>(v >> 3) * panelBytes + <usize>((v & 7) * 4);
      for (const end = from + <usize>(d * 4); from < end; from += 4, out += PANEL) store<f32>(out, load<f32>(from) * scale);
    }
}

/** Keys key..key+n-1 as [key / 4][channel][4], values as [channel / 4][key][4]. */
function packBlock(s: u32, kvHead: u32, key: u32, n: u32, keys: usize, values: usize): void {
  const table = batch.pageTable(s);
  const shift = cache.pageShift();
  const head = <usize>(kvHead * cache.headBytes());
  const bytes = <usize>(cache.rowFloats() * 4);
  const stride = <usize>cache.slotBytes();
  // Pages hold a multiple of 4 keys and blocks start at multiples of 4, so four keys are consecutive rows.
  for (let j: u32 = 0; j < n; j += 4) {
    const page = load<u32>(table + <usize>(((key + j) >> shift) * 4));
    const at = cache.page(page) + head + <usize>((key + j) & (cache.pageSize() - 1)) * stride;
    if (cache.isInt8()) {
      packInt8(<usize>param(0) + at, stride, min<u32>(4, n - j), keys + <usize>j * bytes, values + <usize>(j * 16));
      continue;
    }
    packFour(<usize>param(0) + at, stride, n - j, cache.rowFloats(), keys + <usize>j * bytes);
    let v = <usize>param(1) + at;
    for (let i: u32 = j; i < min<u32>(n, j + 4); i++, v += stride) {
      let out = values + <usize>(i * 16);
      for (const end = v + bytes; v < end; v += 16, out += KEYS * 16) v128.store(out, v128.load(v));
      v -= bytes;
    }
  }
}

/** `packBlock` for up to four int8 slots that follow one another. */
function packInt8(slot: usize, stride: usize, count: u32, keys: usize, values: usize): void {
  const n = cache.rowFloats();
  const bytes = <usize>(n * 4);
  const unpacked = scratch + <usize>prefillScratch() - bytes * 4;
  for (let i: u32 = 0; i < count; i++, slot += stride, values += 16) {
    const scales = slot + <usize>cache.scalesAt();
    const ofKey = v128.load32_splat(scales), ofValue = v128.load32_splat(scales, 4);
    let k = slot, v = slot + <usize>n, to = unpacked + <usize>i * bytes, out = values;
    for (const end = v; k < end; k += 4, v += 4, to += 16, out += KEYS * 16) {
      v128.store(to, loadInt8(k, ofKey));
      v128.store(out, loadInt8(v, ofValue));
    }
  }
  packFour(unpacked, bytes, count, n, keys);
}

/** Masks the keys that a row at `position` does not see in one vector's lane of the weights. */
function hide(lane: usize, position: u32, key: u32, n: u32): void {
  for (let k: u32 = position >= key ? position + 1 - key : 0; k < n; k++) store<f32>(lane + <usize>k * PANEL, -Infinity);
  const first = firstSeen(position);
  for (let k: u32 = 0; k < n && key + k < first; k++) store<f32>(lane + <usize>k * PANEL, -Infinity);
}

/** Adds a block's logits [n][8] to the running softmax of a panel and replaces them with their weights. */
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

/** Outputs divided by their mass, to the rows of the tile. */
function writeOutputs(outputs: usize, mass: usize, row: u32, rows: u32, kvHead: u32, heads: u32): void {
  const d = model.headDim();
  const panelBytes = <usize>cache.rowFloats() * PANEL;
  for (let r: u32 = 0; r < rows; r++)
    for (let h: u32 = 0; h < heads; h++) {
      const v = r * heads + h;
      let from = outputs + <usize>(v >> 3) * panelBytes + <usize>((v & 7) * 4);
      let to = <usize>(param(3) + ((row + r) * model.queryHeads() + kvHead * heads + h) * d * 4);
      const scale: f32 = <f32>1 / load<f32>(mass + <usize>(v * 4));
      for (const end = to + <usize>(d * 4); to < end; to += 4, from += PANEL) store<f32>(to, load<f32>(from) * scale);
    }
}
