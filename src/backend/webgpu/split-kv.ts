import { BackendError } from "../../base/errors.ts";
import { cacheRowVectors, type GpuContext, paddedHeadDim } from "./context.ts";
import { headsOfWorkgroup } from "./tuning.ts";

/** Maximum splits of a row. */
const MAX_SPLITS = 1024;
/** Maximum vec4s of query and sums that an invocation keeps in registers: 192 of the 255 that GPUs have. */
const MAX_KEPT = 48;
/** attend.wgsl: minimum lanes of a thread group. */
const MIN_LANES = 4;
/** attend-shared.wgsl: minimum tokens of a split. */
export const MIN_SPLIT = 64;

/** attend-int8-matrix.wgsl: scores, weights and states of a subgroup. */
const OTHER_TILE_BYTES = 16 * 20 * 4 + 16 * 3 * 16 + 256;

interface WorkgroupShape {
  /** Query heads of a workgroup. */
  readonly heads: number;
  readonly threads: number;
  /** Splits of a row that fill the device (`wanted_splits` in the kernels). */
  readonly wanted: number;
}

/** Workgroups of attend.wgsl: thread groups that stream keys. */
export interface StreamedShape extends WorkgroupShape {
  readonly kind: "streamed";
  /** Minimum turns of a workgroup. */
  readonly minTurns: number;
  /** Tokens that a workgroup takes per turn. */
  readonly turnTokens: number;
  /** Invocations of a thread group. */
  readonly lanes: number;
  /** Tokens in flight per thread group. */
  readonly tokens: number;
  /** True if a subgroup holds two thread groups. */
  readonly isTwin: boolean;
  /** Heads whose sums are in workgroup memory at once. */
  readonly sumHeads: number;
}

/** Workgroups of attend-shared.wgsl, which keep their scores. */
export interface SharedShape extends WorkgroupShape {
  readonly kind: "shared";
  /** Maximum tokens of a workgroup. */
  readonly maxTokens: number;
}

/** Workgroups of attend-int8-matrix.wgsl, which multiply by subgroup matrices. */
export interface MatrixShape extends WorkgroupShape {
  readonly kind: "matrix";
  /** Minimum turns of a workgroup. */
  readonly minTurns: number;
  /** Tokens that a workgroup takes per turn. */
  readonly turnTokens: number;
  readonly subgroups: number;
}

/** The shape of decode attention's workgroups, the same for every length. */
export type SplitShape = StreamedShape | SharedShape | MatrixShape;

/** Splits rows of decode attention over workgroups (split-KV). */
export class SplitKv {
  readonly #context: GpuContext;
  readonly #shapes: (SplitShape | undefined)[] = [];

  constructor(context: GpuContext) {
    this.#context = context;
  }

