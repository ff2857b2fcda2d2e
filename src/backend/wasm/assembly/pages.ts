/** Per-page key bounds, Quest's page scores, and pseudo-random scores. */
import { loadInt8 } from "./cache-rows";
import { fork, ALL_THREADS } from "./control";
import { sum4 } from "./math";
import { batch, cache, model, param, scratch, setParam } from "./state";

/** Units of a page score item. */
const UNITS: u32 = 64;
/** Positions of a random score item. */
const POSITIONS: u32 = 4096;

export function updateBounds(layer: u32, first: u32, count: u32): void {
  // Params: 0 layer, 1 first sequence.
  setParam(0, layer);
  setParam(1, first);
  fork(boundsItem, count * model.kvHeads(), ALL_THREADS);
}

/** One kv head of one sequence. */
function boundsItem(item: u32): void {
  const kvHeads = model.kvHeads();
  const s = param(1) + item / kvHeads;
  const head = item % kvHeads;
  const table = batch.pageTable(s);
  const shift = cache.pageShift();
  const mask = cache.pageSize() - 1;
  const bytes = <usize>(cache.rowFloats() * 4);
  const inPage = cache.keys(param(0)) + <usize>(head * cache.headBytes());
  const length = batch.length(s);
  for (let position = batch.validBounds(s); position < length;) {
    const page = load<u32>(table + <usize>((position >> shift) * 4));
    const least = cache.bounds(param(0), page) + <usize>head * bytes * 2;
    const first = position & mask;
    const last = min<u32>(mask + 1, first + length - position);
    extendBounds(least, cache.page(page) + inPage, bytes, first, last);
    position += last - first;
  }
}

/**
 * Extends a page's bounds by the keys of tokens `first` to `last` - 1, as attention reads them; token 0 starts them. Stores each
 * word once, since another sequence of the step may compute the bounds of a shared page at the same time.
 */
function extendBounds(least: usize, keys: usize, bytes: usize, first: u32, last: u32): void {
  const slotBytes = <usize>cache.slotBytes();
  const isInt8 = cache.isInt8();
  const scales = <usize>cache.scalesAt();
  for (let i: usize = 0; i < bytes; i += 16) {
    let low = v128.load(least + i);
    let high = v128.load(least + bytes + i);
    let key = keys + <usize>first * slotBytes;
    for (let token = first; token < last; token++, key += slotBytes) {
      const k = isInt8 ? loadInt8(key + (i >> 2), v128.load32_splat(key + scales)) : v128.load(key + i);
      low = token == 0 ? k : f32x4.min(low, k);
      high = token == 0 ? k : f32x4.max(high, k);
    }
    v128.store(least + i, low);
    v128.store(least + bytes + i, high);
  }
}

/** Least and greatest key of a unit, then the head group's queries padded to rowFloats. */
export function pagesScratch(): u32 {
  return (2 + model.queryHeads() / model.kvHeads()) * cache.rowFloats() * 4;
}

export function pageScores(layer: u32, first: u32, count: u32, query: usize, out: usize, capacity: u32, unit: u32): void {
  // Params: 0 layer, 1 first sequence, 2 query, 3 out, 4 capacity, 5 unit.
  setParam(0, layer);
  setParam(1, first);
  setParam(2, <u32>query);
  setParam(3, <u32>out);
  setParam(4, capacity);
  setParam(5, unit);
  let items: u32 = 0;
  for (let s: u32 = 0; s < count; s++) items += itemsOf(first + s);
  fork(pageScoresItem, items * model.kvHeads(), ALL_THREADS);
}

/** Items of a kv head of a sequence. */
// @ts-ignore: decorator
@inline function itemsOf(s: u32): u32 { return ((batch.length(s) + param(5) - 1) / param(5) + UNITS - 1) / UNITS; }

