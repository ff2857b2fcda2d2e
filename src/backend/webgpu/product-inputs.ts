import type { GpuContext } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import type { Bindings } from "./kernel-params.ts";
import type { NumberedBuffer, WebGpuWeight } from "./refs.ts";
import type { Constants } from "./shader.ts";
import type { SliceSums } from "./slice-sums.ts";

/** f16 rows are zero-padded to a multiple of this many columns. */
export const PREPARED_STRIP = 512;
/** vec4s of a row that an invocation of prepare-halves.wgsl keeps. */
const MAX_KEPT_FOURS = 16;

/** Rows of x in a buffer. */
export interface Rows {
  readonly storage: NumberedBuffer;
  /** Distance between rows, in elements. */
  readonly stride: number;
  readonly count: number;
}

/** Rows as f16, for subgroup matrices. */
export interface HalfRows {
  readonly storage: NumberedBuffer;
  /** f32 [count]: the factor of the products of each row. */
  readonly scales: NumberedBuffer;
  /** 16-byte vectors from row to row. */
  readonly vectors: number;
  readonly count: number;
}

export interface PrepareOptions {
  readonly norm?: WebGpuWeight | undefined;
  /** u32 [count]: row i is x[gather[i]]. */
  readonly gather?: NumberedBuffer | undefined;
}

/** A kernel that prepares rows, and what it takes besides them. */
interface Preparation extends PrepareOptions {
  readonly cols: number;
  readonly prelude?: "rows-plain" | "rows-summed";
  readonly constants: Constants;
  readonly params?: Readonly<Record<string, number>>;
  readonly bindings: Bindings;
}

/** Prepares rows for products whose kernels cannot read them in place: norms, gathers, pads, converts to f16. */
export class ProductInputs {
  readonly #context: GpuContext;
  readonly #sums: SliceSums;
  #floats: NumberedBuffer | undefined;
  #halves: NumberedBuffer | undefined;
  #scales: NumberedBuffer | undefined;

  /** sums: those that products leave for rows that are prepared next */
  constructor(context: GpuContext, sums: SliceSums) {
    this.#context = context;
    this.#sums = sums;
  }

  /** f32 rows, padded with zeros to whole vectors of every dtype. */
  floats(x: Rows, cols: number, { norm, gather }: PrepareOptions): Rows {
    const stride = padded(cols);
    this.#floats = this.#reserve(this.#floats, "prepared rows", x.count * stride * 4);
    this.#sums.settle();
    const bindings = { out: this.#floats };
    this.#record("prepare", x, { cols, norm, gather, constants: { OUT_STRIDE: stride }, bindings });
    return { storage: this.#floats, stride, count: x.count };
  }

  /** Prepares f16 rows, zero-padded to a multiple of `PREPARED_STRIP`. If sums were left for x, it adds them to x first. */
  halves(x: Rows, cols: number, { norm, gather }: PrepareOptions): HalfRows {
    const stride = Math.ceil(cols / PREPARED_STRIP) * PREPARED_STRIP;
    this.#halves = this.#reserve(this.#halves, "prepared f16 rows", x.count * stride * 2);
    this.#scales = this.#reserve(this.#scales, "scales of rows", x.count * 4);
    const isWide = cols % 4 === 0 && x.stride % 4 === 0 && (norm?.vector ?? 0) % 4 === 0;
    // every element in a register
    const isKept = stride / 4 <= MAX_KEPT_FOURS * this.#threads;
    if (gather || !isWide || !isKept) this.#sums.settle();
    const left = this.#sums.take(x.storage, x.stride, true);
    this.#record("prepare-halves", x, {
      ...{ cols, norm, gather, params: { slice_stride: (left?.sliceStride ?? 0) / 4 } },
      prelude: left ? "rows-summed" : "rows-plain",
      constants: { OUT_STRIDE: stride / 2, WIDE: isWide, ...(left && { SLICES: left.slices }) },
      bindings: {
        ...{ out: this.#halves, scales: this.#scales },
        ...(left && { slices: left.storage }),
      },
    });
    return { storage: this.#halves, scales: this.#scales, vectors: stride / 8, count: x.count };
  }

  get #threads(): number {
    return this.#context.traits.isSoftware ? 64 : 256;
  }

  #record(
    name: "prepare" | "prepare-halves",
    x: Rows,
    { cols, norm, gather, prelude, constants, params, bindings }: Preparation,
  ): void {
    const { recorder, weights, model, traits } = this.#context;
    const threads = this.#threads;
    const files = [reducePrelude(traits, threads), ...(prelude ? [prelude] : []), name] as const;
    const kernel = recorder.kernel(files, {
      ...subgroupConstants(traits),
      THREADS: threads,
      LANES: threads,
      COLS: cols,
      X_STRIDE: x.stride,
      ...constants,
      NORM: norm !== undefined,
      GATHER: gather !== undefined,
      EPS: model.rmsNormEps,
    });
    recorder.dispatch({
      category: "weights",
      kernel,
      params: { norm: norm?.vector ?? 0, ...params },
      bindings: { x: x.storage, vectors: weights.vectors, rows: gather ?? "unused", ...bindings },
      grid: [x.count],
    });
  }

  /** A buffer of at least `bytes`, replaced if it is too small. */
  #reserve(known: NumberedBuffer | undefined, label: string, bytes: number): NumberedBuffer {
    if (known && known.buffer.size >= bytes) return known;
    const { buffers, recorder } = this.#context;
    if (known) {
      recorder.submit();
      buffers.destroy(known);
    }
    return buffers.storage(label, bytes);
  }
}

/** Columns with the padding of prepared rows: whole vectors of every dtype. */
export function padded(cols: number): number {
  return Math.ceil(cols / 8) * 8;
}
