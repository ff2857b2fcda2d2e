import type { TensorDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import { dimensionsOf, type TensorRef, type WeightRef, type WeightSpec } from "../../base/tensor-ref.ts";
import type { WeightFormat } from "../../base/weight-format.ts";
import { ownTensor, ownWeight } from "../checks.ts";
import type { ProfileCategory } from "./command-lists.ts";
import { rowVectors } from "./weight-rows.ts";

/** A buffer and its number, the key of bind groups and command lists. */
export interface NumberedBuffer {
  readonly id: number;
  readonly buffer: GPUBuffer;
}

/** Split-KV partials of a single row whose combine is not recorded yet. */
export interface PendingCombine {
  /** vec4f [rows, heads, splits, padded head dimension / 4 + 1]: weighted sums of values, then the largest score and the mass. */
  readonly partials: NumberedBuffer;
  readonly splits: number;
  readonly category: ProfileCategory;
}

/** Step data, row-major without padding. */
export class WebGpuTensor implements TensorRef, NumberedBuffer {
  readonly dtype: TensorDtype;
  readonly shape: readonly number[];
  /** Changes with the buffer. */
  id: number;
  buffer: GPUBuffer;
  /** Elements in the buffer. */
  size: number;
  /** Length of the last dimension. */
  readonly capacity: number;
  /** Split-KV partials of attention that goes into this tensor; made when first needed. */
  partials: NumberedBuffer | undefined;
  /** Present while `partials` still holds row 0. Every reader combines first (`DecodeAttention.settle`). */
  pending: PendingCombine | undefined;

  constructor(dtype: TensorDtype, shape: readonly number[], storage: NumberedBuffer) {
    this.dtype = dtype;
    this.shape = shape;
    this.id = storage.id;
    this.buffer = storage.buffer;
    this.size = shape.reduce((a, b) => a * b, 1);
    this.capacity = shape[shape.length - 1] ?? 1;
  }

  static of(ref: TensorRef): WebGpuTensor {
    return ownTensor(ref, WebGpuTensor);
  }

  /** Continues in another buffer, which holds `size` elements. */
  moveTo({ id, buffer }: NumberedBuffer, size: number): void {
    this.id = id;
    this.buffer = buffer;
    this.size = size;
  }
}

/** Rows of a weight that lie in one buffer. */
export interface WeightSlice {
  readonly firstRow: number;
  readonly rows: number;
  /** Set when the buffers are made. */
  slab: NumberedBuffer | undefined;
  /** First byte in the slab; a multiple of 16. */
  readonly offset: number;
  readonly slabIndex: number;
}

/**
 * A weight on the device. Matrices keep their format; rows lie as `weight-rows.ts` has it, padded with zeros to whole vectors
 * of 16 bytes, and may be spread over buffers. Vectors are f32 in the vector buffer.
 */
export class WebGpuWeight implements WeightRef {
  static #next = 1;
  /** Key in command lists. */
  readonly id = WebGpuWeight.#next++;
  readonly kind: WeightSpec["kind"];
  readonly name: string;
  readonly format: WeightFormat;
  readonly rows: number;
  readonly cols: number;
  readonly slices: readonly WeightSlice[];
  /** First element in the vector buffer; undefined for a matrix. */
  readonly vectorOffset: number | undefined;

  constructor(
    spec: WeightSpec,
    place: { readonly slices: readonly WeightSlice[]; readonly vectorOffset: number | undefined },
  ) {
    const { rows, cols } = dimensionsOf(spec);
    this.kind = spec.kind;
    this.name = spec.name;
    this.format = spec.format;
    this.rows = rows;
    this.cols = cols;
    this.slices = place.slices;
    this.vectorOffset = place.vectorOffset;
  }

  static of(ref: WeightRef): WebGpuWeight {
    return ownWeight(ref, WebGpuWeight);
  }

  /** 16-byte vectors of one row. */
  get stride(): number {
    return rowVectors(this.format, this.cols);
  }

  /** First element of a norm or bias. */
  get vector(): number {
    if (this.vectorOffset === undefined)
      throw new ShapeError(`weight ${this.name} is a matrix [${this.rows}, ${this.cols}], expected a vector`);
    return this.vectorOffset;
  }
}
