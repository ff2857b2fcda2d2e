/**
 * Split-KV attention of one row a sequence, dense or over selected tokens, in splits of SPLIT positions. Both build a list
 * of row addresses and run the same kernel, so that a selection of everything equals dense bit for bit. A list serves the
 * query heads that read the same kv head and the same tokens: each K and V row is read once for all of them.
 */
import { logits1, logits2, softmax, values1, values2 } from "./attention-tiles";
import { fork, streamThreads } from "./control";
import { SPLIT as SPLIT_POSITIONS } from "./layout";
import { exp1, madd } from "./math";
import { batch, cache, limits, model, param, region, scratch, setParam, tuning, workers } from "./state";

const SPLIT: u32 = SPLIT_POSITIONS;

/** Parameters of the job. Keys and values are offsets of the layer. */
const KEYS: usize = 0;
const VALUES: usize = 1;
const QUERY: usize = 2;
const OUTPUT: usize = 3;
const FIRST: usize = 4;
/** Sequences. */
const COUNT: usize = 5;
/** Lists of a sequence. */
const LISTS: usize = 6;
/** Selected positions; 0 for dense. */
const INDICES: usize = 7;
const GROUPS: usize = 8;
const CAPACITY: usize = 9;
/** Selected positions of each sequence. */
const COUNTS: usize = 10;
/** Address of emitted logits; 0 for none. */
const SCORES: usize = 11;
const SCORES_CAPACITY: usize = 12;
const SCORES_ONLY: usize = 13;
/** Lists of an item. */
const SPAN: usize = 14;

/** Scratch bytes for the row addresses of a split, padded to a tile, and for the word that `touch` leaves behind. */
const ADDRESSES: u32 = SPLIT * 4 + 128;

/** Items per thread from which on an item takes all kv heads of a split. */
const ITEMS_PER_THREAD: u32 = 4;

/** Scratch: row addresses, logits [head][SPLIT], queries [head][rowFloats]. */
export function attentionScratch(): u32 {
  return ADDRESSES + model.queryHeads() * (SPLIT + cache.rowFloats()) * 4;
}

export function attend(layer: u32, first: u32, count: u32, query: usize, output: usize, indices: usize, groups: u32,
  indexCapacity: u32, counts: usize, scores: usize, scoresCapacity: u32, scoresOnly: u32): void {
  const lists = groups == model.queryHeads() ? groups : model.kvHeads();
  setParam(KEYS, <u32>cache.keys(layer));
  setParam(VALUES, <u32>cache.values(layer));
  setParam(QUERY, <u32>query);
  setParam(OUTPUT, <u32>output);
  setParam(FIRST, first);
  setParam(COUNT, count);
  setParam(LISTS, lists);
  setParam(INDICES, <u32>indices);
  setParam(GROUPS, groups);
  setParam(CAPACITY, indexCapacity);
  setParam(COUNTS, <u32>counts);
  setParam(SCORES, <u32>scores);
  setParam(SCORES_CAPACITY, scoresCapacity);
  setParam(SCORES_ONLY, scoresOnly);
  let splits: u32 = 0;
  for (let s: u32 = 0; s < count; s++) splits += splitsOf(s);
  // Counts every split as a full one.
  const threads = streamThreads(<u64>(splits * lists) * (SPLIT * cache.slotBytes()));
  const takers = min<u32>(threads, workers() + 1);
  const isEnough = takers < 2 || splits >= takers * ITEMS_PER_THREAD;
  const span: u32 = groups == 1 && isEnough && tuning.attendSpan() ? lists : 1;
  setParam(SPAN, span);
  fork(attendItem, splits * (lists / span), threads);
  if (scoresOnly) return;
  fork(combineItem, count * model.queryHeads(), streamThreads(<u64>(splits * model.queryHeads()) * (cache.rowFloats() * 4)));
}

/** Tokens that sequence s of the range attends to; rows of a prefill chunk are another kernel's. */
// @ts-ignore: decorator
@inline function tokensOf(s: u32): u32 {
  if (param(INDICES)) return load<u32>(<usize>(param(COUNTS) + s * 4));
  return batch.rowCount(param(FIRST) + s) == 1 ? batch.length(param(FIRST) + s) : 0;
}

// @ts-ignore: decorator
@inline function splitsOf(s: u32): u32 { return (tokensOf(s) + SPLIT - 1) / SPLIT; }

