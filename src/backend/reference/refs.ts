import type { TensorDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import { dimensionsOf, type TensorRef, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";
import { WEIGHT_FORMATS, type WeightFormat } from "../../base/weight-format.ts";
import { checkKind, ownTensor, ownWeight } from "../checks.ts";
import type { Matrix } from "./linear.ts";
import { allocate } from "./memory.ts";

/** Weights are decoded as they are written, so every format will do. */
export const REFERENCE_FORMATS: ReadonlySet<WeightFormat> = new Set(
  Object.keys(WEIGHT_FORMATS) as WeightFormat[],
);

/** Step data in an array. */
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

/** A weight decoded to f32. */
export class ReferenceWeight implements WeightRef, Matrix {
  readonly kind: WeightSpec["kind"];
  readonly name: string;
  readonly format: WeightFormat;
  readonly rows: number;
  readonly cols: number;
  /** 1 for a weight without experts. */
  readonly numExperts: number;
  readonly values: Float32Array;
  constructor(spec: WeightSpec) {
    const { rows, cols } = dimensionsOf(spec);
    this.kind = spec.kind;
    this.name = spec.name;
    this.format = spec.format;
    this.rows = rows;
    this.cols = cols;
    this.numExperts = spec.kind === "matrix" ? (spec.experts ?? 1) : 1;
    this.values = allocate(Float32Array, [rows, cols], `weight ${spec.name}`);
  }
}

/** @throws ShapeError for another backend's tensor */
export function tensor(ref: TensorRef): ReferenceTensor {
  return ownTensor(ref, ReferenceTensor);
}

/** The elements of an f32 tensor. @throws ShapeError for another dtype */
export function floats(ref: TensorRef): Float32Array {
  const { data } = tensor(ref);
  if (!(data instanceof Float32Array)) throw new ShapeError(`expected an f32 tensor, got ${ref.dtype}`);
  return data;
}

/** The elements of a u32 tensor. @throws ShapeError for another dtype */
export function integers(ref: TensorRef): Uint32Array {
  const { data } = tensor(ref);
  if (!(data instanceof Uint32Array)) throw new ShapeError(`expected a u32 tensor, got ${ref.dtype}`);
  return data;
}

/** @throws ShapeError for another backend's weight */
export function weightOf(ref: WeightRef): ReferenceWeight {
  return ownWeight(ref, ReferenceWeight);
}

/** @throws ShapeError for a vector */
export function matrix(ref: WeightRef): ReferenceWeight {
  checkKind(ref, "matrix");
  return weightOf(ref);
}

/** The values of a norm or a bias. @throws ShapeError for a matrix */
export function vector(ref: WeightRef): Float32Array {
  checkKind(ref, "vector");
  return weightOf(ref).values;
}
