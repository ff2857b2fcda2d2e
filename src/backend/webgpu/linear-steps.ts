import type { WeightDtype } from "../../base/dtype.ts";
import { ShapeError } from "../../base/errors.ts";
import type { WeightRef } from "../../base/tensor-ref.ts";
import { type DeviceTraits, type GpuContext, reducePrelude, stepConstants } from "./context.ts";
import type { Part } from "./recorder.ts";
import { DTYPE_CODES, type NumberedBuffer, pieceElements, WebGpuWeight, type WeightPart } from "./refs.ts";

/** Most rows of x that the matrix-vector kernel takes; past them tiles are faster. */
const MAX_VECTOR_ROWS = 8;
const MAX_GROUPS = 65535;

/** Rows of x: where they are and how they lie. */
export interface Rows {
  readonly storage: NumberedBuffer;
  /** Elements from row to row. */
  readonly stride: number;
  readonly count: number;
}

/** One product of a dispatch: out[:, out + row] (+)= W[row] · x (+ bias). */
export interface Product {
  readonly weight: WebGpuWeight;
  /** Column of its first output. */
  readonly out: number;
  readonly bias?: WebGpuWeight | undefined;
}

export interface ProductOptions {
  /** x is normed on the way. */
  readonly norm?: WebGpuWeight | undefined;
  /** out += instead of out =. */
  readonly add?: boolean;
  /** Of the two products: out = silu(first) * second. */
  readonly isPair?: boolean;
}

interface Section {
  readonly part: WeightPart;
  readonly out: number;
  readonly bias: number;
  readonly dtype: WebGpuWeight["dtype"];
  readonly stride: number;
}

/** Matrix products: few rows by a kernel that streams the weights once, many by tiles. */
export class LinearSteps {
  readonly #context: GpuContext;
  /** f32 rows normed, gathered or padded for a product. */
  readonly #prepared: NumberedBuffer;
  readonly #preparedWidth: number;

  constructor(context: GpuContext) {
    const { shape, buffers } = context;
    this.#context = context;
    const widest = Math.max(shape.hiddenSize, shape.intermediateSize, shape.numQueryHeads * shape.headDim);
    this.#preparedWidth = padded(widest);
    this.#prepared = buffers.storage("prepared rows", shape.maxBatchRows * this.#preparedWidth * 4);
  }