/** Partial softmax of a head and split: largest logit, mass, two unused words, rowFloats weighted sums. */
// @ts-ignore: decorator
@inline function partial(s: u32, head: u32, split: u32): usize {
  const maxSplits = (limits.length() + SPLIT - 1) / SPLIT;
  return region.partials() + <usize>(((s * model.queryHeads() + head) * maxSplits + split) * (cache.rowFloats() + 4) * 4);
}

/** One split of SPAN lists of a sequence. */
function attendItem(item: u32): void {
  const lists = param(LISTS), span = param(SPAN), perSplit = lists / span;
  let s: u32 = 0;
  let split = item / perSplit;
  const list = item % perSplit * span;
  while (split >= splitsOf(s)) split -= splitsOf(s++);
  const n = min<u32>(SPLIT, tokensOf(s) - split * SPLIT);
  const heads = model.queryHeads() / lists;
  const kvHead = list / (lists / model.kvHeads());
  const firstHead = list * heads;
  const addresses = scratch;
  const logits = addresses + ADDRESSES;
  const queries = logits + <usize>(heads * span * SPLIT * 4);
  const rowBytes = <usize>(cache.rowFloats() * 4);
  const padded = (n + 3) & ~3;
  listRows(addresses, s, list, kvHead, split * SPLIT, n);
  for (let i = n; i < padded; i++)
    store<u32>(addresses + <usize>(i * 4), load<u32>(addresses + <usize>((n - 1) * 4)));
  copyQueries(s, firstHead, heads * span, queries);

  const toNext = <usize>cache.headBytes();
  const block = max<u32>(4, (tuning.attendBlock() / <u32>rowBytes) & ~3);
  for (let r: u32 = 0; r < padded; r += block) {
    const rows = min<u32>(block, padded - r);
    const at = addresses + <usize>(r * 4);
    let keys = <usize>param(KEYS), to = logits + <usize>(r * 4), q = queries;
    for (let l: u32 = 0; l < span; l++, keys += toNext, to += <usize>(heads * SPLIT * 4), q += <usize>heads * rowBytes) {
      if (tuning.attendTouch())
        store<u32>(addresses + ADDRESSES - 4, touch(keys, at, rows, param(SCORES_ONLY) ? <u32>rowBytes : cache.slotBytes()));
      logitsOf(keys, at, rows, q, rowBytes, to, heads);
    }
  }

  const all = heads * span;
  if (param(SCORES))
    for (let h: u32 = 0; h < all; h++)
      memory.copy(<usize>(param(SCORES) + ((s * model.queryHeads() + firstHead + h) * param(SCORES_CAPACITY) + split * SPLIT) * 4),
        logits + <usize>(h * SPLIT * 4), <usize>(n * 4));
  if (param(SCORES_ONLY)) return;

  for (let h: u32 = 0; h < all; h++) softmax(logits + <usize>(h * SPLIT * 4), n, padded, partial(s, firstHead + h, split));
  const toPartial = partial(s, firstHead + 1, split) - partial(s, firstHead, split);
  for (let r: u32 = 0; r < n; r += block) {
    const rows = min<u32>(block, n - r);
    const at = addresses + <usize>(r * 4);
    let values = <usize>param(VALUES), p = logits + <usize>(r * 4), out = partial(s, firstHead, split) + 16;
    for (let l: u32 = 0; l < span; l++, values += toNext, p += <usize>(heads * SPLIT * 4), out += <usize>heads * toPartial)
      valuesOf(values, at, rows, p, rowBytes, out, toPartial, heads, r > 0);
  }
}

/** Logits of the heads that read one list. */
function logitsOf(keys: usize, at: usize, rows: u32, q: usize, bytes: usize, out: usize, heads: u32): void {
  for (; heads > 1; heads -= 2, q += bytes * 2, out += 2 * SPLIT * 4) logits2(keys, at, rows, q, bytes, out);
  if (heads) logits1(keys, at, rows, q, bytes, out);
}

/** Weighted sums of the heads that read one list, `step` bytes from a head's to the next's. */
function valuesOf(values: usize, at: usize, rows: u32, p: usize, bytes: usize, out: usize, step: usize, heads: u32, accumulate: bool): void {
  for (; heads > 1; heads -= 2, p += 2 * SPLIT * 4, out += 2 * step)
    values2(values, at, rows, p, bytes, out, out + step, accumulate);
  if (heads) values1(values, at, rows, p, bytes, out, accumulate);
}

