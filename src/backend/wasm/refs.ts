import type { TensorDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import { dimensionsOf, type TensorRef, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";
import type { WeightFormat } from "../../base/weight-format.ts";
import { checkKind, ownTensor, ownWeight } from "../checks.ts";
import type { Arena } from "./arena.ts";

/** Step data in linear memory. */
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

/** A weight in linear memory: its packed data, and the descriptor or descriptors (address, rows, cols, format) that kernels take. */
export class WasmWeight implements WeightRef {
  readonly kind: WeightSpec["kind"];
  readonly name: string;
  readonly format: WeightFormat;
  readonly rows: number;
  readonly cols: number;
  /** Address of the packed data. */
  readonly address: number;
  readonly descriptor: number;
  /** Descriptors from there on, one for each expert; 1 for a weight without experts. */
  readonly experts: number;
  constructor(spec: WeightSpec, address: number, descriptor: number) {
    const { rows, cols } = dimensionsOf(spec);
    this.kind = spec.kind;
    this.name = spec.name;
    this.format = spec.format;
    this.rows = rows;
    this.cols = cols;
    this.address = address;
    this.descriptor = descriptor;
    this.experts = spec.kind === "matrix" ? (spec.experts ?? 1) : 1;
  }

  static of(ref: WeightRef): WasmWeight {
    return ownWeight(ref, WasmWeight);
  }
}

/** A tensor of this backend. @throws ShapeError for another backend's, or another dtype than the one given */
export function tensorOf(ref: TensorRef, dtype?: TensorDtype): WasmTensor {
  const tensor = ownTensor(ref, WasmTensor);
  if (dtype !== undefined && ref.dtype !== dtype)
    throw new ShapeError(`expected a tensor of ${dtype}, got ${ref.dtype}`);
  return tensor;
}

/** A view of a tensor's elements, valid until linear memory grows. */
export function elementsOf(
  ref: TensorRef,
  { floats, integers }: Pick<Arena, "floats" | "integers">,
): Float32Array | Uint32Array {
  const { address, size } = tensorOf(ref);
  return (ref.dtype === "f32" ? floats : integers).subarray(address / 4, address / 4 + size);
}

/** The descriptor of a matrix, whose rows are in blocks. @throws ShapeError for a vector */
export function matrixDescriptor(ref: WeightRef): number {
  checkKind(ref, "matrix");
  return WasmWeight.of(ref).descriptor;
}

/** The descriptor of a vector, 0 for none. @throws ShapeError for a matrix */
export function vectorDescriptor(ref: WeightRef | undefined): number {
  if (ref === undefined) return 0;
  checkKind(ref, "vector");
  return WasmWeight.of(ref).descriptor;
}
