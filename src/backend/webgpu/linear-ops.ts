import { ShapeError } from "../../base/errors.ts";
import type { WeightRef } from "../../base/tensor-ref.ts";
import type { WeightFormat } from "../../base/weight-format.ts";
import { formatCode } from "../../base/weight-format.ts";
import { actFile, type GpuContext, type LayerRope, stepConstants } from "./context.ts";
import {
  type HalfRows,
  type PrepareOptions,
  type ProductInputs,
  padded,
  type Rows,
} from "./product-inputs.ts";
import { arePaired, formatsOf, headRowsOf, isStreamed, lanesOf, MIN_HEAD_ROWS } from "./product-sizes.ts";
import { gridOf, MAX_QUANTISED_ROWS, recordQuantised } from "./quantised-products.ts";
import { type NumberedBuffer, WebGpuWeight } from "./refs.ts";
import { groupSections, type Product, pairSections, type Section, sectionParams } from "./sections.ts";
import type { SliceSums, Target } from "./slice-sums.ts";
import { type Mode, recordMatrix, recordTiles } from "./tile-products.ts";
import { isQuantised, vectorElements } from "./weight-rows.ts";

/** Maximum rows of x in the matrix-vector kernel; tiles are faster for more rows, subgroup matrices for still fewer. */
const MAX_VECTOR_ROWS = 8;
const MAX_VECTOR_ROWS_BESIDE_MATRICES = 4;
/** Per invocation: maximum sums at once, and maximum vec4s of x in registers. */
const MAX_SUMS = 32;
const MAX_KEPT_VECTORS = 16;

/** Destination of projected heads. */
interface HeadTarget {
  readonly query: NumberedBuffer;
  readonly keys: NumberedBuffer;
  readonly values: NumberedBuffer;
  readonly layer: LayerRope | undefined;
}

export interface ProductOptions extends PrepareOptions {
  /** out += instead of out =. */
  readonly add?: boolean;
  /** The caller takes or settles the sums of slices: outputs that lack them are not whole. */
  readonly mayLeave?: boolean;
}

/** Matrix products: few rows by a kernel that streams the weights once, many by tiles or with subgroup matrices. */
export class LinearOps {
  readonly #context: GpuContext;
  readonly #inputs: ProductInputs;
  readonly #sums: SliceSums;

  constructor(context: GpuContext, inputs: ProductInputs, sums: SliceSums) {
    this.#context = context;
    this.#inputs = inputs;
    this.#sums = sums;
  }

