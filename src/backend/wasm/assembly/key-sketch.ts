/**
 * Sketches of keys, 4 bits a channel and a scale each, and the scores of queries against them. Four slots of a kv head stand side by
 * side in a tile, [slot / 4][kvHead]: a vector has 8 channels of each, in the lanes that `dot_i16x8_s` adds in pairs, so that sums
 * stay in the lane of their slot. Then come the scales.
 */
import { largestOf, loadInt8 } from "./cache-rows";
import { ALL_THREADS, fork, streamThreads } from "./control";
import { TILE_SLOTS } from "./layout";
import { batch, cache, model, param, scratch, setParam } from "./state";

/** Positions of a score item. */
const POSITIONS: u32 = 256;
/** Scratch bytes ahead of the queries: the mask of a code, and the scores of a tile. */
const AHEAD: u32 = 32;

/** Vectors of a tile: 8 channels each. Channels past headDim have the code 0. */
// @ts-ignore: decorator
@inline function vectors(): u32 { return (model.headDim() + 31) >> 5 << 2; }
// @ts-ignore: decorator
@inline function tileBytes(): u32 { return vectors() * 16 + 16; }
// @ts-ignore: decorator
@inline function tileOf(slot: u32, head: u32): usize { return <usize>(param(2) + ((slot >> 2) * model.kvHeads() + head) * tileBytes()); }
/** A query: 16 bits a channel, then its scale, and 8 times the sum of its codes. */
// @ts-ignore: decorator
@inline function queryBytes(): u32 { return vectors() * 16 + 8; }

/** A key as floats, or what AHEAD counts and the queries of a kv head. */
export function sketchScratch(): u32 {
  return max<u32>(vectors() * 32, AHEAD + (model.queryHeads() / model.kvHeads()) * queryBytes());
}

export function updateKeySketch(layer: u32, first: u32, count: u32, sketch: usize): void {
  // Params: 0 layer, 1 first sequence, 2 sketch.
  setParam(0, layer);
  setParam(1, first);
  setParam(2, <u32>sketch);
  let keys: u32 = 0;
  for (let s = first; s < first + count; s++) keys += batch.length(s) - batch.validBounds(s);
  fork(updateItem, count * model.kvHeads(), streamThreads(<u64>(keys * model.kvHeads()) * cache.slotBytes()));
}

/** One kv head of one sequence. */
function updateItem(item: u32): void {
  const kvHeads = model.kvHeads();
  const s = param(1) + item / kvHeads;
  const head = item % kvHeads;
  const table = batch.pageTable(s);
  const shift = cache.pageShift();
  const mask = cache.pageSize() - 1;
  const inPage = cache.keys(param(0)) + <usize>(head * cache.headBytes());
  const length = batch.length(s);
  const d = model.headDim();
  memory.fill(scratch, 0, <usize>(vectors() * 32));
  for (let position = batch.validBounds(s); position < length; position++) {
    const page = load<u32>(table + <usize>((position >> shift) * 4));
    const key = cache.page(page) + inPage + <usize>((position & mask) * cache.slotBytes());
    if (cache.isInt8()) {
      const scale = v128.load32_splat(key + <usize>cache.scalesAt());
      for (let i: u32 = 0; i < cache.rowFloats(); i += 4)
        v128.store(scratch + <usize>(i * 4), loadInt8(key + <usize>i, scale));
    } else memory.copy(scratch, key, <usize>(d * 4));
    const slot = (page << shift) + (position & mask);
    encode(tileOf(slot, head) + <usize>((slot & 3) * 4), d);
  }
}

/** Sketches the key in scratch to its words of a tile. */
function encode(to: usize, d: u32): void {
  const scale: f32 = largestOf(scratch, d) / <f32>7;
  const end = to + <usize>(vectors() * 16);
  store<f32>(end, scale);
  if (scale == 0) {
    for (; to < end; to += 16) store<u32>(to, 0x88888888);
    return;
  }
  const by = f32x4.splat(scale);
  for (let from = scratch; to < end; to += 16, from += 32) {
    // The even channels of 8 are the codes of the low half of the word, the odd ones those of the high half.
    const low = i32x4.mul(codes(from, by), i32x4(1, 1 << 16, 1 << 4, 1 << 20));
    const high = i32x4.mul(codes(from + 16, by), i32x4(1 << 8, 1 << 24, 1 << 12, 1 << 28));
    store<i32>(to, sumOf(i32x4.add(low, high)));
  }
}