  /** out[b] (+)= products of x[b]; x has `cols` columns. */
  multiply(
    products: readonly Product[],
    x: Rows,
    out: { readonly storage: NumberedBuffer; readonly stride: number },
    options: ProductOptions = {},
  ): void {
    const [first] = products;
    if (!first || x.count === 0) return;
    const { cols, dtype } = first.weight;
    const groups = this.#groupSections(products, options.isPair ?? false);
    // a pair in two buffers is out of reach of one dispatch
    const isVector =
      x.count <= MAX_VECTOR_ROWS &&
      !(options.isPair && groups.some(([gate, up]) => gate?.part.chunk !== up?.part.chunk));
    const isDirect = isVector && isStreamed(x, cols, dtype);
    const norm = options.norm;
    const isNormedOnTheWay = isDirect && norm !== undefined && norm.vector % 4 === 0;
    const isReady = isDirect ? norm === undefined || isNormedOnTheWay : isTiled(x, cols) && !norm;
    const rows = isReady ? x : this.prepare(x, cols, norm);
    const kernelOptions = { ...options, norm: isNormedOnTheWay ? norm : undefined };
    for (const sections of groups) {
      if (isVector) this.#vector(sections, rows, cols, out, kernelOptions);
      else this.#tiles(sections, rows, out, kernelOptions);
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
    const { recorder, weights, step, shape, cacheDtype, tuning } = this.#context;
    const [first] = products;
    if (!first || x.count > MAX_VECTOR_ROWS || shape.headDim % tuning.matvecRows !== 0) return false;
    const { cols, dtype } = first.weight;
    if (!isStreamed(x, cols, dtype) || norm.vector % 4 !== 0) return false;
    const groups = this.#groupSections(products, false);
    // heads must not be cut between buffers
    if (products.some(({ weight }) => weight.parts.length > 1)) return false;
    for (const sections of groups) {
      const [head] = sections;
      if (!head) continue;
      const core = this.#core(head, x, cols, true);
      const kernel = recorder.kernel(["step", ...core.files, "matvec-heads"], {
        ...stepConstants(this.#context),
        ...core.constants,
        HEAD_DIM: shape.headDim,
        QUERY_HEADS: shape.numQueryHeads,
        CACHE_IS_F16: cacheDtype === "f16",
      });
      const blocks = sections.reduce((sum, { part }) => sum + part.rows / core.constants.ROWS, 0);
      const [columns, rows] = gridOf(Math.ceil(blocks / core.teams));
      recorder.dispatch(
        "weights",
        kernel,
        [...sectionWords(sections), norm.vector / 4, x.count],
        [head.part.chunk, x.storage, weights.vectors, step.storage, out.query, out.keys, out.values],
        columns,
        rows,
      );
    }
    return true;
  }

  /** Rows copied, gathered by `rows`, normed; padded with zeros to whole pieces. */
  prepare(x: Rows, cols: number, norm?: WebGpuWeight, gather?: NumberedBuffer): Rows {
    const { recorder, weights, shape, traits } = this.#context;
    if (x.stride !== cols) throw new ShapeError(`rows of ${cols} lie ${x.stride} apart`);
    const stride = padded(cols);
    const threads = traits.isEmulated ? 64 : 256;
    const kernel = recorder.kernel([reducePrelude(traits, threads), "prepare"], {
      THREADS: threads,
      LANES: threads,
      COLS: cols,
      OUT_STRIDE: stride,
      NORM: norm !== undefined,
      GATHER: gather !== undefined,
      EPS: shape.rmsNormEps,
    });
    const none = weights.vectors;
    recorder.dispatch(
      "weights",
      kernel,
      [norm?.vector ?? 0],
      [x.storage, weights.vectors, gather ?? none, this.#prepared],
      x.count,
    );
    return { storage: this.#prepared, stride, count: x.count };
  }

  /** Parts of the products in groups that one dispatch can reach: the same buffer and dtype, at most three. */
  #groupSections(products: readonly Product[], isPair: boolean): Section[][] {
    const sections = products.map(({ weight, out, bias }) =>
      weight.parts.map((part) => ({
        part,
        out: out + part.firstRow,
        bias: bias ? bias.vector + part.firstRow + 1 : 0,
        dtype: weight.dtype,
        stride: weight.stride,
      })),
    );
    if (isPair) {
      const [gates = [], ups = []] = sections;
      return pairUp(gates, ups);
    }
    const groups: Section[][] = [];
    for (const section of sections.flat()) {
      const last = groups[groups.length - 1];
      const head = last?.[0];
      if (
        last &&
        head &&
        last.length < 3 &&
        head.part.chunk === section.part.chunk &&
        head.dtype === section.dtype
      )
        last.push(section);
      else groups.push([section]);
    }
    return groups;
  }

  #vector(
    sections: readonly Section[],
    x: Rows,
    cols: number,
    out: { readonly storage: NumberedBuffer; readonly stride: number },
    options: ProductOptions,
  ): void {
    const { recorder, weights } = this.#context;
    const [first] = sections;
    if (!first) return;
    const isPair = options.isPair ?? false;
    const core = this.#core(first, x, cols, options.norm !== undefined);
    const outputs = isPair ? core.constants.ROWS / 2 : core.constants.ROWS;
    const kernel = recorder.kernel([...core.files, "matvec"], {
      ...core.constants,
      PAIR: isPair,
      ADD: options.add ?? false,
    });
    const blocks = (isPair ? [first] : sections).reduce(
      (sum, { part }) => sum + Math.ceil(part.rows / outputs),
      0,
    );
    const [columns, rows] = gridOf(Math.ceil(blocks / core.teams));
    recorder.dispatch(
      "weights" satisfies Part,
      kernel,
      [...sectionWords(sections), (options.norm?.vector ?? 0) / 4, x.count, out.stride],
      [first.part.chunk, x.storage, weights.vectors, out.storage],
      columns,
      rows,
    );
  }

  /** The part that all matrix-vector kernels share: its files and constants, and the teams of a workgroup. */
  #core(first: Section, x: Rows, cols: number, isNormed: boolean) {
    const { traits, tuning, shape } = this.#context;
    const { stride } = first;
    const lanes = lanesFor(stride, traits);
    const threads = Math.max(tuning.matvecThreads, lanes);
    const batch = 2 ** Math.ceil(Math.log2(x.count));
    const constants = {
      DTYPE: DTYPE_CODES[first.dtype],
      THREADS: threads,
      LANES: lanes,
      ROWS: tuning.matvecRows,
      BATCH: batch,
      // sums of many rows of x take the registers that loads in flight would
      UNROLL: Math.max(1, Math.min(Math.floor(tuning.matvecUnroll / batch) || 1, Math.ceil(stride / lanes))),
      STRIDE: stride,
      X_STRIDE: x.stride / 4,
      COLS: cols,
      NORM: isNormed,
      EPS: shape.rmsNormEps,
    };
    return {
      files: ["storage", reducePrelude(traits, lanes), "matvec-core"],
      constants,
      teams: threads / lanes,
    };
  }

  #tiles(
    sections: readonly Section[],
    x: Rows,
    out: { readonly storage: NumberedBuffer; readonly stride: number },
    options: ProductOptions,
  ): void {
    const { recorder, weights } = this.#context;
    sections.forEach((section, i) => {
      const isSmall = x.count <= 64 || section.part.rows <= 1024;
      const side = isSmall ? 4 : 8;
      const kernel = recorder.kernel(["storage", "gemm"], {
        DTYPE: DTYPE_CODES[section.dtype],
        SIDE: side,
        STRIDE: section.stride,
        X_STRIDE: x.stride / 4,
        PAIR: (options.isPair ?? false) && i === 1,
        ADD: options.add ?? false,
      });
      const { part } = section;
      recorder.dispatch(
        "weights",
        kernel,
        [part.offset / 16, part.rows, section.out, section.bias, x.count, out.stride],
        [part.chunk, x.storage, weights.vectors, out.storage],
        Math.ceil(part.rows / (16 * side)),
        Math.ceil(x.count / (16 * side)),
      );
    });
  }