  /** The shape for query heads that share the tokens of their kv head, or for heads with tokens of their own. */
  shapeFor(hasTokensPerHead: boolean): SplitShape {
    const heads = hasTokensPerHead ? 1 : headsOfWorkgroup(this.#context.model);
    let shape = this.#shapes[heads];
    if (!shape) {
      shape = this.#shapeOf(heads);
      this.#shapes[heads] = shape;
    }
    return shape;
  }

  /**
   * Splits of rows that see at most so many tokens: the grid of a dispatch, and the stride of its partials. The kernel sizes the
   * splits of a row by the row's own length and `wanted`, so that a row's sums do not depend on the rows beside it; a split
   * past the end of a row is empty.
   */
  splitsOf(shape: SplitShape, tokens: number): number {
    switch (shape.kind) {
      case "streamed":
      case "matrix":
        return Math.min(shape.wanted, Math.ceil(tokens / (shape.minTurns * shape.turnTokens)));
      case "shared": {
        const least = Math.ceil(tokens / shape.maxTokens);
        return Math.max(least, Math.min(shape.wanted, Math.ceil(tokens / MIN_SPLIT)));
      }
    }
  }

  /** Maximum tokens that a row reads of a window: turns of attend.wgsl start at multiples of their tokens. */
  windowTokens(shape: SplitShape, window: number): number {
    return window + (shape.kind === "streamed" ? shape.tokens - 1 : 0);
  }

  #shapeOf(heads: number): SplitShape {
    const { model, capacity, traits, tuning } = this.#context;
    const workgroups = Math.floor((tuning.attendWorkgroups * heads) / model.numQueryHeads);
    const wanted = Math.max(1, Math.min(MAX_SPLITS, workgroups));
    const matrix = this.#matrixShape(heads, workgroups);
    if (matrix) return matrix;
    const threads = Math.max(tuning.attendThreads, traits.maxSubgroupSize);
    const lanes = this.#lanes(heads, threads);
    if (lanes === 0) return { ...this.#sharedSpace(heads), kind: "shared", wanted };
    const tokens = Math.min(tuning.attendTokens, capacity.pageSize);
    const turnTokens = (threads / lanes) * tokens;
    return {
      ...{ kind: "streamed", heads, threads, wanted, lanes, tokens, turnTokens },
      minTurns: Math.ceil(tuning.attendMinSplit / turnTokens),
      isTwin: this.#isTwin(lanes),
      // 8 KiB, beside the query and the states within the 16 KiB of any device
      sumHeads: Math.max(1, Math.min(heads, Math.floor(8192 / this.#sumBytes(lanes, threads)))),
    };
  }

  /** Workgroups on subgroup matrices, whose rows are heads: for a q8 cache, if the tiles fit 48 KiB. */
  #matrixShape(heads: number, workgroups: number): MatrixShape | undefined {
    const { model, traits, tuning, cacheDtype } = this.#context;
    const subgroups = tuning.attendMatrixSubgroups;
    const tileBytes = 2 * 16 * (cacheRowVectors(model, cacheDtype) + 1) * 16;
    const isFit = model.headDim % 16 === 0 && subgroups * (tileBytes + OTHER_TILE_BYTES) <= 49152;
    if (!traits.hasSubgroupMatrices || cacheDtype !== "q8" || heads < 2 || subgroups === 0 || !isFit)
      return undefined;
    const turnTokens = 16 * subgroups;
    // as many invocations as other kernels have
    const wanted = Math.floor((workgroups * tuning.attendThreads) / (32 * subgroups));
    return {
      ...{ kind: "matrix", heads, threads: 32 * subgroups, subgroups, turnTokens },
      wanted: Math.max(1, Math.min(MAX_SPLITS, wanted)),
      minTurns: Math.ceil(tuning.attendMinSplit / turnTokens),
    };
  }

  /** The largest shape that fits workgroup memory: lowers the tokens of a split first, then invocations, then heads. */
  #sharedSpace(heads: number): Pick<SharedShape, "heads" | "threads" | "maxTokens"> {
    const { model, traits, cacheDtype } = this.#context;
    const leastThreads = Math.max(64, cacheRowVectors(model, cacheDtype));
    // a vec4 of scores for every four heads
    const wanted = traits.workgroupBytes >= 32768 ? 512 : heads > 4 ? 128 : 256;
    for (let threads = traits.isSoftware ? leastThreads : 256; threads >= leastThreads; threads /= 2) {
      // the query, beside two vec4s of an invocation
      const otherBytes = heads * paddedHeadDim(model, cacheDtype) * 4 + threads * 32;
      const room = (traits.workgroupBytes - otherBytes) / (Math.ceil(heads / 4) * 16);
      if (room >= MIN_SPLIT)
        return { heads, threads, maxTokens: Math.min(wanted, 2 ** Math.floor(Math.log2(room))) };
    }
    let fewer = heads - 1;
    while (fewer > 1 && heads % fewer !== 0) fewer--;
    if (fewer < 1)
      throw new BackendError(
        `backend webgpu: heads of ${model.headDim} channels do not fit the ${traits.workgroupBytes} bytes of workgroup ` +
          "memory of this device; use the wasm backend",
      );
    return this.#sharedSpace(fewer);
  }

  #isTwin(lanes: number): boolean {
    return this.#context.traits.minSubgroupSize >= 2 * lanes;
  }

  /** Bytes of the sums of one head in attend.wgsl. */
  #sumBytes(lanes: number, threads: number): number {
    const { model, cacheDtype } = this.#context;
    return (threads / lanes / (this.#isTwin(lanes) ? 2 : 1)) * paddedHeadDim(model, cacheDtype) * 4;
  }

  /** Lanes that share a key in attend.wgsl; 0 if the device's subgroups or its memory are too small for it. */
  #lanes(heads: number, threads: number): number {
    const { traits, model, cacheDtype } = this.#context;
    const vectors = cacheRowVectors(model, cacheDtype);
    const lanes = Math.min(32, 2 ** Math.ceil(Math.log2(vectors)), traits.minSubgroupSize);
    // With fewer lanes each invocation holds the softmax of several heads; no real model needs it, and SwiftShader's
    // compiler once took 24 GB.
    if (lanes < MIN_LANES) return 0;
    const kept = 2 * heads * Math.ceil(vectors / lanes) * (cacheDtype === "f32" ? 1 : 2);
    const stateBytes = (threads / lanes) * 2 ** Math.ceil(Math.log2(heads)) * 8;
    const isRoom = this.#sumBytes(lanes, threads) + stateBytes <= traits.workgroupBytes;
    return kept <= MAX_KEPT && isRoom ? lanes : 0;
  }
}