/**
 * Loads one word of each cache line of the rows, K and V. The tiles are too long for the misses of the next rows to begin
 * while one is waited for; here all misses begin at once.
 */
function touch(keys: usize, addresses: usize, rows: u32, bytes: u32): u32 {
  let seen: u32 = 0;
  for (const end = addresses + <usize>(rows * 4); addresses < end; addresses += 4) {
    let p = keys + <usize>load<u32>(addresses);
    for (const stop = p + <usize>bytes; p < stop; p += 64) seen ^= load<u32>(p);
  }
  return seen;
}

/** Addresses in layer 0 of the split's rows. */
function listRows(out: usize, s: u32, list: u32, kvHead: u32, start: u32, n: u32): void {
  const table = batch.pageTable(param(FIRST) + s);
  const shift = cache.pageShift();
  const mask = cache.pageSize() - 1;
  const slotBytes = cache.slotBytes();
  const head = kvHead * cache.headBytes();
  if (param(INDICES)) {
    const extents = cache.extents(), extentShift = cache.extentShift(), pageBytes = cache.pageBytes();
    const group = list * param(GROUPS) / param(LISTS);
    let index = <usize>(param(INDICES) + ((s * param(GROUPS) + group) * param(CAPACITY) + start) * 4);
    for (const end = index + <usize>(n * 4); index < end; index += 4, out += 4) {
      const position = load<u32>(index);
      const page = load<u32>(table + <usize>((position >> shift) * 4));
      store<u32>(out, <u32>cache.pageAt(page, extents, extentShift, pageBytes) + head + (position & mask) * slotBytes);
    }
    return;
  }
  for (let position = start, end = start + n; position < end;) {
    const page = load<u32>(table + <usize>((position >> shift) * 4));
    let row = <u32>cache.page(page) + head + (position & mask) * slotBytes;
    const last = min<u32>(end, (position | mask) + 1);
    for (; position < last; position++, out += 4, row += slotBytes) store<u32>(out, row);
  }
}

/** Queries times headDim ** -0.5, padded with zeros to rowFloats. */
function copyQueries(s: u32, firstHead: u32, heads: u32, to: usize): void {
  const d = model.headDim();
  const scale: f32 = <f32>1 / sqrt<f32>(<f32>d);
  const row = batch.firstRow(param(FIRST) + s);
  let from = <usize>(param(QUERY) + (row * model.queryHeads() + firstHead) * d * 4);
  const pad = cache.rowFloats() - d;
  for (let h: u32 = 0; h < heads; h++) {
    for (let i: u32 = 0; i < d; i++, from += 4, to += 4) store<f32>(to, load<f32>(from) * scale);
    for (let i: u32 = 0; i < pad; i++, to += 4) store<f32>(to, 0);
  }
}

/** Combines the splits of one head of one sequence, in ascending order. */
function combineItem(item: u32): void {
  const queryHeads = model.queryHeads();
  const s = item / queryHeads;
  const h = item % queryHeads;
  const splits = splitsOf(s);
  if (splits == 0) return;
  const first = partial(s, h, 0);
  const bytes = <usize>(cache.rowFloats() * 4);
  const stride = bytes + 16;
  let largest = load<f32>(first);
  for (let i: u32 = 1; i < splits; i++) largest = max<f32>(largest, load<f32>(first + <usize>i * stride));
  let mass: f32 = 0;
  for (let split: u32 = 0; split < splits; split++) {
    const from = first + <usize>split * stride;
    const factor = exp1(load<f32>(from) - largest);
    mass += load<f32>(from, 4) * factor;
    const f = f32x4.splat(factor);
    if (split == 0)
      for (let i: usize = 0; i < bytes; i += 16) v128.store(first + i, f32x4.mul(v128.load(first + i, 16), f), 16);
    else
      for (let i: usize = 0; i < bytes; i += 16)
        v128.store(first + i, madd(v128.load(from + i, 16), f, v128.load(first + i, 16)), 16);
  }
  const d = model.headDim();
  const row = batch.firstRow(param(FIRST) + s);
  const out = <usize>(param(OUTPUT) + (row * queryHeads + h) * d * 4);
  for (let i: usize = 0; i < <usize>(d * 4); i += 4) store<f32>(out + i, load<f32>(first + i, 16) / mass);
}