/** UNITS units of one kv head, for all query heads that read it. */
function pageScoresItem(item: u32): void {
  const kvHeads = model.kvHeads();
  const heads = model.queryHeads() / kvHeads;
  const kvHead = item % kvHeads;
  let block = item / kvHeads;
  let s = param(1);
  while (block >= itemsOf(s)) block -= itemsOf(s++);
  const bytes = <usize>(cache.rowFloats() * 4);
  const d = model.headDim();
  const least = scratch;
  const greatest = least + bytes;
  const queries = greatest + bytes;
  for (let h: u32 = 0; h < heads; h++) {
    const to = queries + <usize>h * bytes;
    memory.fill(to, 0, bytes);
    memory.copy(to, <usize>(param(2) + (batch.firstRow(s) * model.queryHeads() + kvHead * heads + h) * d * 4), <usize>(d * 4));
  }
  const unit = param(5);
  const length = batch.length(s);
  const last = min<u32>((length + unit - 1) / unit, (block + 1) * UNITS);
  const table = batch.pageTable(s);
  for (let u = block * UNITS; u < last; u++) {
    const from = u * unit;
    const to = min<u32>(length, from + unit);
    for (let p = from; p < to; p += cache.pageSize()) {
      const page = load<u32>(table + <usize>((p >> cache.pageShift()) * 4));
      const at = cache.bounds(param(0), page) + <usize>kvHead * bytes * 2;
      if (p == from) memory.copy(least, at, bytes * 2);
      else
        for (let i: usize = 0; i < bytes; i += 16) {
          v128.store(least + i, f32x4.min(v128.load(least + i), v128.load(at + i)));
          v128.store(greatest + i, f32x4.max(v128.load(greatest + i), v128.load(at + bytes + i)));
        }
    }
    for (let h: u32 = 0; h < heads; h++) {
      const q = queries + <usize>h * bytes;
      let sum = f32x4.splat(0);
      for (let i: usize = 0; i < bytes; i += 16) {
        const v = v128.load(q + i);
        sum = f32x4.add(sum, f32x4.max(f32x4.mul(v, v128.load(least + i)), f32x4.mul(v, v128.load(greatest + i))));
      }
      const row = (s - param(1)) * model.queryHeads() + kvHead * heads + h;
      store<f32>(<usize>(param(3) + (row * param(4) + u) * 4), sum4(sum));
    }
  }
}

/** One round of `hash32` in src/base/random.ts. */
// @ts-ignore: decorator
@inline function mix(word: u32): u32 {
  let h = word + 0x9e3779b9;
  h = (h ^ (h >> 16)) * 0x85ebca6b;
  h = (h ^ (h >> 13)) * 0xc2b2ae35;
  return h ^ (h >> 16);
}

/** stride: floats from a sequence's scores to the next's. */
export function randomScores(layer: u32, first: u32, count: u32, seed: u32, out: usize, stride: u32): void {
  // Params: 0 layer, 1 first sequence, 2 seed, 3 out, 4 stride.
  setParam(0, layer);
  setParam(1, first);
  setParam(2, seed);
  setParam(3, <u32>out);
  setParam(4, stride);
  let items: u32 = 0;
  for (let s: u32 = 0; s < count; s++) items += (batch.length(first + s) + POSITIONS - 1) / POSITIONS;
  fork(randomItem, items, ALL_THREADS);
}

/** POSITIONS positions of one sequence. */
function randomItem(item: u32): void {
  let s = param(1);
  for (;;) {
    const n = (batch.length(s) + POSITIONS - 1) / POSITIONS;
    if (item < n) break;
    item -= n;
    s++;
  }
  const length = batch.length(s);
  const base = mix(mix(mix(param(2)) ^ param(0)) ^ length);
  const last = min<u32>(length, (item + 1) * POSITIONS);
  const out = <usize>(param(3) + (s - param(1)) * param(4) * 4);
  let p = item * POSITIONS;
  for (; p + 4 <= last; p += 4) {
    let h = i32x4.add(i32x4.splat(p), i32x4(0, 1, 2, 3));
    h = i32x4.add(v128.xor(h, i32x4.splat(base)), i32x4.splat(0x9e3779b9));
    h = i32x4.mul(v128.xor(h, i32x4.shr_u(h, 16)), i32x4.splat(0x85ebca6b));
    h = i32x4.mul(v128.xor(h, i32x4.shr_u(h, 13)), i32x4.splat(0xc2b2ae35));
    h = i32x4.shr_u(v128.xor(h, i32x4.shr_u(h, 16)), 8);
    v128.store(out + <usize>(p * 4), f32x4.mul(f32x4.convert_i32x4_s(h), f32x4.splat(1.0 / 16777216.0)));
  }
  for (; p < last; p++)
    store<f32>(out + <usize>(p * 4), <f32>(mix(base ^ p) >> 8) * <f32>(1.0 / 16777216.0));
}
