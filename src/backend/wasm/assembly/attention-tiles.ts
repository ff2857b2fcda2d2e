/**
 * Inner products of `attention.ts`: tiles of rows × heads over a list of row addresses, logits [head][SPLIT]. Each innermost
 * loop stands in another that runs once, which Node 20 compiles better: see tile.ts.
 */
import { SPLIT } from "./layout";
import { exp4, madd, max4, sum4, sumRows } from "./math";

/** From the logits of a head to the next head's. */
const SPLIT_BYTES: usize = SPLIT * 4;

/** Logits of 2 heads against all rows, 4 at a time. rows: a multiple of 4; bytes: size of a cached row. */
export function logits2(keys: usize, addresses: usize, rows: u32, q: usize, bytes: usize, out: usize): void {
  for (const end = addresses + <usize>(rows * 4); addresses < end; addresses += 16, out += 16) {
    let k0 = keys + <usize>load<u32>(addresses), k1 = keys + <usize>load<u32>(addresses, 4);
    let k2 = keys + <usize>load<u32>(addresses, 8), k3 = keys + <usize>load<u32>(addresses, 12);
    let q0 = q, q1 = q + bytes;
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    let u: v128, v: v128, k: v128;
    // Not unrolled: V8 hoists all loads of a block to its top, and those of two vectors spill to the stack.
    const stop = q + bytes;
    while (q0 < stop) {
    for (; q0 < stop; q0 += 16, q1 += 16, k0 += 16, k1 += 16, k2 += 16, k3 += 16) {
      u = v128.load(q0); v = v128.load(q1);
      k = v128.load(k0); a0 = madd(u, k, a0); b0 = madd(v, k, b0);
      k = v128.load(k1); a1 = madd(u, k, a1); b1 = madd(v, k, b1);
      k = v128.load(k2); a2 = madd(u, k, a2); b2 = madd(v, k, b2);
      k = v128.load(k3); a3 = madd(u, k, a3); b3 = madd(v, k, b3);
    }
    }
    v128.store(out, sumRows(a0, a1, a2, a3));
    v128.store(out, sumRows(b0, b1, b2, b3), SPLIT_BYTES);
  }
}

/** Logits of one head. */
export function logits1(keys: usize, addresses: usize, rows: u32, q: usize, bytes: usize, out: usize): void {
  for (const end = addresses + <usize>(rows * 4); addresses < end; addresses += 16, out += 16) {
    let k0 = keys + <usize>load<u32>(addresses), k1 = keys + <usize>load<u32>(addresses, 4);
    let k2 = keys + <usize>load<u32>(addresses, 8), k3 = keys + <usize>load<u32>(addresses, 12);
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    for (let i: usize = 0; i < bytes; i += 16) {
      const u = v128.load(q + i);
      a0 = madd(u, v128.load(k0 + i), a0);
      a1 = madd(u, v128.load(k1 + i), a1);
      a2 = madd(u, v128.load(k2 + i), a2);
      a3 = madd(u, v128.load(k3 + i), a3);
    }
    v128.store(out, sumRows(a0, a1, a2, a3));
  }
}

/** Replaces logits by weights e^(logit - max); stores the largest logit and the mass to out[0] and out[1]. */
export function softmax(logits: usize, n: u32, padded: u32, out: usize): void {
  for (let i = n; i < padded; i++) store<f32>(logits + <usize>(i * 4), -Infinity);
  const end = logits + <usize>(padded * 4);
  let m = f32x4.splat(-Infinity);
  for (let p = logits; p < end; p += 16) m = f32x4.pmax(m, v128.load(p));
  const largest = max4(m);
  m = f32x4.splat(largest);
  let sum = f32x4.splat(0);
  for (let p = logits; p < end; p += 16) {
    const e = exp4(f32x4.sub(v128.load(p), m));
    v128.store(p, e);
    sum = f32x4.add(sum, e);
  }
  store<f32>(out, largest);
  store<f32>(out, sum4(sum), 4);
}

