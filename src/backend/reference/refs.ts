import type { TensorDtype, WeightDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { Matrix } from "./linear.ts";
import { allocate } from "./memory.ts";

export class ReferenceTensor implements TensorRef {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  readonly data: Float32Array | Uint32Array;
  constructor(dtype: TensorDtype, shape: readonly number[]) {
    this.dtype = dtype;
    this.shape = shape;
    this.data =
      dtype === "f32" ? allocate(Float32Array, shape, "a tensor") : allocate(Uint32Array, shape, "a tensor");
  }
}

export class ReferenceWeight implements WeightRef, Matrix {
  readonly name: string;
  readonly dtype: WeightDtype;
  readonly rows: number;
  readonly cols: number;
  readonly values: Float32Array;
  constructor(name: string, dtype: WeightDtype, rows: number, cols: number) {
    this.name = name;
    this.dtype = dtype;
    this.rows = rows;
    this.cols = cols;
    this.values = allocate(Float32Array, [rows, cols], `weight ${name}`);
  }
}

export function tensor(ref: TensorRef): ReferenceTensor {
  if (!(ref instanceof ReferenceTensor)) throw new ShapeError("this tensor was made by another backend");
  return ref;
}

export function floats(ref: TensorRef): Float32Array {
  const { data } = tensor(ref);
  if (!(data instanceof Float32Array)) throw new ShapeError(`expected an f32 tensor, got ${ref.dtype}`);
  return data;
}

export function integers(ref: TensorRef): Uint32Array {
  const { data } = tensor(ref);
  if (!(data instanceof Uint32Array)) throw new ShapeError(`expected a u32 tensor, got ${ref.dtype}`);
  return data;
}

export function matrix(ref: WeightRef): ReferenceWeight {
  if (!(ref instanceof ReferenceWeight))
    throw new ShapeError(`weight ${ref.name} was made by another backend`);
  return ref;
}
