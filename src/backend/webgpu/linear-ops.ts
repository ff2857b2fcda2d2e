import type { WeightDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import type { WeightRef } from "../../base/tensor-ref.ts";
import { type GpuContext, stepConstants } from "./context.ts";
import { type HalfRows, PreparedRows, type PrepareOptions, padded, type Rows } from "./prepared-rows.ts";
import { DTYPE_CODES, type NumberedBuffer, vectorElements, WebGpuWeight } from "./refs.ts";
import {
  groupSections,
  type Product,
  pairSections,
  type Section,
  sectionParams,
  wordsOf,
} from "./sections.ts";
import type { MatrixTile } from "./tuning.ts";

/** Most rows of x that the matrix-vector kernel takes; past them tiles are faster, or sooner the matrix units. */
const MAX_VECTOR_ROWS = 8;
const MAX_VECTOR_ROWS_BESIDE_MATRIX_UNITS = 4;
/** Rows of x of one batch of decode steps, for which the matrix units only have to keep up with memory. */
const MAX_SKINNY_ROWS = 64;
const MAX_GROUPS = 65535;
/** A team makes at least two runs of two rows of a head. */
const LEAST_HEAD_ROWS = 4;
/** Most sums of an invocation at once, and most vec4s of x that it keeps in registers. */
const MAX_SUMS = 32;
const MAX_KEPT_VECTORS = 16;

/** Where outputs go. */
export interface Target {
  readonly storage: NumberedBuffer;
  /** Elements from row to row. */
  readonly stride: number;
}

export interface ProductOptions extends PrepareOptions {
  /** out += instead of out =. */
  readonly add?: boolean;
}

/** Matrix products: few rows by a kernel that streams the weights once, many by tiles or on the matrix units. */
export class LinearOps {
  readonly #context: GpuContext;
  readonly #prepared: PreparedRows;

  constructor(context: GpuContext) {
    this.#context = context;
    this.#prepared = new PreparedRows(context);
  }

  /** out[b] (+)= products of x[b], normed and gathered where asked. */
  multiply(products: readonly Product[], x: Rows, out: Target, options: ProductOptions = {}): void {
    const [first] = products;
    if (!first || x.count === 0) return;
    const groups = groupSections(products);
    this.#record(first.weight, x, options, {
      vector: (rows, norm) => {
        for (const sections of groups) this.#vector(sections, undefined, rows, norm, out, options.add);
      },
      tiles: (rows) => {
        for (const section of groups.flat()) this.#tiles(section, rows, out, options.add, false);
      },
      matrix: (rows) => {
        for (const section of groups.flat()) this.#matrix(section, undefined, rows, out, options.add);
      },
    });
  }

  /** out[b] = silu(first of x[b]) * second of x[b]. */
  multiplyPair(first: Product, second: Product, x: Rows, out: Target, options: PrepareOptions): void {
    if (x.count === 0) return;
    const pairs = pairSections(first, second);
    this.#record(first.weight, x, options, {
      vector: (rows, norm) => {
        for (const [one, other] of pairs) this.#vector([one], other, rows, norm, out);
      },
      tiles: (rows) => {
        for (const [one, other] of pairs) {
          this.#tiles(one, rows, out, false, false);
          this.#tiles(other, rows, out, false, true);
        }
      },
      matrix: (rows) => {
        for (const [one, other] of pairs) this.#matrix(one, other, rows, out);
      },
    });
  }

  #hasSubgroupMatrices(dtype: WeightDtype): boolean {
    return this.#context.traits.hasSubgroupMatrices && dtype !== "f32";
  }

  #maxVectorRows(dtype: WeightDtype): number {
    return this.#hasSubgroupMatrices(dtype) ? MAX_VECTOR_ROWS_BESIDE_MATRIX_UNITS : MAX_VECTOR_ROWS;
  }

  /** Makes x ready for the kernel that suits its rows, and hands it on. */
  #record(
    weight: WebGpuWeight,
    x: Rows,
    options: PrepareOptions,
    by: {
      vector(rows: Rows, norm: WebGpuWeight | undefined): void;
      tiles(rows: Rows): void;
      matrix(rows: HalfRows): void;
    },
  ): void {
    const { cols, dtype } = weight;
    const { norm, gather } = options;
    if (x.count <= this.#maxVectorRows(dtype)) {
      const isDirect = isStreamed(x, cols, dtype) && !gather && (!norm || norm.vector % 4 === 0);
      if (isDirect) by.vector(x, norm);
      else by.vector(this.#prepared.floats(x, cols, options), undefined);
    } else if (this.#hasSubgroupMatrices(dtype)) {
      by.matrix(this.#prepared.halves(x, cols, options));
    } else {
      const isDirect = x.stride === padded(cols) && !norm && !gather;
      by.tiles(isDirect ? x : this.#prepared.floats(x, cols, options));
    }
  }

  /**
   * Query, key and value products of few rows, with RoPE, straight into the query and the pages.
   * False where that cannot be done at once: nothing was recorded then.
   */
  multiplyHeads(
    products: readonly Product[],
    x: Rows,
    norm: WebGpuWeight,
    out: { readonly query: NumberedBuffer; readonly keys: NumberedBuffer; readonly values: NumberedBuffer },
  ): boolean {
    const { recorder, weights, step, model, cacheDtype } = this.#context;
    const [first] = products;
    if (!first || model.headDim % LEAST_HEAD_ROWS !== 0) return false;
    const { cols, dtype } = first.weight;
    if (x.count > this.#maxVectorRows(dtype)) return false;
    if (!isStreamed(x, cols, dtype) || norm.vector % 4 !== 0) return false;
    // heads must not be cut between buffers
    if (products.some(({ weight }) => weight.slices.length > 1)) return false;
    for (const sections of groupSections(products)) {
      const [head] = sections;
      if (!head) continue;
      const core = this.#core(head, x, true, "heads");
      if (core.constants.BATCH > core.constants.LANES) return false;
      const kernel = recorder.kernel(["step", ...core.files, "matvec-heads"], {
        ...stepConstants(this.#context),
        ...core.constants,
        HEAD_DIM: model.headDim,
        QUERY_HEADS: model.numQueryHeads,
        CACHE_IS_F16: cacheDtype === "f16",
      });
      const blocks = sections.reduce((sum, { slice }) => sum + slice.rows / core.outputs, 0);
      const [columns, rows] = gridOf(Math.ceil(blocks / core.teams));
      const { slab } = head.slice;
      recorder.dispatch({
        category: "weights",
        kernel,
        params: { ...sectionParams(sections), norm: norm.vector / 4, batch: x.count },
        bindings: {
          ...{ weights: slab, x: x.storage, vectors: weights.vectors, partner: slab },
          ...{ step: step.storage, query: out.query, keys: out.keys, values: out.values },
        },
        grid: [columns, rows],
      });
    }
    return true;
  }

  #vector(
    sections: readonly Section[],
    partner: Section | undefined,
    x: Rows,
    norm: WebGpuWeight | undefined,
    out: Target,
    isAdded = false,
  ): void {
    const { recorder, weights } = this.#context;
    const [first] = sections;
    if (!first) return;
    const core = this.#core(first, x, norm !== undefined, partner ? "pair" : "plain");
    const kernel = recorder.kernel([...core.files, "matvec"], {
      ...core.constants,
      PAIR: partner !== undefined,
      ADD: isAdded,
    });
    const blocks = sections.reduce((sum, { slice }) => sum + Math.ceil(slice.rows / core.outputs), 0);
    const [columns, rows] = gridOf(Math.ceil(blocks / core.teams));
    const all = partner ? [first, partner] : sections;
    recorder.dispatch({
      category: "weights",
      kernel,
      params: {
        ...sectionParams(all),
        ...{ norm: (norm?.vector ?? 0) / 4, batch: x.count, out_stride: out.stride },
      },
      bindings: {
        ...{ weights: first.slice.slab, x: x.storage, vectors: weights.vectors },
        ...{ partner: (partner ?? first).slice.slab, out: out.storage },
      },
      grid: [columns, rows],
    });
  }

  /** The part that all matrix-vector kernels share: its files and constants, teams of a workgroup and outputs of a team. */
  #core(first: Section, x: Rows, isNormed: boolean, kind: "plain" | "pair" | "heads") {
    const { traits, tuning, model } = this.#context;
    const { stride, dtype } = first;
    const fold = Math.min(32, Math.max(1, traits.minSubgroupSize));
    const batch = 2 ** Math.ceil(Math.log2(x.count));
    const leastRows = { plain: 1, pair: 2, heads: LEAST_HEAD_ROWS }[kind];
    // sums of a fold, and its squares
    const foldBytes = (rows: number) => (rows + 1) * batch * 4;
    const mostFolds = Math.floor(traits.workgroupBytes / foldBytes(leastRows));
    // more rows of x in registers, fewer columns of each
    const wanted = tuning.matvecLanes * (batch >= 4 ? 2 : 1);
    const most = Math.min(wanted, traits.maxInvocations, fold * mostFolds);
    const lanes = teamSize(stride, fold, Math.max(fold, most));
    const threads = lanes * Math.max(1, Math.floor(Math.min(64, most) / lanes));
    const pieces = Math.ceil(stride / lanes);
    // loads in flight are registers, and so are sums
    const atOnce = Math.max(1, Math.min(tuning.matvecLoads / pieces, MAX_SUMS / batch));
    const rowsAtOnce = Math.max(kind === "plain" ? 1 : 2, 2 ** Math.floor(Math.log2(atOnce)));
    let teamRows = Math.max(tuning.matvecTeamRows, rowsAtOnce);
    if (kind === "heads") {
      teamRows = Math.max(LEAST_HEAD_ROWS, teamRows);
      // an invocation finishes at most one pair of pairs
      while (
        teamRows > LEAST_HEAD_ROWS &&
        (model.headDim % teamRows !== 0 || (teamRows / LEAST_HEAD_ROWS) * batch > lanes)
      )
        teamRows /= 2;
    }
    while (teamRows > leastRows && (threads / fold) * foldBytes(teamRows) > traits.workgroupBytes)
      teamRows /= 2;
    const rows = Math.min(rowsAtOnce, teamRows);
    const vectors = (batch * pieces * vectorElements(dtype)) / 4;
    const constants = {
      DTYPE: DTYPE_CODES[dtype],
      REDUCE_LANES: fold,
      THREADS: threads,
      LANES: lanes,
      ROWS: rows,
      TURNS: teamRows / rows,
      BATCH: batch,
      STRIDE: stride,
      X_STRIDE: x.stride / 4,
      // x is normed on the way only where its rows are whole pieces
      COLS: stride * vectorElements(dtype),
      NORM: isNormed,
      KEEP_X: vectors <= MAX_KEPT_VECTORS,
      EPS: model.rmsNormEps,
    };
    const files = [
      "storage",
      traits.minSubgroupSize > 0 ? "shuffle-subgroups" : "shuffle-none",
      "matvec-core",
    ] as const;
    return { files, constants, teams: threads / lanes, outputs: kind === "pair" ? teamRows / 2 : teamRows };
  }

  #tiles(section: Section, x: Rows, out: Target, isAdded = false, isPair = false): void {
    const { recorder, weights } = this.#context;
    const { slice } = section;
    // small tiles where large ones would leave most of a device idle
    const isSmall = x.count <= 64 || slice.rows <= 1024;
    const side = isSmall ? 1 : 2;
    const kernel = recorder.kernel(["storage", "gemm"], {
      DTYPE: DTYPE_CODES[section.dtype],
      SIDE_X: side,
      SIDE_W: side,
      STRIDE: section.stride,
      X_STRIDE: x.stride / 4,
      PAIR: isPair,
      ADD: isAdded,
    });
    recorder.dispatch({
      category: "weights",
      kernel,
      params: { ...wordsOf(section), batch: x.count, out_stride: out.stride },
      bindings: { weights: slice.slab, x: x.storage, vectors: weights.vectors, out: out.storage },
      grid: [Math.ceil(x.count / (64 * side)), Math.ceil(slice.rows / (64 * side))],
    });
  }

  #matrix(section: Section, partner: Section | undefined, x: HalfRows, out: Target, isAdded = false): void {
    const { recorder, weights } = this.#context;
    const { slice } = section;
    const isPair = partner !== undefined;
    const tile =
      x.count <= MAX_SKINNY_ROWS ? skinnyTile(x.count, slice.rows, isPair) : this.#tile(isPair || isAdded);
    const kernel = recorder.kernel(["storage", "subgroup-matrix", "gemm-subgroup-matrix"], {
      DTYPE: DTYPE_CODES[section.dtype],
      TILE_X: tile.x,
      TILE_W: tile.w,
      STRIP: tile.strip,
      SPLIT_X: tile.splitX,
      SPLIT_W: tile.splitW,
      SPLIT_K: tile.splitK,
      DEPTH: tile.depth,
      BUFFERS: tile.buffers,
      STRIDE: section.stride,
      X_STRIDE: x.pieces,
      PAIR: isPair,
      ADD: isAdded,
    });
    recorder.dispatch({
      category: "weights",
      kernel,
      params: {
        ...wordsOf(section),
        ...{ batch: x.count, out_stride: out.stride, partner: (partner?.slice.offset ?? 0) / 16 },
      },
      bindings: {
        ...{ weights: slice.slab, x: x.storage, vectors: weights.vectors, scales: x.scales },
        ...{ partner: partner?.slice.slab ?? "unused", out: out.storage },
      },
      grid: [Math.ceil(x.count / tile.x), Math.ceil(slice.rows / (isPair ? tile.w / 2 : tile.w))],
    });
  }

  /** The larger tile brings up to a tenth where outputs are many or are read as well, and costs as much elsewhere. */
  #tile(isLarge: boolean): MatrixTile {
    const { matrixTile, largeMatrixTile } = this.#context.tuning;
    return isLarge ? largeMatrixTile : matrixTile;
  }

  static weight(ref: WeightRef, rows: number, cols: number): WebGpuWeight {
    const weight = WebGpuWeight.of(ref);
    if (weight.kind !== "matrix" || weight.rows !== rows || weight.cols !== cols)
      throw new ShapeError(
        `weight ${weight.name} is a ${weight.kind} [${weight.rows}, ${weight.cols}], the op needs a matrix [${rows}, ${cols}]`,
      );
    return weight;
  }
}

