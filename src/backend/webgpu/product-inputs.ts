import type { GpuContext } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import type { Bindings } from "./kernel-params.ts";
import type { NumberedBuffer, WebGpuWeight } from "./refs.ts";
import type { Constants } from "./shader.ts";

/** f16 rows are zero-padded to a multiple of this many columns. */
export const PREPARED_STRIP = 512;

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

/** Prepares rows for products whose kernels cannot read them in place: norms, gathers, pads, converts to f16. */
export class ProductInputs {
  readonly #context: GpuContext;
  #floats: NumberedBuffer | undefined;
  #halves: NumberedBuffer | undefined;
  #scales: NumberedBuffer | undefined;

  constructor(context: GpuContext) {
    this.#context = context;
  }

  /** f32 rows, padded with zeros to whole vectors of every dtype. */
  floats(x: Rows, cols: number, { norm, gather }: PrepareOptions): Rows {
    const stride = padded(cols);
    this.#floats = this.#reserve(this.#floats, "prepared rows", x.count * stride * 4);
    this.#record("prepare", x, { cols, norm, gather }, { OUT_STRIDE: stride }, { out: this.#floats });
    return { storage: this.#floats, stride, count: x.count };
  }

  /** Prepares f16 rows, zero-padded to a multiple of `PREPARED_STRIP`. */
  halves(x: Rows, cols: number, { norm, gather }: PrepareOptions): HalfRows {
    const stride = Math.ceil(cols / PREPARED_STRIP) * PREPARED_STRIP;
    this.#halves = this.#reserve(this.#halves, "prepared f16 rows", x.count * stride * 2);
    this.#scales = this.#reserve(this.#scales, "scales of rows", x.count * 4);
    const isWide = cols % 4 === 0 && x.stride % 4 === 0 && (norm?.vector ?? 0) % 4 === 0;
    const constants = { OUT_STRIDE: stride / 2, WIDE: isWide };
    const out = { out: this.#halves, scales: this.#scales };
    this.#record("prepare-halves", x, { cols, norm, gather }, constants, out);
    return { storage: this.#halves, scales: this.#scales, vectors: stride / 8, count: x.count };
  }

  #record(
    name: "prepare" | "prepare-halves",
    x: Rows,
    { cols, norm, gather }: PrepareOptions & { readonly cols: number },
    constants: Constants,
    out: Bindings,
  ): void {
    const { recorder, weights, model, traits } = this.#context;
    const threads = traits.isSoftware ? 64 : 256;
    const kernel = recorder.kernel([reducePrelude(traits, threads), name], {
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
      params: { norm: norm?.vector ?? 0 },
      bindings: { x: x.storage, vectors: weights.vectors, rows: gather ?? "unused", ...out },
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