/** The codes + 8 of 4 channels. */
// @ts-ignore: decorator
@inline function codes(from: usize, scale: v128): v128 {
  const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(from), scale)));
  return i32x4.add(i32x4.max_s(i32x4.min_s(q, i32x4.splat(7)), i32x4.splat(-7)), i32x4.splat(8));
}

// @ts-ignore: decorator
@inline function sumOf(v: v128): i32 {
  const pairs = i32x4.add(v, i8x16.shuffle(v, v, 8, 9, 10, 11, 12, 13, 14, 15, 0, 1, 2, 3, 4, 5, 6, 7));
  return i32x4.extract_lane(pairs, 0) + i32x4.extract_lane(pairs, 1);
}

/** Largest score of the query heads of each kv head. */
export function sketchScores(first: u32, count: u32, query: usize, sketch: usize, out: usize, capacity: u32): void {
  // Params: 0 first sequence, 1 query, 2 sketch, 3 out, 4 capacity.
  setParam(0, first);
  setParam(1, <u32>query);
  setParam(2, <u32>sketch);
  setParam(3, <u32>out);
  setParam(4, capacity);
  let items: u32 = 0;
  for (let s: u32 = 0; s < count; s++) items += itemsOf(first + s);
  fork(scoresItem, items * model.kvHeads(), ALL_THREADS);
}

// @ts-ignore: decorator
@inline function itemsOf(s: u32): u32 { return (batch.length(s) + POSITIONS - 1) / POSITIONS; }

/** POSITIONS positions of one kv head. */
function scoresItem(item: u32): void {
  const kvHeads = model.kvHeads();
  const kvHead = item % kvHeads;
  let block = item / kvHeads;
  let s = param(0);
  while (block >= itemsOf(s)) block -= itemsOf(s++);
  roundQueries(s, kvHead);
  v128.store(scratch, i16x8.splat(15));
  const table = batch.pageTable(s);
  const first = block * POSITIONS;
  const last = min<u32>(batch.length(s), first + POSITIONS);
  const to = <usize>(param(3) + ((s - param(0)) * kvHeads + kvHead) * param(4) * 4);
  const tiles = tileOf(0, kvHead);
  const stride = kvHeads * tileBytes();
  const heads = model.queryHeads() / kvHeads;
  const n = vectors();
  // The slots of a tile are those of one page, unless pages are smaller.
  const slots = min<u32>(TILE_SLOTS, cache.pageSize());
  for (let position = first; position < last; position += slots) {
    const slot = slotOf(table, position);
    const best = scoreTile(tiles + <usize>((slot >> 2) * stride), n, heads);
    const at = to + <usize>(position * 4);
    const valid = min<u32>(slots, last - position);
    if (valid == 4) v128.store(at, best);
    else {
      v128.store(scratch + 16, best);
      memory.copy(at, scratch + 16 + <usize>((slot & 3) * 4), <usize>(valid * 4));
    }
  }
}

// @ts-ignore: decorator
@inline function slotOf(table: usize, position: u32): u32 {
  const page = load<u32>(table + <usize>((position >> cache.pageShift()) * 4));
  return (page << cache.pageShift()) + (position & (cache.pageSize() - 1));
}

/** The best scores of the slots of a tile. Takes query heads by four: more sums and queries would not fit into registers. */
// @ts-ignore: decorator
@inline function scoreTile(tile: usize, n: u32, heads: u32): v128 {
  let best = f32x4.splat(-Infinity);
  let q = scratch + AHEAD;
  for (; heads >= 4; heads -= 4, q += <usize>((n * 16 + 8) * 4)) best = score4(tile, n, q, best);
  if (heads >= 2) {
    best = score2(tile, n, q, best);
    q += <usize>((n * 16 + 8) * 2);
  }
  return heads & 1 ? score1(tile, n, q, best) : best;
}

function score4(tile: usize, n: u32, q: usize, best: v128): v128 { return score(tile, n, q, best, 4); }
function score2(tile: usize, n: u32, q: usize, best: v128): v128 { return score(tile, n, q, best, 2); }
function score1(tile: usize, n: u32, q: usize, best: v128): v128 { return score(tile, n, q, best, 1); }

