/**
 * Split-KV attention of one row a sequence, dense or over selected tokens, in splits of SPLIT positions. Both build a list
 * of row addresses and run the same kernel, so that a selection of everything equals dense bit for bit. A list serves the
 * query heads that read the same kv head and the same tokens: each K and V row is read once for all of them. Dense attention
 * with a window lists the window's positions alone.
 */
import {
  listScales, logits1Int8, logits2Int8, quantizeQueries, quantizeWeights, values1Int8, values2Int8,
} from "./attention-int8";
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
/** Last positions that dense attention sees; 0 for all. */
const WINDOW: usize = 15;

/** Scratch bytes for the row addresses of a split, padded to a tile, and for the word that `touch` leaves behind. */
const ADDRESSES: u32 = SPLIT * 4 + 128;

/** Items per thread from which on an item takes all kv heads of a split. */
const ITEMS_PER_THREAD: u32 = 4;

/**
 * Scratch: row addresses, logits [head][SPLIT], queries [head][rowFloats]; of an int8 cache also the scales of queries [head], of
 * weights [head], of keys [list][SPLIT] and of values [list][SPLIT], and the weights as i16 [head][SPLIT].
 */
export function attentionScratch(): u32 {
  const heads = model.queryHeads();
  const ofFloats = ADDRESSES + heads * (SPLIT + cache.rowFloats()) * 4;
  return cache.isInt8() ? ofFloats + 2 * <u32>scalesBytes(heads) + heads * SPLIT * (2 * 4 + 2) : ofFloats;
}

/** One scale for each head, in whole vectors. */
// @ts-ignore: decorator
@inline function scalesBytes(heads: u32): usize { return <usize>(((heads + 3) & ~3) * 4); }

