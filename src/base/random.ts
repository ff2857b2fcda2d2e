/**
 * One 32-bit hash of four 32-bit words (the finaliser of MurmurHash3, chained).
 * Counter-based: the same words give the same bits on every backend and in any order of evaluation.
 */
export function hash32(a: number, b: number, c: number, d: number): number {
  return mix(mix(mix(mix(a | 0) ^ b) ^ c) ^ d) >>> 0;
}

function mix(word: number): number {
  let h = (word + 0x9e3779b9) | 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return h ^ (h >>> 16);
}

/** A number in [0, 1) with 24 random bits, exactly representable in f32. */
export function hashUnit(a: number, b: number, c: number, d: number): number {
  return (hash32(a, b, c, d) >>> 8) / 0x1000000;
}
