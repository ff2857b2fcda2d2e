/**
 * Inner products of `attention.ts` over int8 rows, with 16-bit queries and weights: a product of 8 elements takes one instruction
 * where f32 takes four. Sums of a split fit 32 bits, and scales are applied to sums. Rounding to 16 bits is 250 times
 * finer than that of the rows themselves.
 */
import { largestOf } from "./cache-rows";
import { SPLIT } from "./layout";
import { cache } from "./state";

/** From the 16-bit weights of a head to the next head's. */
const SPLIT_BYTES: usize = SPLIT * 2;
/** The largest magnitude of a 16-bit query or weight. */
const MOST: u32 = 32767;
/** Sums of products with int8 stay below 2^31 up to this sum of 16-bit magnitudes. */
const MOST_SUM: u32 = 16909320;

/** Scales of a list's rows: those of keys to `keyScales`, those of values to `valueScales`. keys: offset of the list's keys. */
export function listScales(keys: usize, addresses: usize, rows: u32, keyScales: usize, valueScales: usize): void {
  const base = keys + <usize>cache.scalesAt();
  for (const end = addresses + <usize>(rows * 4); addresses < end; addresses += 4, keyScales += 4, valueScales += 4) {
    const at = base + <usize>load<u32>(addresses);
    store<f32>(keyScales, load<f32>(at));
    store<f32>(valueScales, load<f32>(at, 4));
  }
}

/** Replaces queries f32 [head][n] by i16 [head][n] from the same address on, and stores their scales. */
export function quantizeQueries(queries: usize, heads: u32, n: u32, scales: usize): void {
  const bytes = <usize>(n * 4);
  let to = queries;
  for (let h: u32 = 0; h < heads; h++, queries += bytes, to += bytes / 2)
    store<f32>(scales + <usize>(h * 4), toInt16(queries, n, min<u32>(MOST, MOST_SUM / n), to));
}

/** Replaces weights [n] by their products with the values' scales, as i16 in `to`; returns the scale of those. */
export function quantizeWeights(weights: usize, valueScales: usize, n: u32, to: usize): f32 {
  for (let i: usize = 0; i < <usize>(n * 4); i += 16)
    v128.store(weights + i, f32x4.mul(v128.load(weights + i), v128.load(valueScales + i)));
  return toInt16(weights, n, MOST, to);
}

/** n floats (a multiple of 4) as i16 of magnitudes up to `most`; returns their scale, which is NaN if a float is. */
function toInt16(x: usize, n: u32, most: u32, to: usize): f32 {
  const scale: f32 = largestOf(x, n) / <f32>most;
  const s = f32x4.splat(scale == 0 ? Infinity : scale);
  for (const end = x + <usize>(n * 4); x < end; x += 16, to += 8) {
    const q = i32x4.trunc_sat_f32x4_s(f32x4.nearest(f32x4.div(v128.load(x), s)));
    v128.store64_lane(to, i16x8.narrow_i32x4_s(q, q), 0);
  }
  return scale;
}

/** [Σa, Σb, Σc, Σd] */
// @ts-ignore: decorator
@inline function sumRows(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return f32x4.convert_i32x4_s(i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7)));
}

/** Logits of 2 heads against all rows, 4 at a time. q: i16; bytes: of an int8 row; scales: of the two heads' queries. */
export function logits2Int8(keys: usize, addresses: usize, rows: u32, q: usize, bytes: usize, keyScales: usize, scales: usize, out: usize): void {
  const s0 = v128.load32_splat(scales), s1 = v128.load32_splat(scales, 4);
  for (const end = addresses + <usize>(rows * 4); addresses < end; addresses += 16, out += 16, keyScales += 16) {
    let k0 = keys + <usize>load<u32>(addresses), k1 = keys + <usize>load<u32>(addresses, 4);
    let k2 = keys + <usize>load<u32>(addresses, 8), k3 = keys + <usize>load<u32>(addresses, 12);
    let q0 = q, q1 = q + bytes * 2;
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    let u: v128, v: v128, k: v128;
    const stop = q1;
    while (q0 < stop) {
    for (; q0 < stop; q0 += 16, q1 += 16, k0 += 8, k1 += 8, k2 += 8, k3 += 8) {
      u = v128.load(q0); v = v128.load(q1);
      k = v128.load8x8_s(k0); a0 = i32x4.add(a0, i32x4.dot_i16x8_s(u, k)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(v, k));
      k = v128.load8x8_s(k1); a1 = i32x4.add(a1, i32x4.dot_i16x8_s(u, k)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(v, k));
      k = v128.load8x8_s(k2); a2 = i32x4.add(a2, i32x4.dot_i16x8_s(u, k)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(v, k));
      k = v128.load8x8_s(k3); a3 = i32x4.add(a3, i32x4.dot_i16x8_s(u, k)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(v, k));
    }
    }
    k = v128.load(keyScales);
    v128.store(out, f32x4.mul(sumRows(a0, a1, a2, a3), f32x4.mul(k, s0)));
    v128.store(out, f32x4.mul(sumRows(b0, b1, b2, b3), f32x4.mul(k, s1)), SPLIT * 4);
  }
}

