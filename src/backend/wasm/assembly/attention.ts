/**
 * Attention of one row a sequence, dense or over selected tokens, in chunks of 256 positions. Both build a list of row
 * offsets and run the same kernel, so that a selection of everything equals dense bit for bit. A list serves the query
 * heads that read the same kv head and the same tokens; its K and V rows are read once for all of them.
 */
import { logits1, logits2, softmax, values1, values2 } from "./attention-tiles";
import { fork, streamThreads } from "./control";
import { Job } from "./dispatch";
import { exp1, madd } from "./math";
import { batch, param, scratch, setParam, shape, tuning } from "./state";

const CHUNK: u32 = 256;
/** Params: keys, values, query, output, first, count, lists a sequence, indices or 0, groups, capacity, counts, scores
 * or 0, scores capacity, 1 for scores alone, lists of an item. */
const SEQUENCES: usize = 5;
const LISTS: usize = 6;
const SPAN: usize = 14;

/** Bytes of the row offsets of a chunk, padded to a tile, and of the word that touching leaves behind. */
const OFFSETS: u32 = 1152;

/** Items for each thread from which on an item takes all kv heads of a chunk. */
const ITEMS_PER_THREAD: u32 = 4;

/** Offsets, then logits [heads][CHUNK], then queries [heads][rowFloats]. */
export function attentionScratch(): u32 {
  return OFFSETS + shape.queryHeads() * (CHUNK + shape.rowFloats()) * 4;
}

export function attend(layer: u32, first: u32, count: u32, query: usize, output: usize, indices: usize, groups: u32,
  capacity: u32, counts: usize, scores: usize, scoresCapacity: u32, scoresOnly: u32): void {
  const lists = groups == shape.queryHeads() ? groups : shape.kvHeads();
  setParam(0, <u32>shape.keys(layer));
  setParam(1, <u32>shape.values(layer));
  setParam(2, <u32>query);
  setParam(3, <u32>output);
  setParam(4, first);
  setParam(SEQUENCES, count);
  setParam(LISTS, lists);
  setParam(7, <u32>indices);
  setParam(8, groups);
  setParam(9, capacity);
  setParam(10, <u32>counts);
  setParam(11, <u32>scores);
  setParam(12, scoresCapacity);
  setParam(13, scoresOnly);
  let items: u32 = 0;
  for (let s: u32 = 0; s < count; s++) items += chunksOf(s);
  // A full chunk of one list at least, as a measure of all.
  const threads = streamThreads(<u64>(items * lists) * (CHUNK * shape.slotBytes()));
  const takers = min<u32>(threads, shape.workers() + 1);
  const isEnough = takers < 2 || items >= takers * ITEMS_PER_THREAD;
  const span: u32 = groups == 1 && isEnough && tuning.attendSpan() ? lists : 1;
  setParam(SPAN, span);
  fork(Job.ATTEND, items * (lists / span), threads);
  if (scoresOnly) return;
  fork(Job.MERGE, count * shape.queryHeads(), streamThreads(<u64>(items * shape.queryHeads()) * (shape.rowFloats() * 4)));
}

// @ts-ignore: decorator
@inline function tokensOf(s: u32): u32 {
  if (param(7)) return load<u32>(<usize>(param(10) + s * 4));
  return batch.rowCount(param(4) + s) == 1 ? batch.length(param(4) + s) : 0;
}

// @ts-ignore: decorator
@inline function chunksOf(s: u32): u32 { return (tokensOf(s) + CHUNK - 1) / CHUNK; }

/** Largest logit, sum of weights, two unused words, then rowFloats sums of one head and chunk. */
// @ts-ignore: decorator
@inline function partial(s: u32, head: u32, chunk: u32): usize {
  const maxChunks = (shape.maxLength() + CHUNK - 1) / CHUNK;
  return shape.partials() + <usize>(((s * shape.queryHeads() + head) * maxChunks + chunk) * (shape.rowFloats() + 4) * 4);
}