/** Raises the scores of a tile to those of `heads` queries, which stand interleaved: see roundQueries. */
// @ts-ignore: decorator
@inline function score(tile: usize, n: u32, q: usize, best: v128, heads: i32): v128 {
  // Loaded: a constant would be made anew in every pass.
  const mask = v128.load(scratch);
  let a = i32x4.splat(0), b = i32x4.splat(0), c = i32x4.splat(0), d = i32x4.splat(0);
  for (const end = tile + <usize>(n * 16); tile < end; tile += 16) {
    let codes = v128.load(tile);
    for (const next = q + <usize>(16 * heads); q < next; q += <usize>(4 * heads)) {
      const pairs = v128.and(codes, mask);
      codes = i16x8.shr_u(codes, 4);
      a = i32x4.add(a, i32x4.dot_i16x8_s(pairs, v128.load32_splat(q)));
      if (heads > 1) b = i32x4.add(b, i32x4.dot_i16x8_s(pairs, v128.load32_splat(q, 4)));
      if (heads > 2) {
        c = i32x4.add(c, i32x4.dot_i16x8_s(pairs, v128.load32_splat(q, 8)));
        d = i32x4.add(d, i32x4.dot_i16x8_s(pairs, v128.load32_splat(q, 12)));
      }
    }
  }
  const scales = v128.load(tile);
  const sums = q + <usize>(4 * heads);
  best = better(best, a, scales, q, sums);
  if (heads > 1) best = better(best, b, scales, q + 4, sums + 4);
  if (heads > 2) {
    best = better(best, c, scales, q + 8, sums + 8);
    best = better(best, d, scales, q + 12, sums + 12);
  }
  return best;
}

/** The larger of each score and the logit of a sum of query codes times key codes + 8; that score if the logit is NaN. */
// @ts-ignore: decorator
@inline function better(best: v128, sum: v128, keyScales: v128, queryScale: usize, eightfold: usize): v128 {
  const exact = f32x4.convert_i32x4_s(i32x4.sub(sum, v128.load32_splat(eightfold)));
  return f32x4.pmax(best, f32x4.mul(f32x4.mul(exact, keyScales), v128.load32_splat(queryScale)));
}

/**
 * The queries of a kv head in 16 bits, in runs of 4, 2 and 1 heads: pairs of channels, [pair][head of the run], then the scales
 * times the attention scale, then 8 times the sums.
 */
function roundQueries(s: u32, kvHead: u32): void {
  const d = model.headDim();
  let heads = model.queryHeads() / model.kvHeads();
  let query = <usize>(param(1) + (batch.firstRow(s) * model.queryHeads() + kvHead * heads) * d * 4);
  let to = scratch + AHEAD;
  while (heads > 0) {
    const run: u32 = heads >= 4 ? 4 : heads >= 2 ? 2 : 1;
    for (let h: u32 = 0; h < run; h++, query += <usize>(d * 4)) roundQuery(query, d, to + <usize>(h * 4), <usize>(run * 4));
    to += <usize>(run * queryBytes());
    heads -= run;
  }
}

/** step: bytes from a pair of channels to the next */
function roundQuery(query: usize, d: u32, to: usize, step: usize): void {
  const scale: f32 = largestOf(query, d) / <f32>32767;
  const end = to + <usize>(vectors() * 4) * step;
  store<f32>(end, scale * model.attentionScale());
  if (scale == 0) d = 0;
  const by = f32x4.splat(scale);
  let sums = i32x4.splat(0);
  let i: u32 = 0;
  for (; i + 4 <= d; i += 4, query += 16, to += 2 * step) {
    const q = queryCodes(v128.load(query), by);
    sums = i32x4.add(sums, q);
    const pairs = i16x8.narrow_i32x4_s(q, q);
    v128.store32_lane(to, pairs, 0);
    v128.store32_lane(to + step, pairs, 1);
  }
  let sum = sumOf(sums);
  for (; to < end; to += step) {
    const even = i < d ? oneCode(query, scale) : 0;
    const odd = i + 1 < d ? oneCode(query + 4, scale) : 0;
    store<i16>(to, <i16>even);
    store<i16>(to, <i16>odd, 2);
    sum += even + odd;
    i += 2;
    query += 8;
  }
  store<i32>(end + step, 8 * sum);
}

// @ts-ignore: decorator
@inline function queryCodes(q: v128, scale: v128): v128 {
  const codes = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(q, scale)));
  return i32x4.max_s(i32x4.min_s(codes, i32x4.splat(32767)), i32x4.splat(-32767));
}

// @ts-ignore: decorator
@inline function oneCode(q: usize, scale: f32): i32 { return i32x4.extract_lane(queryCodes(v128.load32_splat(q), f32x4.splat(scale)), 0); }
