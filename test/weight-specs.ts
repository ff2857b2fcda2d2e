import type { WeightSpec } from "../src/base/tensor-ref.ts";
import { isFloatFormat, type WeightFormat } from "../src/base/weight-format.ts";

/** A norm or a bias beside matrices of `format`: vectors of quantised models are f32. */
export function vectorSpec(name: string, format: WeightFormat, size: number): WeightSpec {
  return { kind: "vector", name, format: isFloatFormat(format) ? format : "f32", size };
}

export function matrixSpec(
  name: string,
  format: WeightFormat,
  [rows, cols]: readonly [rows: number, cols: number],
): WeightSpec {
  return { kind: "matrix", name, format, rows, cols };
}
