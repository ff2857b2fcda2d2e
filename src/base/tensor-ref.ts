import type { TensorDtype, WeightDtype } from "./dtype.ts";

/**
 * A handle to a buffer of step data that a backend owns. Opaque above the backend: only the backend that made it
 * can use it. Lives until the backend closes.
 */
export interface TensorRef {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
}

/** A handle to a weight matrix [rows, cols] (a vector is one row) in the backend's own layout. */
export interface WeightRef {
  readonly name: string;
  readonly dtype: WeightDtype;
  readonly rows: number;
  readonly cols: number;
}
