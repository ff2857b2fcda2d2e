/** Numbers of self-tests: weights and inputs that are the same on every machine, and how far two results are apart. */
import { hash32, hashUnit } from "../base/random.ts";
import type { WeightFormat } from "../base/weight-format.ts";

/** The result of one op. */
export interface SelfTestRow {
  readonly op: string;
  /** For numbers: root of the squared error over the root of the squares. For choices: how many differ from the reference's. */
  readonly error: number;
  readonly allowed: number;
  readonly isRight: boolean;
}

export function selfTestRow(op: string, error: number, allowed: number): SelfTestRow {
  return { op, error, allowed, isRight: error <= allowed };
}

/** Numbers from -0.5 to 0.5. */
export function randomFloats(count: number, seed: number): Float32Array {
  return Float32Array.from({ length: count }, (_, i) => hashUnit(seed, i, 1, 0) - 0.5);
}

/** Makes numbers of either sign and magnitudes from 1/64 to 1/4. */
export function randomWeights(format: WeightFormat, count: number, seed: number): Uint8Array {
  const bits = (i: number) => hash32(seed, i, 0, 0);
  if (format === "f32") return new Uint8Array(randomFloats(count, seed).buffer);
  const [exponent, fractionBits] = format === "f16" ? [9, 10] : [121, 7];
  const words = Uint16Array.from({ length: count }, (_, i) => {
    const word = bits(i);
    const magnitude = ((exponent + ((word >>> 16) & 3)) << fractionBits) | (word & ((1 << fractionBits) - 1));
    return ((word >>> 31) << 15) | magnitude;
  });
  return new Uint8Array(words.buffer);
}

type Numbers = Float32Array | Uint32Array;

/** Root of the squared error over the root of the squares. An infinity is right if it is the same, and counts in neither. */
export function relativeError(actual: Numbers, expected: Numbers): number {
  let error = 0;
  let power = 0;
  for (const [i, wanted] of expected.entries()) {
    if (actual[i] === wanted && !Number.isFinite(wanted)) continue;
    error += ((actual[i] ?? Number.NaN) - wanted) ** 2;
    power += wanted ** 2;
  }
  return Math.sqrt(error / power);
}
