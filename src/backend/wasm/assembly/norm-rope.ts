/** RMS norm, RoPE, and the store of new keys and values into their pages. */
import { madd, sum4 } from "./math";
import { batch, param, shape } from "./state";

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
  const scale: f32 = <f32>1 / sqrt<f32>(squares / <f32>n + shape.eps());
  const s = f32x4.splat(scale);
  const four = bytes & ~15;
  for (i = 0; i < four; i += 16)
    v128.store(out + i, f32x4.mul(f32x4.mul(v128.load(x + i), s), v128.load(weight + i)));
  for (; i < bytes; i += 4) store<f32>(out + i, load<f32>(x + i) * scale * load<f32>(weight + i));
}

/** Params: 0 x, 1 norm weight, 2 rows, 3 non-zero: row i of the result is of x[logitsRow(i)]. Item: 8 rows. */
export function normItem(item: u32): void {
  const n = shape.hidden();
  const last = min<u32>(param(2), item * 8 + 8);
  for (let row = item * 8; row < last; row++) {
    const from = param(3) ? batch.logitsRow(row) : row;
    rmsNorm(<usize>(param(0) + from * n * 4), n, <usize>param(1), shape.normed() + <usize>(row * n * 4));
  }
}

/** Rotates element i with element i + headDim/2. rope: cos of the angles, then sin. */
function rotate(head: usize, rope: usize): void {
  const half = <usize>(shape.headDim() * 2);
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

/** Params: 0 layer, 1 query, 2 query norm, 3 key norm. Item: one row's heads, finished and stored. */
export function finishItem(row: u32): void {
  const d = shape.headDim();
  const bytes = <usize>(d * 4);
  const rope = batch.rope(row);
  const queryHeads = shape.queryHeads();
  const kvHeads = shape.kvHeads();
  let q = <usize>(param(1) + row * queryHeads * d * 4);
  for (let h: u32 = 0; h < queryHeads; h++, q += bytes) {
    if (param(2)) rmsNorm(q, d, <usize>param(2), q);
    rotate(q, rope);
  }
  const slot = batch.slot(row);
  const pageSize = shape.pageSize();
  const page = slot >> shape.pageShift();
  let k = shape.newKeys() + <usize>(row * kvHeads * d * 4);
  let v = shape.newValues() + <usize>(row * kvHeads * d * 4);
  for (let h: u32 = 0; h < kvHeads; h++, k += bytes, v += bytes) {
    if (param(3)) rmsNorm(k, d, <usize>param(3), k);
    rotate(k, rope);
    const at = <usize>((((page * kvHeads + h) << shape.pageShift()) + (slot & (pageSize - 1))) * shape.slotBytes());
    memory.copy(shape.keys(param(0)) + at, k, bytes);
    memory.copy(shape.values(param(0)) + at, v, bytes);
  }
}
