import type { GpuContext } from "./context.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Destination of a product's outputs. */
export interface Target {
  readonly storage: NumberedBuffer;
  /** Elements from row to row. */
  readonly stride: number;
}

/** Outputs of products whose columns several workgroups shared. */
export interface Sums {
  readonly slices: number;
  /** First column, and the number of them; multiples of 4. */
  readonly first: number;
  readonly columns: number;
  readonly rows: number;
  readonly out: Target;
  /** out += instead of out =. */
  readonly isAdded: boolean;
}

/** Sums that a kernel reads in place of whole rows, or adds to them: f32 [slices][rows, stride]. */
export interface LeftSums {
  readonly storage: NumberedBuffer;
  readonly slices: number;
  /** Elements from a slice to the next. */
  readonly sliceStride: number;
}

/**
 * Adds the sums of slices: f32 [slices, rows, stride], in a buffer that all products of a step use in turn. Those of one product
 * may be left to the kernel that reads its outputs next; whoever records something else settles them before.
 */
export class SliceSums {
  readonly #context: GpuContext;
  #storage: NumberedBuffer | undefined;
  #left: Sums | undefined;

  constructor(context: GpuContext) {
    this.#context = context;
  }

  /** The buffer, of at least so many elements a slice. */
  reserve(slices: number, elements: number): NumberedBuffer {
    const bytes = 4 * slices * elements;
    if (this.#storage && this.#storage.buffer.size >= bytes) return this.#storage;
    const { buffers, recorder } = this.#context;
    if (this.#storage) {
      recorder.submit();
      buffers.destroy(this.#storage);
    }
    this.#storage = buffers.storage("sums of slices", bytes);
    return this.#storage;
  }

  /** Leaves sums to who takes or settles them. The caller records nothing else that writes the buffer before that. */
  leave(sums: Sums): void {
    this.settle();
    this.#left = sums;
  }

  /** Takes the sums that were left for the whole rows of `out`. If there are none, or others, it settles them and returns undefined. */
  take(out: NumberedBuffer, columns: number, isAdded: boolean): LeftSums | undefined {
    const left = this.#left;
    const isWhole =
      left?.out.storage === out &&
      left.first === 0 &&
      left.columns === columns &&
      left.out.stride === columns;
    if (!left || !isWhole || left.isAdded !== isAdded) {
      this.settle();
      return undefined;
    }
    this.#left = undefined;
    const sliceStride = left.rows * left.out.stride;
    return { storage: this.reserve(left.slices, sliceStride), slices: left.slices, sliceStride };
  }

  /** Adds the sums that were left. */
  settle(): void {
    const left = this.#left;
    this.#left = undefined;
    if (left) this.record(left);
  }

  record({ slices, first, columns, rows, out, isAdded }: Sums): void {
    const { recorder } = this.#context;
    recorder.dispatch({
      category: "weights",
      kernel: recorder.kernel(["sum-slices"], { SLICES: slices, ADD: isAdded }),
      params: {
        ...{ first: first / 4, columns: columns / 4 },
        ...{ out_stride: out.stride / 4, slice_stride: (rows * out.stride) / 4 },
      },
      bindings: { slices: this.reserve(slices, rows * out.stride), out: out.storage },
      grid: [Math.ceil(columns / 256), rows],
    });
  }
}
