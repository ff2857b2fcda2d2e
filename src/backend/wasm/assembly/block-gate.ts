/** The gate of blocks: pools of raw keys per page, keys of whole blocks, scores of blocks. */
import { fork, ALL_THREADS } from "./control";
import { madd, sum4 } from "./math";
import { batch, cache, model, param, setParam } from "./state";

/** Blocks of a score item. */
const BLOCKS: u32 = 64;

// Params of both ops: 0 first sequence, 1 raw keys or queries, 2 pools or gate queries, 3 block keys, 4 weights, 5 norm or 0,
// 6 RoPE rows or 0, 7 block size, 8 gateDim, 9 eps (an f32), 10 out, 11 capacity.
// @ts-ignore: decorator
@inline function gateBytes(): usize { return <usize>(param(8) * 4); }

/** Address of the page id at an index of a sequence's table. */
// @ts-ignore: decorator
@inline function pageAt(s: u32, index: u32): u32 { return load<u32>(batch.pageTable(s) + <usize>(index * 4)); }

export function updateBlockKeys(first: u32, count: u32, keys: usize, pools: usize, blockKeys: usize, weights: usize, norm: usize, rope: usize, blockSize: u32, gateDim: u32, eps: f32): void {
  setParam(0, first);
  setParam(1, <u32>keys);
  setParam(2, <u32>pools);
  setParam(3, <u32>blockKeys);
  setParam(4, <u32>weights);
  setParam(5, <u32>norm);
  setParam(6, <u32>rope);
  setParam(7, blockSize);
  setParam(8, gateDim);
  setParam(9, reinterpret<u32>(eps));
  fork(keysItem, count * model.kvHeads(), ALL_THREADS);
}

/** One kv head of one sequence. */
function keysItem(item: u32): void {
  const kvHeads = model.kvHeads();
  const s = param(0) + item / kvHeads;
  const head = item % kvHeads;
  const bytes = <usize>(model.headDim() * 4);
  const length = batch.length(s);
  const rows = batch.rowCount(s);
  let key = <usize>(param(1) + (batch.firstRow(s) * kvHeads + head) * <u32>bytes);
  for (let position = length - rows; position < length; position++, key += bytes * <usize>kvHeads) {
    const page = pageAt(s, position >> cache.pageShift());
    const pool = <usize>param(2) + <usize>(page * kvHeads + head) * 3 * bytes;
    extend(pool, key, bytes, (position & (cache.pageSize() - 1)) == 0);
    if ((position + 1) % param(7) == 0) blockKey(s, head, position / param(7));
  }
}

/** Extends maximum, minimum and sum by a key; a page's first key starts them. */
function extend(pool: usize, key: usize, bytes: usize, isFirst: bool): void {
  if (isFirst) {
    for (let which: usize = 0; which < 3; which++) memory.copy(pool + which * bytes, key, bytes);
    return;
  }
  const four = bytes & ~15;
  let i: usize = 0;
  for (; i < four; i += 16) {
    const k = v128.load(key + i);
    const most = pool + i, least = most + bytes, sum = least + bytes;
    v128.store(most, f32x4.max(v128.load(most), k));
    v128.store(least, f32x4.min(v128.load(least), k));
    v128.store(sum, f32x4.add(v128.load(sum), k));
  }
  for (; i < bytes; i += 4) {
    const k = load<f32>(key + i);
    const most = pool + i, least = most + bytes, sum = least + bytes;
    store<f32>(most, max<f32>(load<f32>(most), k));
    store<f32>(least, min<f32>(load<f32>(least), k));
    store<f32>(sum, load<f32>(sum) + k);
  }
}

/** The key of a whole block of a kv head, from the pools of its pages. */
function blockKey(s: u32, head: u32, block: u32): void {
  const kvHeads = model.kvHeads();
  const d = model.headDim();
  const pages = param(7) >> cache.pageShift();
  const out = <usize>param(3) + <usize>(pageAt(s, (block + 1) * pages - 1) * kvHeads + head) * gateBytes();
  memory.fill(out, 0, gateBytes());
  let weights = <usize>param(4) + <usize>(head * 3 * d) * gateBytes();
  for (let i: u32 = 0; i < 3 * d; i++, weights += gateBytes()) {
    let pooled: f32 = 0;
    for (let p: u32 = 0; p < pages; p++) {
      const at = <usize>param(2) + <usize>((pageAt(s, block * pages + p) * kvHeads + head) * 3 * d + i) * 4;
      const one = load<f32>(at);
      if (p == 0) pooled = one;
      else if (i < d) pooled = max<f32>(pooled, one);
      else if (i < 2 * d) pooled = min<f32>(pooled, one);
      else pooled += one;
    }
    if (i >= 2 * d) pooled /= <f32>param(7);
    addRow(out, weights, pooled);
  }
  finish(out, block * param(7));
}