export function attendItem(item: u32): void {
  const lists = param(LISTS), span = param(SPAN), perChunk = lists / span;
  let s: u32 = 0;
  let chunk = item / perChunk;
  const list = item % perChunk * span;
  while (chunk >= chunksOf(s)) chunk -= chunksOf(s++);
  const n = min<u32>(CHUNK, tokensOf(s) - chunk * CHUNK);
  const heads = shape.queryHeads() / lists;
  const kvHead = list / (lists / shape.kvHeads());
  const firstHead = list * heads;
  const offsets = scratch;
  const logits = offsets + OFFSETS;
  const queries = logits + <usize>(heads * span * CHUNK * 4);
  const rowBytes = <usize>(shape.rowFloats() * 4);
  const padded = (n + 3) & ~3;
  listRows(offsets, s, list, kvHead, chunk * CHUNK, n);
  for (let i = n; i < padded; i++)
    store<u32>(offsets + <usize>(i * 4), load<u32>(offsets + <usize>((n - 1) * 4)));
  copyQueries(s, firstHead, heads * span, queries);

  const toNext = <usize>(shape.slotBytes() << shape.pageShift());
  const block = max<u32>(4, (tuning.attendBlock() / <u32>rowBytes) & ~3);
  for (let r: u32 = 0; r < padded; r += block) {
    const rows = min<u32>(block, padded - r);
    const at = offsets + <usize>(r * 4);
    let keys = <usize>param(0), to = logits + <usize>(r * 4), q = queries;
    for (let l: u32 = 0; l < span; l++, keys += toNext, to += <usize>(heads * CHUNK * 4), q += <usize>heads * rowBytes) {
      if (tuning.attendTouch())
        store<u32>(offsets + OFFSETS - 4, touch(keys, at, rows, param(13) ? <u32>rowBytes : shape.slotBytes()));
      logitsOf(keys, at, rows, q, rowBytes, to, heads);
    }
  }

  const all = heads * span;
  if (param(11))
    for (let h: u32 = 0; h < all; h++)
      memory.copy(<usize>(param(11) + ((s * shape.queryHeads() + firstHead + h) * param(12) + chunk * CHUNK) * 4),
        logits + <usize>(h * CHUNK * 4), <usize>(n * 4));
  if (param(13)) return;

  for (let h: u32 = 0; h < all; h++) softmax(logits + <usize>(h * CHUNK * 4), n, padded, partial(s, firstHead + h, chunk));
  const toPartial = partial(s, firstHead + 1, chunk) - partial(s, firstHead, chunk);
  for (let r: u32 = 0; r < n; r += block) {
    const rows = min<u32>(block, n - r);
    const at = offsets + <usize>(r * 4);
    let values = <usize>param(1), p = logits + <usize>(r * 4), out = partial(s, firstHead, chunk) + 16;
    for (let l: u32 = 0; l < span; l++, values += toNext, p += <usize>(heads * CHUNK * 4), out += <usize>heads * toPartial)
      valuesOf(values, at, rows, p, rowBytes, out, toPartial, heads, r > 0);
  }
}

/** Logits of the heads that read one list. */
function logitsOf(keys: usize, at: usize, rows: u32, q: usize, bytes: usize, out: usize, heads: u32): void {
  for (; heads > 1; heads -= 2, q += bytes * 2, out += 2 * CHUNK * 4) logits2(keys, at, rows, q, bytes, out);
  if (heads) logits1(keys, at, rows, q, bytes, out);
}

/** Sums of the heads that read one list; theirs are `step` bytes apart. */
function valuesOf(values: usize, at: usize, rows: u32, p: usize, bytes: usize, out: usize, step: usize, heads: u32, accumulate: bool): void {
  for (; heads > 1; heads -= 2, p += 2 * CHUNK * 4, out += 2 * step)
    values2(values, at, rows, p, bytes, out, out + step, accumulate);
  if (heads) values1(values, at, rows, p, bytes, out, accumulate);
}

