import type { TensorDtype } from "./dtype.ts";
import { ShapeError } from "./errors.ts";
import type { FloatFormat, WeightFormat } from "./weight-format.ts";

/**
 * A handle to a buffer of a backend. Only the backend that made it can use it. It lives until the backend closes.
 */
export interface TensorRef {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
}

/**
 * The last dimension of [sequences, heads or head groups, capacity]: room for so many units or positions.
 * @throws ShapeError for a tensor of other dimensions, whose stride of 0 would put every row in the place of the first
 */
export function capacityOf({ shape }: TensorRef): number {
  const [, , capacity] = shape;
  if (shape.length !== 3 || capacity === undefined)
    throw new ShapeError(`expected a tensor of [sequences, heads, capacity], got [${shape}]`);
  return capacity;
}

/** A weight to make: a vector (a norm or a bias) or a matrix, which may have a single row. */
export type WeightSpec =
  | { readonly kind: "vector"; readonly name: string; readonly format: FloatFormat; readonly size: number }
  | {
      readonly kind: "matrix";
      readonly name: string;
      readonly format: WeightFormat;
      /** Of one expert, if there are experts. */
      readonly rows: number;
      readonly cols: number;
      /** The matrix stacks so many matrices of `rows` rows, one of each expert. Absent: an ordinary matrix. */
      readonly experts?: number;
    };

/** Rows and columns as a checkpoint stores them: a vector is one row, experts are stacked. */
export function dimensionsOf(spec: WeightSpec): { readonly rows: number; readonly cols: number } {
  return spec.kind === "vector"
    ? { rows: 1, cols: spec.size }
    : { rows: spec.rows * (spec.experts ?? 1), cols: spec.cols };
}

/** A handle to a weight in the backend's own layout. Opaque above the backend. */
export interface WeightRef {
  readonly kind: WeightSpec["kind"];
  readonly name: string;
  readonly format: WeightFormat;
  /** 1 for a vector; of all experts together. */
  readonly rows: number;
  /** Elements of a row; all of a vector. */
  readonly cols: number;
}
