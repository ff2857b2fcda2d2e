/** RMS norm, RoPE, and the copy of new keys and values into their pages. */
import { storeInt8 } from "./cache-rows";
import { fork, ALL_THREADS } from "./control";
import { madd, sum4 } from "./math";
import { batch, cache, model, param, region, setParam } from "./state";

/** out = x / rms(x) * weight over n floats. May run in place. */
export function rmsNorm(x: usize, n: u32, weight: usize, out: usize): void {
  let a = f32x4.splat(0), b = a;
  const bytes = <usize>(n * 4);
  const wide = bytes & ~31;
  let i: usize = 0;
  for (; i < wide; i += 32) {
    const u = v128.load(x + i), v = v128.load(x + i, 16);
    a = madd(u, u, a);
    b = madd(v, v, b);
  }
  let squares = sum4(f32x4.add(a, b));
  for (; i < bytes; i += 4) squares += load<f32>(x + i) * load<f32>(x + i);
  const scale: f32 = <f32>1 / sqrt<f32>(squares / <f32>n + model.eps());
  const s = f32x4.splat(scale);
  const four = bytes & ~15;
  for (i = 0; i < four; i += 16)
    v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), s), v128.load(weight + i)));
  for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(x + i) * scale * load<f32>(weight + i));
}

/**
 * normed[i] = norm(x[i]), or norm(x[logitsRow(i)]) if gathered. Params: 0 x, 1 norm weight, 2 rows, 3 gathered.
 */
export function normRows(x: usize, weight: usize, rows: u32, gathered: bool): void {
  setParam(0, <u32>x);
  setParam(1, <u32>weight);
  setParam(2, rows);
  setParam(3, u32(gathered));
  fork(normItem, (rows + 7) / 8, ALL_THREADS);
}

/** Eight rows. */
function normItem(item: u32): void {
  const n = model.hidden();
  const last = min<u32>(param(2), item * 8 + 8);
  for (let row = item * 8; row < last; row++) {
    const from = param(3) ? batch.logitsRow(row) : row;
    rmsNorm(<usize>(param(0) + from * n * 4), n, <usize>param(1), region.normed() + <usize>(row * n * 4));
  }
}

/** x[i] += norm(result[i]). Overwrites `result`. Params: 0 result, 1 norm weight, 2 rows, 3 x. */
export function addNormRows(result: usize, weight: usize, rows: u32, x: usize): void {
  setParam(0, <u32>result);
  setParam(1, <u32>weight);
  setParam(2, rows);
  setParam(3, <u32>x);
  fork(addNormItem, (rows + 7) / 8, ALL_THREADS);
}

/** Eight rows. */
function addNormItem(item: u32): void {
  const n = model.hidden();
  const last = min<u32>(param(2), item * 8 + 8);
  for (let row = item * 8; row < last; row++) {
    const at = <usize>(row * n * 4);
    const result = <usize>param(0) + at;
    rmsNorm(result, n, <usize>param(1), result);
    addScaled(<usize>param(3) + at, result, 1, n);
  }
}

/** x += scale * y over n floats. */
export function addScaled(x: usize, y: usize, scale: f32, n: u32): void {
  const s = f32x4.splat(scale);
  const bytes = <usize>(n * 4);
  const four = bytes & ~15;
  let i: usize = 0;
  for (; i < four; i += 16) v128.store(x + i, f32x4.add(v128.load(x + i), f32x4.mul(s, v128.load(y + i))));
  for (; i < bytes; i += 4) store<f32>(x + i, load<f32>(x + i) + scale * load<f32>(y + i));
}

/** Rotates element i with element i + headDim/2. rope: cos of the angles, then sin. */
function rotate(head: usize, rope: usize): void {
  const half = <usize>(model.headDim() * 2);
  const four = half & ~15;
  let i: usize = 0;
  for (; i < four; i += 16) {
    const c = v128.load(rope + i), s = v128.load(rope + half + i);
    const a = v128.load(head + i), b = v128.load(head + half + i);
    v128.store(head + i, f32x4.sub(f32x4.mul(a, c), f32x4.mul(b, s)));
    v128.store(head + half + i, f32x4.add(f32x4.mul(b, c), f32x4.mul(a, s)));
  }
  for (; i < half; i += 4) {
    const c = load<f32>(rope + i), s = load<f32>(rope + half + i);
    const a = load<f32>(head + i), b = load<f32>(head + half + i);
    store<f32>(head + i, a * c - b * s);
    store<f32>(head + half + i, b * c + a * s);
  }
}

/**
 * Norm of each q and k head if given, RoPE, and the copy of k and v into their pages. Params: 0 layer, 1 query, 2 query
 * norm or 0, 3 key norm or 0, 4 and 5 the RoPE tables of queries and keys, 6 and 7 copies of queries and keys before RoPE, or 0.
 */
export function finishRows(layer: u32, query: usize, qNorm: usize, kNorm: usize, rows: u32, queryRope: u32, keyRope: u32, rawQuery: usize, rawKeys: usize): void {
  setParam(0, layer);
  setParam(1, <u32>query);
  setParam(2, <u32>qNorm);
  setParam(3, <u32>kNorm);
  setParam(4, queryRope);
  setParam(5, keyRope);
  setParam(6, <u32>rawQuery);
  setParam(7, <u32>rawKeys);
  fork(finishItem, rows, ALL_THREADS);
}

/** One row. */
function finishItem(row: u32): void {
  const d = model.headDim();
  const bytes = <usize>(d * 4);
  const queryRope = batch.rope(param(4), row);
  const keyRope = batch.rope(param(5), row);
  const queryHeads = model.queryHeads();
  const kvHeads = model.kvHeads();
  let q = <usize>(param(1) + row * queryHeads * d * 4);
  for (let h: u32 = 0; h < queryHeads; h++, q += bytes) {
    if (param(2)) rmsNorm(q, d, <usize>param(2), q);
    if (param(6)) memory.copy(<usize>(param(6) + (row * queryHeads + h) * d * 4), q, bytes);
    rotate(q, queryRope);
  }
  const slot = batch.slot(row);
  const inPage = (slot & (cache.pageSize() - 1)) * cache.slotBytes();
  const inLayer0 = cache.page(slot >> cache.pageShift()) + <usize>inPage;
  const keys = inLayer0 + cache.keys(param(0));
  const values = inLayer0 + cache.values(param(0));
  let k = region.newKeys() + <usize>(row * kvHeads * d * 4);
  let v = region.newValues() + <usize>(row * kvHeads * d * 4);
  for (let h: u32 = 0; h < kvHeads; h++, k += bytes, v += bytes) {
    if (param(3)) rmsNorm(k, d, <usize>param(3), k);
    if (param(7)) memory.copy(<usize>(param(7) + (row * kvHeads + h) * d * 4), k, bytes);
    rotate(k, keyRope);
    const head = <usize>(h * cache.headBytes());
    if (cache.isInt8()) {
      const scales = keys + head + <usize>cache.scalesAt();
      storeInt8(k, d, keys + head, scales);
      storeInt8(v, d, values + head, scales + 4);
    } else {
      memory.copy(keys + head, k, bytes);
      memory.copy(values + head, v, bytes);
    }
  }
}
