import type { TensorDtype, WeightDtype } from "./dtype.ts";
import { ShapeError } from "./errors.ts";

/**
 * A handle to a buffer of step data that a backend owns. Opaque above the backend: only the backend that made it
 * can use it. Lives until the backend closes.
 */
export interface TensorRef {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
}

/**
 * Elements of the last dimension of [sequences, heads or groups, capacity]: the units or positions there is room for.
 * @throws ShapeError for a tensor of other dimensions: a stride of 0 would put every row into the first one's place
 */
export function capacityOf({ shape }: TensorRef): number {
  const [, , capacity] = shape;
  if (shape.length !== 3 || capacity === undefined)
    throw new ShapeError(`expected a tensor of [sequences, heads, capacity], got [${shape}]`);
  return capacity;
}

/** A handle to a weight matrix [rows, cols] (a vector is one row) in the backend's own layout. */
export interface WeightRef {
  readonly name: string;
  readonly dtype: WeightDtype;
  readonly rows: number;
  readonly cols: number;
}
