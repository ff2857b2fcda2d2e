import { madd } from "./math";

/**
 * The GEMM microtile: c[i][0..7] (+)= Σ_k panel[k][0..7] * x_i[k] for 4 rows of x.
 * panel: f32 [k][8]; x0..x3: f32 [k]; c: f32 rows of 8, `stride` bytes apart.
 */
export function tile8x4(panel: usize, k: u32, x0: usize, x1: usize, x2: usize, x3: usize, c: usize, stride: usize, accumulate: bool): void {
  const c1 = c + stride, c2 = c1 + stride, c3 = c2 + stride;
  let a0 = f32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
  if (accumulate) {
    a0 = v128.load(c); b0 = v128.load(c, 16);
    a1 = v128.load(c1); b1 = v128.load(c1, 16);
    a2 = v128.load(c2); b2 = v128.load(c2, 16);
    a3 = v128.load(c3); b3 = v128.load(c3, 16);
  }
  let w0: v128, w1: v128, x: v128;
  // One column a turn: V8 lifts all loads of a block to its top, and those of four columns spill to the stack.
  const end = panel + <usize>(k * 32);
  for (; panel < end; panel += 32, x0 += 4, x1 += 4, x2 += 4, x3 += 4) {
    w0 = v128.load(panel); w1 = v128.load(panel, 16);
    x = v128.load32_splat(x0); a0 = madd(w0, x, a0); b0 = madd(w1, x, b0);
    x = v128.load32_splat(x1); a1 = madd(w0, x, a1); b1 = madd(w1, x, b1);
    x = v128.load32_splat(x2); a2 = madd(w0, x, a2); b2 = madd(w1, x, b2);
    x = v128.load32_splat(x3); a3 = madd(w0, x, a3); b3 = madd(w1, x, b3);
  }
  v128.store(c, a0); v128.store(c, b0, 16);
  v128.store(c1, a1); v128.store(c1, b1, 16);
  v128.store(c2, a2); v128.store(c2, b2, 16);
  v128.store(c3, a3); v128.store(c3, b3, 16);
}