/** out[head] (+)= Σ_row p[head][row] * V[row] for 2 heads, 16 channels at a time. */
export function values2(values: usize, addresses: usize, rows: u32, p: usize, bytes: usize, out0: usize, out1: usize, accumulate: bool): void {
  const end = addresses + <usize>(rows * 4);
  let d: usize = 0;
  for (; d + 64 <= bytes; d += 64) {
    const base = values + d;
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    if (accumulate) {
      a0 = v128.load(out0 + d); a1 = v128.load(out0 + d, 16); a2 = v128.load(out0 + d, 32); a3 = v128.load(out0 + d, 48);
      b0 = v128.load(out1 + d); b1 = v128.load(out1 + d, 16); b2 = v128.load(out1 + d, 32); b3 = v128.load(out1 + d, 48);
    }
    let w = p;
    for (let o = addresses; o < end;) for (; o < end; o += 4, w += 4) {
      const row = base + <usize>load<u32>(o);
      const u = v128.load32_splat(w), v = v128.load32_splat(w, SPLIT_BYTES);
      let x = v128.load(row); a0 = madd(u, x, a0); b0 = madd(v, x, b0);
      x = v128.load(row, 16); a1 = madd(u, x, a1); b1 = madd(v, x, b1);
      x = v128.load(row, 32); a2 = madd(u, x, a2); b2 = madd(v, x, b2);
      x = v128.load(row, 48); a3 = madd(u, x, a3); b3 = madd(v, x, b3);
    }
    v128.store(out0 + d, a0); v128.store(out0 + d, a1, 16); v128.store(out0 + d, a2, 32); v128.store(out0 + d, a3, 48);
    v128.store(out1 + d, b0); v128.store(out1 + d, b1, 16); v128.store(out1 + d, b2, 32); v128.store(out1 + d, b3, 48);
  }
  for (; d < bytes; d += 16) {
    const base = values + d;
    let a = f32x4.splat(0), b = a;
    if (accumulate) {
      a = v128.load(out0 + d);
      b = v128.load(out1 + d);
    }
    let w = p;
    for (let o = addresses; o < end; o += 4, w += 4) {
      const x = v128.load(base + <usize>load<u32>(o));
      a = madd(v128.load32_splat(w), x, a);
      b = madd(v128.load32_splat(w, SPLIT_BYTES), x, b);
    }
    v128.store(out0 + d, a);
    v128.store(out1 + d, b);
  }
}

/** `values2` for one head. */
export function values1(values: usize, addresses: usize, rows: u32, p: usize, bytes: usize, out: usize, accumulate: bool): void {
  const end = addresses + <usize>(rows * 4);
  let d: usize = 0;
  for (; d + 64 <= bytes; d += 64) {
    const base = values + d;
    let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0;
    if (accumulate) {
      a0 = v128.load(out + d); a1 = v128.load(out + d, 16); a2 = v128.load(out + d, 32); a3 = v128.load(out + d, 48);
    }
    let w = p;
    for (let o = addresses; o < end;) for (; o < end; o += 4, w += 4) {
      const row = base + <usize>load<u32>(o);
      const u = v128.load32_splat(w);
      a0 = madd(u, v128.load(row), a0);
      a1 = madd(u, v128.load(row, 16), a1);
      a2 = madd(u, v128.load(row, 32), a2);
      a3 = madd(u, v128.load(row, 48), a3);
    }
    v128.store(out + d, a0); v128.store(out + d, a1, 16); v128.store(out + d, a2, 32); v128.store(out + d, a3, 48);
  }
  for (; d < bytes; d += 16) {
    const base = values + d;
    let a = accumulate ? v128.load(out + d) : f32x4.splat(0);
    let w = p;
    for (let o = addresses; o < end; o += 4, w += 4)
      a = madd(v128.load32_splat(w), v128.load(base + <usize>load<u32>(o)), a);
    v128.store(out + d, a);
  }
}
