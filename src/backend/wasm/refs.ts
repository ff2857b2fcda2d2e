import type { TensorDtype, WeightDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import { dimensionsOf, type TensorRef, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";

/** Step data at an address of linear memory. */
export class WasmTensor implements TensorRef {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  readonly address: number;
  /** Elements. */
  readonly size: number;
  constructor(dtype: TensorDtype, shape: readonly number[], address: number) {
    this.dtype = dtype;
    this.shape = shape;
    this.address = address;
    this.size = shape.reduce((a, b) => a * b, 1);
  }
}

/** A weight: its packed data, and the 16-byte descriptor (address, rows, cols, dtype) that kernels take. */
export class WasmWeight implements WeightRef {
  readonly kind: WeightSpec["kind"];
  readonly name: string;
  readonly dtype: WeightDtype;
  readonly rows: number;
  readonly cols: number;
  readonly address: number;
  readonly descriptor: number;
  constructor(spec: WeightSpec, address: number, descriptor: number) {
    const { rows, cols } = dimensionsOf(spec);
    this.kind = spec.kind;
    this.name = spec.name;
    this.dtype = spec.dtype;
    this.rows = rows;
    this.cols = cols;
    this.address = address;
    this.descriptor = descriptor;
  }

  static of(ref: WeightRef): WasmWeight {
    if (!(ref instanceof WasmWeight)) throw new ShapeError(`weight ${ref.name} was made by another backend`);
    return ref;
  }
}

/** The tensor itself, of the dtype asked for. @throws ShapeError for another backend's or another dtype. */
export function addressOf(ref: TensorRef, dtype?: TensorDtype): WasmTensor {
  if (!(ref instanceof WasmTensor)) throw new ShapeError("this tensor was made by another backend");
  if (dtype !== undefined && ref.dtype !== dtype)
    throw new ShapeError(`expected a tensor of ${dtype}, got ${ref.dtype}`);
  return ref;
}

/** The descriptor of a matrix, whose rows are in blocks. */
export function descriptorOf(ref: WeightRef): number {
  const weight = WasmWeight.of(ref);
  if (weight.kind !== "matrix")
    throw new ShapeError(`weight ${ref.name} is a vector, and a matrix is needed here`);
  return weight.descriptor;
}

/** The descriptor of a vector, or 0 for none. */
export function vectorOf(ref: WeightRef | undefined): number {
  if (ref === undefined) return 0;
  const weight = WasmWeight.of(ref);
  if (weight.kind !== "vector")
    throw new ShapeError(
      `weight ${ref.name} is a matrix [${weight.rows}, ${weight.cols}], and a vector is needed here`,
    );
  return weight.descriptor;
}