/** Logits of one head. */
export function logits1Int8(keys: usize, addresses: usize, rows: u32, q: usize, bytes: usize, keyScales: usize, scale: usize, out: usize): void {
  const s = v128.load32_splat(scale);
  for (const end = addresses + <usize>(rows * 4); addresses < end; addresses += 16, out += 16, keyScales += 16) {
    let k0 = keys + <usize>load<u32>(addresses), k1 = keys + <usize>load<u32>(addresses, 4);
    let k2 = keys + <usize>load<u32>(addresses, 8), k3 = keys + <usize>load<u32>(addresses, 12);
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    let q0 = q;
    const stop = q + bytes * 2;
    while (q0 < stop) {
    for (; q0 < stop; q0 += 16, k0 += 8, k1 += 8, k2 += 8, k3 += 8) {
      const u = v128.load(q0);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(u, v128.load8x8_s(k0)));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(u, v128.load8x8_s(k1)));
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(u, v128.load8x8_s(k2)));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(u, v128.load8x8_s(k3)));
    }
    }
    v128.store(out, f32x4.mul(sumRows(a0, a1, a2, a3), f32x4.mul(v128.load(keyScales), s)));
  }
}

/** Stores 4 channels' sums times the weights' scale. */
// @ts-ignore: decorator
@inline function put(out: usize, sums: v128, scale: v128): void {
  v128.store(out, f32x4.mul(f32x4.convert_i32x4_s(sums), scale));
}

/**
 * out[head] = Σ_row w[head][row] * V[row] for 2 heads, 16 channels of two rows at a time: rows are paired in registers, so
 * that those of a selection are as well. rows: even; w: i16; scales: of the two heads' weights.
 */
export function values2Int8(values: usize, addresses: usize, rows: u32, w: usize, bytes: usize, scales: usize, out0: usize, out1: usize): void {
  const end = addresses + <usize>(rows * 4);
  const s0 = v128.load32_splat(scales), s1 = v128.load32_splat(scales, 4);
  let d: usize = 0;
  for (; d + 16 <= bytes; d += 16) {
    const base = values + d;
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    let p = w;
    for (let o = addresses; o < end;) for (; o < end; o += 8, p += 4) {
      const r0 = base + <usize>load<u32>(o), r1 = base + <usize>load<u32>(o, 4);
      const u = v128.load32_splat(p), v = v128.load32_splat(p, SPLIT_BYTES);
      let x = v128.load8x8_s(r0), y = v128.load8x8_s(r1);
      let z = v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(u, z)); b0 = i32x4.add(b0, i32x4.dot_i16x8_s(v, z));
      z = v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(u, z)); b1 = i32x4.add(b1, i32x4.dot_i16x8_s(v, z));
      x = v128.load8x8_s(r0, 8); y = v128.load8x8_s(r1, 8);
      z = v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11);
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(u, z)); b2 = i32x4.add(b2, i32x4.dot_i16x8_s(v, z));
      z = v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15);
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(u, z)); b3 = i32x4.add(b3, i32x4.dot_i16x8_s(v, z));
    }
    const at0 = out0 + d * 4, at1 = out1 + d * 4;
    put(at0, a0, s0); put(at0 + 16, a1, s0); put(at0 + 32, a2, s0); put(at0 + 48, a3, s0);
    put(at1, b0, s1); put(at1 + 16, b1, s1); put(at1 + 32, b2, s1); put(at1 + 48, b3, s1);
  }
  for (; d < bytes; d += 8) {
    values1Last(values + d, addresses, end, w, s0, out0 + d * 4);
    values1Last(values + d, addresses, end, w + SPLIT_BYTES, s1, out1 + d * 4);
  }
}

/** `values2Int8` for one head. */
export function values1Int8(values: usize, addresses: usize, rows: u32, w: usize, bytes: usize, scale: usize, out: usize): void {
  const end = addresses + <usize>(rows * 4);
  const s = v128.load32_splat(scale);
  let d: usize = 0;
  for (; d + 16 <= bytes; d += 16) {
    const base = values + d;
    let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    let p = w;
    for (let o = addresses; o < end;) for (; o < end; o += 8, p += 4) {
      const r0 = base + <usize>load<u32>(o), r1 = base + <usize>load<u32>(o, 4);
      const u = v128.load32_splat(p);
      let x = v128.load8x8_s(r0), y = v128.load8x8_s(r1);
      a0 = i32x4.add(a0, i32x4.dot_i16x8_s(u, v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11)));
      a1 = i32x4.add(a1, i32x4.dot_i16x8_s(u, v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15)));
      x = v128.load8x8_s(r0, 8); y = v128.load8x8_s(r1, 8);
      a2 = i32x4.add(a2, i32x4.dot_i16x8_s(u, v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11)));
      a3 = i32x4.add(a3, i32x4.dot_i16x8_s(u, v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15)));
    }
    const at = out + d * 4;
    put(at, a0, s); put(at + 16, a1, s); put(at + 32, a2, s); put(at + 48, a3, s);
  }
  for (; d < bytes; d += 8) values1Last(values + d, addresses, end, w, s, out + d * 4);
}

/** The last 8 channels of one head. */
function values1Last(values: usize, addresses: usize, end: usize, w: usize, scale: v128, out: usize): void {
  let a0 = i32x4.splat(0), a1 = a0;
  for (; addresses < end; addresses += 8, w += 4) {
    const u = v128.load32_splat(w);
    const x = v128.load8x8_s(values + <usize>load<u32>(addresses)), y = v128.load8x8_s(values + <usize>load<u32>(addresses, 4));
    a0 = i32x4.add(a0, i32x4.dot_i16x8_s(u, v128.shuffle<i16>(x, y, 0, 8, 1, 9, 2, 10, 3, 11)));
    a1 = i32x4.add(a1, i32x4.dot_i16x8_s(u, v128.shuffle<i16>(x, y, 4, 12, 5, 13, 6, 14, 7, 15)));
  }
  put(out, a0, scale);
  put(out + 16, a1, scale);
}
