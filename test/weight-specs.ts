import type { WeightDtype } from "../src/base/dtype.ts";
import type { WeightSpec } from "../src/base/tensor-ref.ts";

export function vectorSpec(name: string, dtype: WeightDtype, size: number): WeightSpec {
  return { kind: "vector", name, dtype, size };
}

export function matrixSpec(
  name: string,
  dtype: WeightDtype,
  [rows, cols]: readonly [rows: number, cols: number],
): WeightSpec {
  return { kind: "matrix", name, dtype, rows, cols };
}
