/** Copies of tensors on their way to the host. */
import { ShapeError } from "../base/errors.ts";
import type { TensorRef } from "../base/tensor-ref.ts";

/** Data of one or more tensors that reach the host together. Its arrays are the caller's, so that a loop can reuse them. */
export interface Readback {
  /**
   * Copies the elements from `first` on that `out` has room for, as the recorded ops leave them; ops recorded later do not
   * change the copy.
   * @throws ShapeError for an array of another type than the tensor, and for elements that the tensor lacks
   */
  add(tensor: TensorRef, first: number, out: Float32Array | Uint32Array): void;
  /**
   * Resolves when every `out` has its elements. Called once, after the last `add`; it submits at once, so that steps may be
   * recorded before the promise resolves.
   */
  arrive(): Promise<void>;
}

/** @throws ShapeError for an array of another type than the tensor, and for elements that the tensor lacks */
export function checkReadback(
  { dtype }: TensorRef,
  size: number,
  first: number,
  out: Float32Array | Uint32Array,
): void {
  const expected = dtype === "f32" ? Float32Array : Uint32Array;
  if (!(out instanceof expected))
    throw new ShapeError(
      `reading a tensor of ${dtype} takes a ${expected.name}, not a ${out.constructor.name}`,
    );
  if (!(Number.isSafeInteger(first) && first >= 0 && first + out.length <= size))
    throw new ShapeError(`reading ${out.length} elements from ${first} of a tensor of ${size}`);
}

/** A readback on a backend whose ops have run when they return: it copies at once. elementsOf: a view of a tensor */
export function immediateReadback(elementsOf: (tensor: TensorRef) => Float32Array | Uint32Array): Readback {
  return {
    add(tensor, first, out) {
      const elements = elementsOf(tensor);
      checkReadback(tensor, elements.length, first, out);
      out.set(elements.subarray(first, first + out.length));
    },
    arrive: () => Promise.resolve(),
  };
}