  /** out[b] (+)= products of x[b], normed and gathered if asked. */
  multiply(products: readonly Product[], x: Rows, out: Target, options: ProductOptions = {}): void {
    if (products.length === 0 || x.count === 0) return;
    const groups = groupSections(products);
    const mode = options.add ? "add" : "plain";
    this.#record(formatsOf(products), products[0].weight.cols, x, options, {
      vector: (rows, norm) => {
        for (const sections of groups) this.#vector({ sections }, rows, norm, out, mode);
      },
      tiles: (rows) => {
        for (const section of groups.flat()) recordTiles(this.#context, section, { x: rows, out, mode });
      },
      matrix: (rows) => {
        for (const sections of groups)
          recordMatrix(
            this.#context,
            { sections },
            { x: rows, out, mode, mayLeave: options.mayLeave === true && groups.length === 1 },
            this.#sums,
          );
      },
    });
  }

  /** out[b] = act(first of x[b]) * second of x[b]. */
  multiplyPair(first: Product, second: Product, x: Rows, out: Target, options: PrepareOptions): void {
    if (x.count === 0) return;
    const pairs = pairSections(first, second);
    this.#record(formatsOf([first, second]), first.weight.cols, x, options, {
      vector: (rows, norm) => {
        for (const [one, other] of pairs) this.#vectorPair(one, other, rows, norm, out);
      },
      tiles: (rows) => {
        for (const [one, other] of pairs) {
          recordTiles(this.#context, one, { x: rows, out, mode: "plain" });
          recordTiles(this.#context, other, { x: rows, out, mode: "gated" });
        }
      },
      matrix: (rows) => {
        for (const [one, other] of pairs)
          if (arePaired(one, other)) this.#matrix(one, { x: rows, out, mode: "plain" }, other);
          else {
            this.#matrix(one, { x: rows, out, mode: "plain" });
            this.#matrix(other, { x: rows, out, mode: "gated" });
          }
      },
    });
  }

  #matrix(
    section: Section,
    to: { readonly x: HalfRows; readonly out: Target; readonly mode: Mode },
    partner?: Section,
  ): void {
    recordMatrix(this.#context, { sections: [section], ...(partner && { partner }) }, to, this.#sums);
  }

  #vectorPair(one: Section, other: Section, x: Rows, norm: WebGpuWeight | undefined, out: Target): void {
    if (arePaired(one, other)) this.#vector({ sections: [one], partner: other }, x, norm, out, "plain");
    else {
      this.#vector({ sections: [one] }, x, norm, out, "plain");
      this.#vector({ sections: [other] }, x, norm, out, "gated");
    }
  }

  #hasSubgroupMatrices(format: WeightFormat): boolean {
    return this.#context.traits.subgroupMatrix !== undefined && format !== "f32";
  }

  #maxVectorRows(format: WeightFormat): number {
    if (isQuantised(format)) return MAX_QUANTISED_ROWS;
    return this.#hasSubgroupMatrices(format) ? MAX_VECTOR_ROWS_BESIDE_MATRICES : MAX_VECTOR_ROWS;
  }

  /** Prepares x for the kernel that suits its number of rows, and calls that. */
  #record(
    formats: readonly WeightFormat[],
    cols: number,
    x: Rows,
    options: PrepareOptions,
    by: {
      vector(rows: Rows, norm: WebGpuWeight | undefined): void;
      tiles(rows: Rows): void;
      matrix(rows: HalfRows): void;
    },
  ): void {
    const { norm, gather } = options;
    if (formats.every((format) => x.count <= this.#maxVectorRows(format))) {
      const isInPlace = formats.every((format) => isStreamed(x, cols, format));
      const isDirect = isInPlace && !gather && (!norm || norm.vector % 4 === 0);
      this.#sums.settle();
      if (isDirect) by.vector(x, norm);
      else by.vector(this.#inputs.floats(x, cols, options), undefined);
    } else if (formats.every((format) => this.#hasSubgroupMatrices(format))) {
      by.matrix(this.#inputs.halves(x, cols, options));
    } else {
      const isDirect = x.stride === padded(cols) && !norm && !gather;
      this.#sums.settle();
      by.tiles(isDirect ? x : this.#inputs.floats(x, cols, options));
    }
  }

  /**
   * Records the query, key and value products of few rows, with RoPE, straight into the query and the pages.
   * Returns false, with nothing recorded, if one kernel cannot do all of it.
   */
  multiplyHeads(products: readonly Product[], x: Rows, norm: WebGpuWeight, out: HeadTarget): boolean {
    const { recorder, weights, stepBuffer, model, cacheDtype } = this.#context;
    const [first] = products;
    if (!first || model.headDim % MIN_HEAD_ROWS !== 0) return false;
    const { cols, format } = first.weight;
    if (products.some(({ weight }) => isQuantised(weight.format))) return false;
    if (x.count > this.#maxVectorRows(format)) return false;
    if (!isStreamed(x, cols, format) || norm.vector % 4 !== 0) return false;
    // heads must not be cut between slabs
    if (products.some(({ weight }) => weight.slices.length > 1)) return false;
    for (const sections of groupSections(products)) {
      const [head] = sections;
      if (!head) continue;
      const core = this.#core(head, x, true, "heads");
      if (core.constants.BATCH > core.constants.LANES) return false;
      const kernel = recorder.kernel(["step", ...core.files, "matvec-heads"], {
        ...stepConstants(this.#context, out.layer),
        ...core.constants,
        HEAD_DIM: model.headDim,
        QUERY_HEADS: model.numQueryHeads,
        CACHE_IS_F16: cacheDtype === "f16",
      });
      const blocks = sections.reduce((sum, { slice }) => sum + slice.rows / core.outputs, 0);
      const [columns, rows] = gridOf(Math.ceil(blocks / core.threadGroups));
      const { slab } = head.slice;
      this.#sums.settle();
      recorder.dispatch({
        category: "weights",
        kernel,
        params: { ...sectionParams(sections), norm: norm.vector / 4, batch: x.count },
        bindings: {
          ...{ weights: slab, x: x.storage, vectors: weights.vectors, partner: slab },
          ...{ step: stepBuffer.storage, query: out.query, keys: out.keys, values: out.values },
        },
        grid: [columns, rows],
      });
    }
    return true;
  }

  #vector(
    { sections, partner }: { readonly sections: readonly Section[]; readonly partner?: Section },
    x: Rows,
    norm: WebGpuWeight | undefined,
    out: Target,
    mode: Mode,
  ): void {
    const { recorder, weights } = this.#context;
    const [first] = sections;
    if (!first) return;
    const all = partner ? [first, partner] : sections;
    const { format } = first;
    if (isQuantised(format)) {
      recordQuantised(this.#context, {
        ...{ sections: all, format, x, norm, out, mode: partner ? "pair" : mode },
      });
      return;
    }
    const core = this.#core(first, x, norm !== undefined, partner ? "pair" : "plain");
    const kernel = recorder.kernel([...core.files, actFile(this.#context.model), "matvec"], {
      ...core.constants,
      PAIR: partner !== undefined,
      GATED: mode === "gated",
      ADD: mode === "add",
    });
    const blocks = sections.reduce((sum, { slice }) => sum + Math.ceil(slice.rows / core.outputs), 0);
    const [columns, rows] = gridOf(Math.ceil(blocks / core.threadGroups));
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

  /**
   * Files and constants of matvec-core.wgsl. For example 4096 f16 columns, one row of x, subgroups of 32: a row has 512 vectors;
   * 256 invocations take 2 of each of 8 rows, 16 loads in flight; each of the 8 reduce groups leaves 8 sums in workgroup memory.
   */
  #core(first: Section, x: Rows, isNormed: boolean, kind: "plain" | "pair" | "heads") {
    const { traits, tuning, model } = this.#context;
    const { stride, format } = first;
    const reduceLanes = Math.min(32, Math.max(1, traits.minSubgroupSize));
    const batch = 2 ** Math.ceil(Math.log2(x.count));
    const minRows = { plain: 1, pair: 2, heads: MIN_HEAD_ROWS }[kind];
    // the sums and squares of a reduce group
    const reduceGroupBytes = (rows: number) => (rows + 1) * batch * 4;
    const maxReduceGroups = Math.floor(traits.workgroupBytes / reduceGroupBytes(minRows));
    // more rows of x in registers, fewer columns of each
    const wanted = tuning.matvecLanes * (batch >= 4 ? 2 : 1);
    const maxThreads = Math.min(wanted, traits.maxInvocations, reduceLanes * maxReduceGroups);
    const lanes = lanesOf(stride, reduceLanes, Math.max(reduceLanes, maxThreads));
    const threads = lanes * Math.max(1, Math.floor(Math.min(64, maxThreads) / lanes));
    const laneVectors = Math.ceil(stride / lanes);
    // loads in flight take registers, and so do sums
    const atOnce = Math.max(1, Math.min(tuning.matvecLoads / laneVectors, MAX_SUMS / batch));
    const rowsAtOnce = Math.max(kind === "plain" ? 1 : 2, 2 ** Math.floor(Math.log2(atOnce)));
    let groupRows = Math.max(tuning.matvecGroupRows, rowsAtOnce);
    if (kind === "heads") groupRows = headRowsOf(groupRows, model.headDim, lanes / batch);
    while (
      groupRows > minRows &&
      (threads / reduceLanes) * reduceGroupBytes(groupRows) > traits.workgroupBytes
    )
      groupRows /= 2;
    const rows = Math.min(rowsAtOnce, groupRows);
    const vectors = (batch * laneVectors * vectorElements(format)) / 4;
    const constants = {
      DTYPE: formatCode(format),
      REDUCE_LANES: reduceLanes,
      THREADS: threads,
      LANES: lanes,
      ROWS: rows,
      TURNS: groupRows / rows,
      BATCH: batch,
      STRIDE: stride,
      X_STRIDE: x.stride / 4,
      // the kernel norms x only if its rows are whole vectors
      COLS: stride * vectorElements(format),
      NORM: isNormed,
      KEEP_X: vectors <= MAX_KEPT_VECTORS,
      EPS: model.rmsNormEps,
    };
    const files = [
      "storage",
      traits.minSubgroupSize > 0 ? "shuffle-subgroups" : "shuffle-none",
      "sections",
      "matvec-core",
    ] as const;
    return {
      files,
      constants,
      threadGroups: threads / lanes,
      outputs: kind === "pair" ? groupRows / 2 : groupRows,
    };
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