  static weight(ref: WeightRef, rows: number, cols: number): WebGpuWeight {
    const weight = WebGpuWeight.of(ref);
    if (weight.rows !== rows || weight.cols !== cols)
      throw new ShapeError(
        `weight ${weight.name} is [${weight.rows}, ${weight.cols}], the step needs [${rows}, ${cols}]`,
      );
    return weight;
  }
}

/** Columns with the padding of prepared rows: whole pieces of every dtype. */
export function padded(cols: number): number {
  return Math.ceil(cols / 8) * 8;
}

/** Whether the matrix-vector kernels can read x as it lies, by whole pieces. */
function isStreamed(x: Rows, cols: number, dtype: WeightDtype): boolean {
  return x.stride % 4 === 0 && cols % pieceElements(dtype) === 0;
}

function isTiled(x: Rows, cols: number): boolean {
  return x.stride === padded(cols);
}

/** Invocations that share a row: one subgroup where all have the same size, else enough to have a piece each. */
function lanesFor(stride: number, traits: DeviceTraits): number {
  const { minSubgroupSize, maxSubgroupSize } = traits;
  if (minSubgroupSize === maxSubgroupSize && minSubgroupSize >= 16) return minSubgroupSize;
  const wanted = 2 ** Math.floor(Math.log2(Math.max(1, stride)));
  return Math.min(traits.isEmulated ? 64 : 256, Math.max(wanted, maxSubgroupSize, 32));
}

/** The uniform words of up to three sections. */
function sectionWords(sections: readonly Section[]): number[] {
  return [0, 1, 2].flatMap((i) => {
    const section = sections[i];
    return section ? [section.part.offset / 16, section.part.rows, section.out, section.bias] : [0, 0, 0, 0];
  });
}

/** Workgroups as columns and rows: a dimension takes at most 65535. */
function gridOf(groups: number): readonly [columns: number, rows: number] {
  const columns = Math.min(groups, MAX_GROUPS);
  return [columns, Math.ceil(groups / columns)];
}

/** Gate and up by rows that lie in one buffer each; cut where either is cut. */
function pairUp(gates: readonly Section[], ups: readonly Section[]): Section[][] {
  const pairs: Section[][] = [];
  for (const gate of gates)
    for (const up of ups) {
      const from = Math.max(gate.part.firstRow, up.part.firstRow);
      const to = Math.min(gate.part.firstRow + gate.part.rows, up.part.firstRow + up.part.rows);
      if (from < to) pairs.push([cut(gate, from, to), cut(up, from, to)]);
    }
  return pairs;
}

function cut(section: Section, from: number, to: number): Section {
  const { part } = section;
  const skipped = from - part.firstRow;
  return {
    ...section,
    out: section.out + skipped,
    part: { ...part, firstRow: from, rows: to - from, offset: part.offset + skipped * section.stride * 16 },
  };
}