/**
 * Loads one word of each line of the rows, K and V. The tiles are too long for the misses of the next rows to begin while
 * one is waited for; here they all begin at once.
 */
function touch(keys: usize, offsets: usize, rows: u32, bytes: u32): u32 {
  let seen: u32 = 0;
  for (const end = offsets + <usize>(rows * 4); offsets < end; offsets += 4) {
    let p = keys + <usize>load<u32>(offsets);
    for (const stop = p + <usize>bytes; p < stop; p += 64) seen ^= load<u32>(p);
  }
  return seen;
}

/** Byte offsets of the chunk's rows in the layer's K and V. */
function listRows(offsets: usize, s: u32, list: u32, kvHead: u32, start: u32, n: u32): void {
  const table = batch.pageTable(param(4) + s);
  const shift = shape.pageShift();
  const mask = shape.pageSize() - 1;
  const slotBytes = shape.slotBytes();
  const kvHeads = shape.kvHeads();
  if (param(7)) {
    const group = list * param(8) / param(LISTS);
    let index = <usize>(param(7) + ((s * param(8) + group) * param(9) + start) * 4);
    for (const end = index + <usize>(n * 4); index < end; index += 4, offsets += 4) {
      const position = load<u32>(index);
      const page = load<u32>(table + <usize>((position >> shift) * 4));
      store<u32>(offsets, (((page * kvHeads + kvHead) << shift) + (position & mask)) * slotBytes);
    }
    return;
  }
  for (let position = start; position < start + n; position++, offsets += 4) {
    const page = load<u32>(table + <usize>((position >> shift) * 4));
    store<u32>(offsets, (((page * kvHeads + kvHead) << shift) + (position & mask)) * slotBytes);
  }
}

/** Queries times headDim ** -0.5, padded with zeros to rowFloats. */
function copyQueries(s: u32, firstHead: u32, heads: u32, to: usize): void {
  const d = shape.headDim();
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>d);
  const row = batch.firstRow(param(4) + s);
  let from = <usize>(param(2) + (row * shape.queryHeads() + firstHead) * d * 4);
  const pad = shape.rowFloats() - d;
  for (let h: u32 = 0; h < heads; h++) {
    for (let i: u32 = 0; i < d; i++, from += 4, to += 4) store<f32>(to, load<f32>(from) * scale);
    for (let i: u32 = 0; i < pad; i++, to += 4) store<f32>(to, 0);
  }
}

/** Joins the chunks of one head of one sequence, in ascending order. */
export function mergeItem(item: u32): void {
  const queryHeads = shape.queryHeads();
  const s = item / queryHeads;
  const h = item % queryHeads;
  const chunks = chunksOf(s);
  if (chunks == 0) return;
  const first = partial(s, h, 0);
  const bytes = <usize>(shape.rowFloats() * 4);
  const stride = bytes + 16;
  let largest = load<f32>(first);
  for (let c: u32 = 1; c < chunks; c++) largest = max<f32>(largest, load<f32>(first + <usize>c * stride));
  let mass: f32 = 0;
  for (let c: u32 = 0; c < chunks; c++) {
    const from = first + <usize>c * stride;
    const factor = exp1(load<f32>(from) - largest);
    mass += load<f32>(from, 4) * factor;
    const f = f32x4.splat(factor);
    if (c == 0)
      for (let i: usize = 0; i < bytes; i += 16) v128.store(first + i, f32x4.mul(v128.load(first + i, 16), f), 16);
    else
      for (let i: usize = 0; i < bytes; i += 16)
        v128.store(first + i, madd(v128.load(from + i, 16), f, v128.load(first + i, 16)), 16);
  }
  const d = shape.headDim();
  const row = batch.firstRow(param(4) + s);
  const out = <usize>(param(3) + (row * queryHeads + h) * d * 4);
  for (let i: usize = 0; i < <usize>(d * 4); i += 4) store<f32>(out + i, load<f32>(first + i, 16) / mass);
}
