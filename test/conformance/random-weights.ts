/** Seeded random numbers, and weights on a backend with the values that brute force computes with. */
import type { AttentionInputWeights, Backend } from "../../src/backend/backend.ts";
import { dimensionsOf, type WeightRef, type WeightSpec } from "../../src/base/tensor-ref.ts";
import {
  type FloatFormat,
  isFloatFormat,
  rowBytes,
  type WeightFormat,
} from "../../src/base/weight-format.ts";
import { decoded, randomBlocks } from "../random-blocks.ts";
import { matrixSpec, vectorSpec } from "../weight-specs.ts";
import type { PlainWeight } from "./brute-force.ts";

/** Mulberry32: uniform in [0, 1). */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed | 0;
  }
  unit(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0;
    let t = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  }
  below(n: number): number {
    return Math.floor(this.unit() * n);
  }
  gauss(): number {
    return Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit());
  }
  shuffled<T>(items: readonly T[]): T[] {
    const out = [...items];
    for (let i = out.length - 1; i > 0; i--) {
      const j = this.below(i + 1);
      [out[i], out[j]] = [out[j], out[i]];
    }
    return out;
  }
  /** Draws `count` of 0..n-1, ascending. */
  subset(n: number, count: number): number[] {
    return this.shuffled(Array.from({ length: n }, (_, i) => i))
      .slice(0, count)
      .sort((a, b) => a - b);
  }
  row(size: number): Float64Array {
    return Float64Array.from({ length: size }, () => Math.fround(this.gauss()));
  }
}

/** Σ(actual - expected)² / Σ expected². */
export function nmse(actual: ArrayLike<number>, expected: ArrayLike<number>): number {
  let error = 0;
  let power = 0;
  for (let i = 0; i < expected.length; i++) {
    error += (actual[i] - expected[i]) ** 2;
    power += expected[i] ** 2;
  }
  return error / (power || 1);
}

export interface PairedWeight {
  readonly ref: WeightRef;
  readonly plain: PlainWeight;
  readonly bytes: Uint8Array;
}

/** Draws an element: its bits and its value, by the definition of the format. Includes a few subnormals. */
function randomElement(format: FloatFormat, random: Random): { bits: number; value: number } {
  const sign = random.below(2);
  if (format === "f16") {
    const exponent = random.below(12) === 0 ? 0 : 8 + random.below(5);
    const fraction = random.below(1024);
    const magnitude = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
    return { bits: (sign << 15) | (exponent << 10) | fraction, value: sign ? -magnitude : magnitude };
  }
  const exponent = 120 + random.below(5);
  const fraction = random.below(128);
  const magnitude = (128 + fraction) * 2 ** (exponent - 134);
  return { bits: (sign << 15) | (exponent << 7) | fraction, value: sign ? -magnitude : magnitude };
}

export function makeWeight(backend: Backend, spec: WeightSpec, random: Random): PairedWeight {
  const { rows, cols } = dimensionsOf(spec);
  const { bytes, values } = isFloatFormat(spec.format)
    ? randomFloats(spec.format, rows * cols, random)
    : randomQuantised(spec.format, rows * cols, random);
  const ref = backend.createWeight(spec);
  backend.writeWeight(ref, 0, bytes);
  return { ref, plain: { rows, cols, values }, bytes };
}

function randomQuantised(format: WeightFormat, count: number, random: Random) {
  const bytes = randomBlocks(format, count, (n) => random.below(n));
  return { bytes, values: Float64Array.from(decoded(format, bytes)) };
}

function randomFloats(format: FloatFormat, count: number, random: Random) {
  const values = new Float64Array(count);
  const bytes = new Uint8Array(rowBytes(format, count));
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < values.length; i++) {
    if (format === "f32") {
      values[i] = Math.fround(random.gauss() * 0.15);
      view.setFloat32(i * 4, values[i], true);
    } else {
      const { bits, value } = randomElement(format, random);
      values[i] = value;
      view.setUint16(i * 2, bits, true);
    }
  }
  return { bytes, values };
}

/** Creates an f32 matrix with the given values. */
export function weightOf(
  backend: Backend,
  [rows, cols]: readonly [rows: number, cols: number],
  from: Float64Array,
): PairedWeight {
  const values = Float64Array.from(from, Math.fround);
  const bytes = new Uint8Array(new Float32Array(values).buffer);
  const ref = backend.createWeight(matrixSpec("given", "f32", [rows, cols]));
  backend.writeWeight(ref, 0, bytes);
  return { ref, plain: { rows, cols, values }, bytes };
}

type InputName = keyof AttentionInputWeights;
export type PairedInput = {
  readonly [K in InputName]: AttentionInputWeights[K] extends WeightRef
    ? PairedWeight
    : PairedWeight | undefined;
};

export interface InputOptions {
  readonly dtype?: WeightFormat;
  /** Of values, if not `dtype`. */
  readonly valueDtype?: WeightFormat;
  readonly bias?: boolean;
  readonly headNorm?: boolean;
}

export function makeInput(backend: Backend, random: Random, options: InputOptions = {}): PairedInput {
  const { hiddenSize, numQueryHeads, numKvHeads, headDim } = backend.model;
  const dtype = options.dtype ?? "f32";
  const make = (name: string, rows: number, cols: number, format = dtype) =>
    makeWeight(backend, matrixSpec(name, format, [rows, cols]), random);
  const vector = (name: string, size: number) => makeWeight(backend, vectorSpec(name, dtype, size), random);
  const [q, kv] = [numQueryHeads * headDim, numKvHeads * headDim];
  return {
    norm: vector("norm", hiddenSize),
    q: make("q", q, hiddenSize),
    k: make("k", kv, hiddenSize),
    v: make("v", kv, hiddenSize, options.valueDtype),
    qBias: options.bias ? vector("q.bias", q) : undefined,
    kBias: options.bias ? vector("k.bias", kv) : undefined,
    vBias: options.bias ? vector("v.bias", kv) : undefined,
    qNorm: options.headNorm ? vector("q.norm", headDim) : undefined,
    kNorm: options.headNorm ? vector("k.norm", headDim) : undefined,
  };
}

export function inputRefs(weights: PairedInput): AttentionInputWeights {
  const { norm, q, k, v, qBias, kBias, vBias, qNorm, kNorm } = weights;
  return {
    norm: norm.ref,
    q: q.ref,
    k: k.ref,
    v: v.ref,
    ...(qBias && { qBias: qBias.ref }),
    ...(kBias && { kBias: kBias.ref }),
    ...(vBias && { vBias: vBias.ref }),
    ...(qNorm && { qNorm: qNorm.ref }),
    ...(kNorm && { kNorm: kNorm.ref }),
  };
}