/** Few rows of x: long strips of few rows of the weight, whose columns four subgroups share. */
function skinnyTile(count: number, rows: number, isPair: boolean): MatrixTile {
  const x = Math.ceil(count / 16) * 16;
  // enough workgroups for all of a large GPU
  const w = isPair || rows >= 16384 ? 32 : 16;
  return { x, w, strip: x > 32 ? 128 : 256, splitX: 1, splitW: 1, splitK: 4, depth: 1, buffers: 1 };
}

/** Invocations that share a row of `stride` pieces: whole folds, few that idle at the end of a row, not too few. */
function teamSize(stride: number, fold: number, most: number): number {
  let best = fold;
  let least = Number.POSITIVE_INFINITY;
  const enough = Math.ceil(stride / fold) * fold; // for one piece each
  const fewest = Math.max(fold, Math.floor(most / 2 / fold) * fold);
  for (let lanes = Math.min(fewest, enough); lanes <= Math.min(most, enough); lanes += fold) {
    const idle = Math.ceil(stride / lanes) * lanes - stride;
    if (idle <= least) [best, least] = [lanes, idle];
  }
  return best;
}

/** Whether the matrix-vector kernels can read x as it lies, by whole pieces. */
function isStreamed(x: Rows, cols: number, dtype: WeightDtype): boolean {
  return x.stride % 4 === 0 && cols % vectorElements(dtype) === 0;
}

/** Workgroups as columns and rows: a dimension takes at most 65535. */
function gridOf(groups: number): readonly [columns: number, rows: number] {
  const columns = Math.min(groups, MAX_GROUPS);
  return [columns, Math.ceil(groups / columns)];
}
