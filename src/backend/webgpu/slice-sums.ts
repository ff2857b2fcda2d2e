import type { GpuContext } from "./context.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Destination of a product's outputs. */
export interface Target {
  readonly storage: NumberedBuffer;
  /** Elements from row to row. */
  readonly stride: number;
}

/** Outputs of products whose columns several workgroups shared. */
interface Sums {
  readonly slices: number;
  /** First column, and the number of them; multiples of 4. */
  readonly first: number;
  readonly columns: number;
  readonly rows: number;
  readonly out: Target;
  /** out += instead of out =. */
  readonly isAdded: boolean;
}

/** Adds the sums of slices: f32 [slices, rows, stride], in a buffer that all products of a step use in turn. */
export class SliceSums {
  readonly #context: GpuContext;
  #storage: NumberedBuffer | undefined;

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