/** out += x * weights over gateDim floats. */
// @ts-ignore: decorator
@inline function addRow(out: usize, weights: usize, x: f32): void {
  const s = f32x4.splat(x);
  const bytes = gateBytes();
  const four = bytes & ~15;
  let i: usize = 0;
  for (; i < four; i += 16) v128.store(out + i, madd(v128.load(weights + i), s, v128.load(out + i)));
  for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(out + i) + x * load<f32>(weights + i));
}

/** Norm if given, then RoPE of a position if given; in place. */
function finish(x: usize, position: u32): void {
  const bytes = gateBytes();
  if (param(5)) {
    let squares: f32 = 0;
    for (let i: usize = 0; i < bytes; i += 4) squares += load<f32>(x + i) * load<f32>(x + i);
    const scale: f32 = <f32>1 / sqrt<f32>(squares / <f32>param(8) + reinterpret<f32>(param(9)));
    for (let i: usize = 0; i < bytes; i += 4)
      store<f32>(x + i, load<f32>(x + i) * scale * load<f32>(<usize>param(5) + i));
  }
  if (!param(6)) return;
  const rope = <usize>param(6) + <usize>position * bytes;
  const half = bytes / 2;
  for (let i: usize = 0; i < half; i += 4) {
    const c = load<f32>(rope + i), sine = load<f32>(rope + half + i);
    const a = load<f32>(x + i), b = load<f32>(x + half + i);
    store<f32>(x + i, a * c - b * sine);
    store<f32>(x + half + i, b * c + a * sine);
  }
}

/** queries: room for f32 [count, kvHeads, gateDim]. */
export function blockScores(first: u32, count: u32, query: usize, queries: usize, blockKeys: usize, weights: usize, norm: usize, rope: usize, blockSize: u32, gateDim: u32, eps: f32, out: usize, capacity: u32): void {
  setParam(0, first);
  setParam(1, <u32>query);
  setParam(2, <u32>queries);
  setParam(3, <u32>blockKeys);
  setParam(4, <u32>weights);
  setParam(5, <u32>norm);
  setParam(6, <u32>rope);
  setParam(7, blockSize);
  setParam(8, gateDim);
  setParam(9, reinterpret<u32>(eps));
  setParam(10, <u32>out);
  setParam(11, capacity);
  fork(queryItem, count * model.kvHeads(), ALL_THREADS);
  let items: u32 = 0;
  for (let s: u32 = 0; s < count; s++) items += itemsOf(first + s);
  fork(scoresItem, items * model.kvHeads(), ALL_THREADS);
}

/** The gate query of one kv head of one sequence. */
function queryItem(item: u32): void {
  const kvHeads = model.kvHeads();
  const s = param(0) + item / kvHeads;
  const head = item % kvHeads;
  const width = (model.queryHeads() / kvHeads) * model.headDim();
  const out = <usize>param(2) + <usize>item * gateBytes();
  memory.fill(out, 0, gateBytes());
  const query = <usize>(param(1) + (batch.firstRow(s) * kvHeads + head) * width * 4);
  let weights = <usize>param(4) + <usize>(head * width) * gateBytes();
  for (let i: u32 = 0; i < width; i++, weights += gateBytes()) addRow(out, weights, load<f32>(query + <usize>i * 4));
  finish(out, batch.length(s) - 1);
}

/** Items of a kv head of a sequence. */
// @ts-ignore: decorator
@inline function itemsOf(s: u32): u32 { return ((batch.length(s) + param(7) - 1) / param(7) + BLOCKS - 1) / BLOCKS; }

/** BLOCKS blocks of one kv head of one sequence. */
function scoresItem(item: u32): void {
  const kvHeads = model.kvHeads();
  const head = item % kvHeads;
  let group = item / kvHeads;
  let s = param(0);
  while (group >= itemsOf(s)) group -= itemsOf(s++);
  const row = (s - param(0)) * kvHeads + head;
  const query = <usize>param(2) + <usize>row * gateBytes();
  const pages = param(7) >> cache.pageShift();
  const whole = batch.length(s) / param(7);
  const last = min<u32>((batch.length(s) + param(7) - 1) / param(7), (group + 1) * BLOCKS);
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>param(8));
  for (let block = group * BLOCKS; block < last; block++) {
    let score: f32 = 0;
    if (block < whole) {
      const page = pageAt(s, (block + 1) * pages - 1);
      score = scale * product(query, <usize>param(3) + <usize>(page * kvHeads + head) * gateBytes());
    }
    store<f32>(<usize>(param(10) + (row * param(11) + block) * 4), score);
  }
}

/** a · b over gateDim floats. */
// @ts-ignore: decorator
@inline function product(a: usize, b: usize): f32 {
  let sum = f32x4.splat(0);
  const bytes = gateBytes();
  const four = bytes & ~15;
  let i: usize = 0;
  for (; i < four; i += 16) sum = madd(v128.load(a + i), v128.load(b + i), sum);
  let rest: f32 = 0;
  for (; i < bytes; i += 4) rest += load<f32>(a + i) * load<f32>(b + i);
  return sum4(sum) + rest;
}
