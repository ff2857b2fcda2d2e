/**
 * Quantises f32 weights to blocks of 32 (GGUF's q8_0 and q4_0). Each row of a matrix is whole blocks. A value that is not finite
 * has no place in a block: the caller keeps such a row in its own format.
 */
import { f16ToF32, f32ToF16 } from "./half.ts";

const BLOCK = 32;

/** Bytes of a block: the f16 scale, then 32 int8 or 32 nibbles. */
const Q8_BYTES = 34;
const Q4_BYTES = 18;

/** The largest magnitude that every level of `LEVELS` reaches with an f16 scale. */
const Q4_LARGEST = 7 * 65504;

/**
 * q8_0: scale = max|x| / 127 as f16, element = x / scale, rounded.
 *
 * values  f32 [n], n a multiple of 32
 * out     n / 32 blocks of 34 bytes
 * @returns false if a value is not finite or too large for an f16 scale; `out` is of no use then.
 */
export function quantizeQ8_0(values: Float32Array, out: Uint8Array): boolean {
  for (let at = 0, to = 0; at < values.length; at += BLOCK, to += Q8_BYTES) {
    const largest = largestOf(values, at);
    if (!(largest < Number.POSITIVE_INFINITY)) return false;
    const bits = scaleBits(largest / 127);
    const scale = f16ToF32(bits);
    if (scale === Number.POSITIVE_INFINITY) return false;
    const inverse = scale === 0 ? 0 : 1 / scale;
    out[to] = bits & 255;
    out[to + 1] = bits >> 8;
    for (let i = 0; i < BLOCK; i++)
      out[to + 2 + i] = clamp(Math.round((values[at + i] as number) * inverse), 127);
  }
  return true;
}

/**
 * q4_0: the elements are scale × -8 to 7. Of a few scales it keeps the one of the least squared error: the largest value on -8 or
 * on 7, either of them refined once by least squares.
 *
 * values  f32 [n], n a multiple of 32
 * out     n / 32 blocks of 18 bytes
 * @returns false if a value is not finite or too large for an f16 scale; `out` is of no use then.
 */
export function quantizeQ4_0(values: Float32Array, out: Uint8Array): boolean {
  for (let at = 0, to = 0; at < values.length; at += BLOCK, to += Q4_BYTES) {
    const extreme = extremeOf(values, at);
    if (!(Math.abs(extreme) <= Q4_LARGEST)) return false;
    const bits = bestScale(values, at, extreme);
    const scale = f16ToF32(bits);
    const inverse = scale === 0 ? 0 : 1 / scale;
    out[to] = bits & 255;
    out[to + 1] = bits >> 8;
    for (let i = 0; i < BLOCK / 2; i++) {
      const low = nibble(values[at + i] as number, inverse);
      const high = nibble(values[at + BLOCK / 2 + i] as number, inverse);
      out[to + 2 + i] = low | (high << 4);
    }
  }
  return true;
}

/** The f16 scale of the least squared error. */
function bestScale(values: Float32Array, at: number, extreme: number): number {
  if (extreme === 0) return 0;
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const level of LEVELS) {
    const { error, refined } = fit(values, at, f16ToF32(f32ToF16(extreme / level)));
    if (error < least) {
      least = error;
      best = f32ToF16(extreme / level);
    }
    const bits = f32ToF16(refined);
    const again = fit(values, at, f16ToF32(bits)).error;
    if (again < least) {
      least = again;
      best = bits;
    }
  }
  return best;
}

/** Levels on which the value of the largest magnitude may fall. */
const LEVELS = [-8, -7, 7.5];

/** The squared error of a scale, and the scale that least squares give for its elements. */
function fit(values: Float32Array, at: number, scale: number): { error: number; refined: number } {
  if (scale === 0) return { error: Number.POSITIVE_INFINITY, refined: 0 };
  const inverse = 1 / scale;
  let [error, products, squares] = [0, 0, 0];
  for (let i = at; i < at + BLOCK; i++) {
    const value = values[i] as number;
    const element = nibble(value, inverse) - 8;
    const off = value - scale * element;
    error += off * off;
    products += value * element;
    squares += element * element;
  }
  return { error, refined: squares === 0 ? 0 : products / squares };
}

/** The element of a value, 0 to 15 for -8 to 7. */
function nibble(value: number, inverse: number): number {
  const element = Math.floor(value * inverse + 8.5);
  return element < 0 ? 0 : element > 15 ? 15 : element;
}

function clamp(value: number, most: number): number {
  return value > most ? most : value < -most ? -most : value;
}

/** Smallest f16 of at least one step, so that a block of tiny values does not become zeros by its scale alone. */
function scaleBits(scale: number): number {
  return scale === 0 ? 0 : Math.max(1, f32ToF16(scale));
}

/** The largest magnitude of a block; NaN if one is among the values. */
function largestOf(values: Float32Array, at: number): number {
  let largest = 0;
  for (let i = at; i < at + BLOCK; i++) {
    const magnitude = Math.abs(values[i] as number);
    if (!(magnitude <= largest)) largest = magnitude;
    if (Number.isNaN(largest)) return largest;
  }
  return largest;
}

/** The value of the largest magnitude, with its sign; NaN if one is among the values. */
function extremeOf(values: Float32Array, at: number): number {
  let extreme = 0;
  for (let i = at; i < at + BLOCK; i++) {
    const value = values[i] as number;
    if (Number.isNaN(value)) return value;
    if (Math.abs(value) > Math.abs(extreme)) extreme = value;
  }
  return extreme;
}
