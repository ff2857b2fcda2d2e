/** Packs up to 8 row-major rows of f32, bf16 or f16 at src into a row group: see weights.ts. Missing rows are zeros. */

/** Four rows' vectors to four vectors of a u32 of each row, `step` bytes apart. */
// @ts-ignore: decorator
@inline export function transpose4(a: v128, b: v128, c: v128, d: v128, dst: usize, step: usize): void {
  const ab = v128.shuffle<f32>(a, b, 0, 4, 1, 5), AB = v128.shuffle<f32>(a, b, 2, 6, 3, 7);
  const cd = v128.shuffle<f32>(c, d, 0, 4, 1, 5), CD = v128.shuffle<f32>(c, d, 2, 6, 3, 7);
  v128.store(dst, v128.shuffle<f32>(ab, cd, 0, 1, 4, 5));
  v128.store(dst + step, v128.shuffle<f32>(ab, cd, 2, 3, 6, 7));
  v128.store(dst + 2 * step, v128.shuffle<f32>(AB, CD, 0, 1, 4, 5));
  v128.store(dst + 3 * step, v128.shuffle<f32>(AB, CD, 2, 3, 6, 7));
}

export function packF32(src: usize, dst: usize, rows: u32, cols: u32): void {
  const row = <usize>(cols * 4);
  let k: u32 = 0;
  if (rows == 8)
    for (; k + 4 <= cols; k += 4, dst += 128) {
      const a = src + <usize>(k * 4), b = a + 4 * row;
      transpose4(v128.load(a), v128.load(a + row), v128.load(a + 2 * row), v128.load(a + 3 * row), dst, 32);
      transpose4(v128.load(b), v128.load(b + row), v128.load(b + 2 * row), v128.load(b + 3 * row), dst + 16, 32);
    }
  for (; k < cols; k++, dst += 32)
    for (let i: u32 = 0; i < 8; i++)
      store<u32>(dst + <usize>(i * 4), i < rows ? load<u32>(src + <usize>i * row + <usize>(k * 4)) : 0);
}

/** bf16 and f16. Returns 1 if a number is Inf or NaN as f16. */
export function pack16(src: usize, dst: usize, rows: u32, cols: u32): u32 {
  const row = <usize>(cols * 2);
  let k: u32 = 0;
  let special: u32 = 0;
  if (rows == 8) {
    const exponent = i16x8.splat(0x7c00);
    let found = i16x8.splat(0);
    for (; k + 8 <= cols; k += 8, dst += 128) {
      const p = src + <usize>(k * 2), q = p + 4 * row;
      const a = v128.load(p), b = v128.load(p + row), c = v128.load(p + 2 * row), d = v128.load(p + 3 * row);
      const e = v128.load(q), f = v128.load(q + row), g = v128.load(q + 2 * row), h = v128.load(q + 3 * row);
      found = v128.or(found, v128.or(v128.or(isSpecial8(a, exponent), isSpecial8(b, exponent)), v128.or(isSpecial8(c, exponent), isSpecial8(d, exponent))));
      found = v128.or(found, v128.or(v128.or(isSpecial8(e, exponent), isSpecial8(f, exponent)), v128.or(isSpecial8(g, exponent), isSpecial8(h, exponent))));
      transpose4(weaveLow(a, e), weaveLow(b, f), weaveLow(c, g), weaveLow(d, h), dst, 16);
      transpose4(weaveHigh(a, e), weaveHigh(b, f), weaveHigh(c, g), weaveHigh(d, h), dst + 64, 16);
    }
    special = u32(v128.any_true(found));
  }
  for (; k < cols; k++, dst += 16)
    for (let i: u32 = 0; i < 4; i++) {
      const at = src + <usize>i * row + <usize>(k * 2);
      const low: u32 = i < rows ? load<u16>(at) : 0, high: u32 = i + 4 < rows ? load<u16>(at + 4 * row) : 0;
      special |= u32((low & 0x7c00) == 0x7c00) | u32((high & 0x7c00) == 0x7c00);
      store<u32>(dst + <usize>(i * 4), low | (high << 16));
    }
  return special;
}

// @ts-ignore: decorator
@inline function isSpecial8(v: v128, exponent: v128): v128 { return i16x8.eq(v128.and(v, exponent), exponent); }

/** The low halves of two vectors of 16-bit numbers, in turn. */
// @ts-ignore: decorator
@inline function weaveLow(a: v128, b: v128): v128 { return v128.shuffle<i16>(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }

// @ts-ignore: decorator
@inline function weaveHigh(a: v128, b: v128): v128 { return v128.shuffle<i16>(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