export function attend(layer: u32, first: u32, count: u32, query: usize, output: usize, indices: usize, groups: u32,
  indexCapacity: u32, counts: usize, scores: usize, scoresCapacity: u32, scoresOnly: u32, window: u32): void {
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
  setParam(WINDOW, window);
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

/** Tokens of a set of the selection. */
// @ts-ignore: decorator
@inline function tokensOfSet(s: u32, group: u32): u32 {
  return load<u32>(<usize>(param(COUNTS) + (s * param(GROUPS) + group) * 4));
}

/** Maximum tokens that a head of sequence s of the range attends to; rows of a prefill chunk are another kernel's. */
// @ts-ignore: decorator
@inline function tokensOf(s: u32): u32 {
  if (param(INDICES)) {
    let most: u32 = 0;
    for (let group: u32 = 0; group < param(GROUPS); group++) most = max<u32>(most, tokensOfSet(s, group));
    return most;
  }
  if (batch.rowCount(param(FIRST) + s) != 1) return 0;
  const length = batch.length(param(FIRST) + s);
  return param(WINDOW) ? min<u32>(length, param(WINDOW)) : length;
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
  const tokens = param(INDICES) ? tokensOfSet(s, groupOf(list)) : tokensOf(s);
  if (split * SPLIT >= tokens) return; // another set of the sequence has more tokens
  const n = min<u32>(SPLIT, tokens - split * SPLIT);
  const heads = model.queryHeads() / lists;
  const kvHead = list / (lists / model.kvHeads());
  const firstHead = list * heads;
  const addresses = scratch;
  const logits = addresses + ADDRESSES;
  const all = heads * span;
  const padded = (n + 3) & ~3;
  // Dense attention with a window begins past the sequence's start.
  const start = split * SPLIT + (param(INDICES) ? 0 : batch.length(param(FIRST) + s) - tokens);
  listRows(addresses, s, list, kvHead, start, n);
  for (let i = n; i < padded; i++)
    store<u32>(addresses + <usize>(i * 4), load<u32>(addresses + <usize>((n - 1) * 4)));
  copyQueries(s, firstHead, all, queriesOf(all));
  if (cache.isInt8()) quantizeQueries(queriesOf(all), all, cache.rowFloats(), int8Scratch(all));

  readKeys(padded, heads, span);
  if (param(SCORES)) emitScores(s, list, split, n, firstHead, all);
  if (param(SCORES_ONLY)) return;

  for (let h: u32 = 0; h < all; h++) softmax(logits + <usize>(h * SPLIT * 4), n, padded, partial(s, firstHead + h, split));
  if (cache.isInt8())
    for (let h: u32 = 0; h < all; h++)
      store<f32>(weightScales(all) + <usize>(h * 4),
        quantizeWeights(logits + <usize>(h * SPLIT * 4), valueScales(all, span) + <usize>(h / heads * SPLIT * 4), padded,
          weightsOf(all, span) + <usize>(h * SPLIT * 2)));
  const sums = partial(s, firstHead, split) + 16;
  if (cache.isInt8()) readInt8Values(padded, heads, span, sums);
  else readValues(n, heads, span, sums);
}

/** Emits the logits of an item: a run of positions, or the selected ones. */
function emitScores(s: u32, list: u32, split: u32, n: u32, firstHead: u32, heads: u32): void {
  let logits = scratch + ADDRESSES;
  let to = <usize>(param(SCORES) + (s * model.queryHeads() + firstHead) * param(SCORES_CAPACITY) * 4);
  const indices = selectedFrom(s, list, split * SPLIT);
  for (let h: u32 = 0; h < heads; h++, logits += SPLIT * 4, to += <usize>(param(SCORES_CAPACITY) * 4)) {
    if (!param(INDICES)) {
      memory.copy(to + <usize>(split * SPLIT * 4), logits, <usize>(n * 4));
      continue;
    }
    for (let i: usize = 0; i < <usize>(n * 4); i += 4)
      store<f32>(to + <usize>(load<u32>(indices + i) * 4), load<f32>(logits + i));
  }
}

/** Address of a selected position of a list. */
// @ts-ignore: decorator
@inline function selectedFrom(s: u32, list: u32, start: u32): usize {
  return <usize>(param(INDICES) + ((s * param(GROUPS) + groupOf(list)) * param(CAPACITY) + start) * 4);
}

/** Set of a list. */
// @ts-ignore: decorator
@inline function groupOf(list: u32): u32 { return list * param(GROUPS) / param(LISTS); }

/** Parts of the scratch of an item with so many heads and lists. */
// @ts-ignore: decorator
@inline function queriesOf(heads: u32): usize { return scratch + ADDRESSES + <usize>(heads * SPLIT * 4); }
/** Scales of the queries. */
// @ts-ignore: decorator
@inline function int8Scratch(heads: u32): usize { return queriesOf(heads) + <usize>(heads * cache.rowFloats() * 4); }
// @ts-ignore: decorator
@inline function weightScales(heads: u32): usize { return int8Scratch(heads) + scalesBytes(heads); }
// @ts-ignore: decorator
@inline function keyScales(heads: u32): usize { return weightScales(heads) + scalesBytes(heads); }
// @ts-ignore: decorator
@inline function valueScales(heads: u32, lists: u32): usize { return keyScales(heads) + <usize>(lists * SPLIT * 4); }
// @ts-ignore: decorator
@inline function weightsOf(heads: u32, lists: u32): usize { return valueScales(heads, lists) + <usize>(lists * SPLIT * 4); }

/** Rows of a block. */
// @ts-ignore: decorator
@inline function blockRows(): u32 { return max<u32>(4, (tuning.attendBlock() / cache.rowBytes()) & ~3); }

/** Logits of an item's listed rows, and the scales of int8 rows. heads: of a list. rows: a multiple of 4. */
function readKeys(rows: u32, heads: u32, span: u32): void {
  const addresses = scratch, all = heads * span;
  const toNext = <usize>cache.headBytes(), rowBytes = <usize>cache.rowBytes(), isInt8 = cache.isInt8();
  const bytes = param(SCORES_ONLY) ? cache.rowBytes() : cache.slotBytes();
  const queryBytes = <usize>(heads * cache.rowFloats()) << (isInt8 ? 1 : 2);
  const block = blockRows();
  for (let r: u32 = 0; r < rows; r += block) {
    const n = min<u32>(block, rows - r);
    const at = addresses + <usize>(r * 4);
    let keys = <usize>param(KEYS), to = addresses + ADDRESSES + <usize>(r * 4), q = queriesOf(all);
    for (let l: u32 = 0; l < span; l++, keys += toNext, to += <usize>(heads * SPLIT * 4), q += queryBytes) {
      if (tuning.attendTouch()) store<u32>(addresses + ADDRESSES - 4, touch(keys, at, n, bytes));
      if (isInt8) {
        const scales = keyScales(all) + <usize>((l * SPLIT + r) * 4);
        listScales(keys, at, n, scales, scales + <usize>(span * SPLIT * 4));
        logitsOfInt8(keys, at, n, q, rowBytes, scales, int8Scratch(all) + <usize>(l * heads * 4), to, heads);
      } else logitsOf(keys, at, n, q, rowBytes, to, heads);
    }
  }
}

/** Weighted sums of an item's listed rows, to the partials of its heads. */
function readValues(rows: u32, heads: u32, span: u32, sums: usize): void {
  const rowBytes = <usize>cache.rowBytes();
  const toPartial = partial(0, 1, 0) - partial(0, 0, 0);
  const block = blockRows();
  for (let r: u32 = 0; r < rows; r += block) {
    const at = scratch + <usize>(r * 4);
    let values = <usize>param(VALUES), p = at + ADDRESSES, out = sums;
    for (let l: u32 = 0; l < span; l++, values += <usize>cache.headBytes(), p += <usize>(heads * SPLIT * 4), out += <usize>heads * toPartial)
      valuesOf(values, at, min<u32>(block, rows - r), p, rowBytes, out, toPartial, heads, r > 0);
  }
}

/** `readValues` of int8 rows, whose sums are integers until the last row: blocks would round them. rows: even. */
function readInt8Values(rows: u32, heads: u32, span: u32, sums: usize): void {
  const all = heads * span;
  const toPartial = partial(0, 1, 0) - partial(0, 0, 0);
  let values = <usize>param(VALUES), w = weightsOf(all, span), scales = weightScales(all), out = sums;
  for (let l: u32 = 0; l < span; l++, values += <usize>cache.headBytes())
    for (let left = heads; left > 0;) {
      const n = min<u32>(2, left);
      if (n == 2) values2Int8(values, scratch, rows, w, cache.rowBytes(), scales, out, out + toPartial);
      else values1Int8(values, scratch, rows, w, cache.rowBytes(), scales, out);
      left -= n;
      w += <usize>(n * SPLIT * 2);
      scales += <usize>(n * 4);
      out += <usize>n * toPartial;
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

/** `logitsOf` over int8 rows. scales: of the heads' queries. */
function logitsOfInt8(keys: usize, at: usize, rows: u32, q: usize, bytes: usize, ofKeys: usize, scales: usize, out: usize, heads: u32): void {
  for (; heads > 1; heads -= 2, q += bytes * 4, out += 2 * SPLIT * 4, scales += 8)
    logits2Int8(keys, at, rows, q, bytes, ofKeys, scales, out);
  if (heads) logits1Int8(keys, at, rows, q, bytes, ofKeys, scales, out);
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
    let index = selectedFrom(s, list, start);
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

/** Queries times the logits' factor, padded with zeros to rowFloats. */
function copyQueries(s: u32, firstHead: u32, heads: u32, to: usize): void {
  const d = model.headDim();
  const scale = model.attentionScale();
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
  const splits = param(INDICES)
    ? (tokensOfSet(s, h * param(GROUPS) / queryHeads) + SPLIT - 1) / SPLIT
    : splitsOf(s);
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
