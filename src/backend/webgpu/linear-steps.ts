import { ShapeError } from "../../base/errors.ts";
import type { WeightRef } from "../../base/tensor-ref.ts";
import { type GpuContext, reducePrelude } from "./context.ts";
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
    const isDirect = isVector && x.stride % 4 === 0 && cols % pieceElements(dtype) === 0;
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

  /** Rows copied, gathered by `rows`, normed; padded with zeros to whole pieces. */
  prepare(x: Rows, cols: number, norm?: WebGpuWeight, gather?: NumberedBuffer): Rows {
    const { recorder, weights, shape, traits } = this.#context;
    if (x.stride !== cols) throw new ShapeError(`rows of ${cols} lie ${x.stride} apart`);
    const stride = padded(cols);
    const kernel = recorder.kernel([reducePrelude(traits), "prepare"], {
      THREADS: 256,
      LANES: 256,
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
    const { recorder, weights, traits, shape } = this.#context;
    const [first] = sections;
    if (!first) return;
    const isPair = options.isPair ?? false;
    const { stride } = first;
    const lanes = lanesFor(stride, traits.maxSubgroupSize);
    const batch = 2 ** Math.ceil(Math.log2(x.count));
    const rowsOfTeam = 4;
    const outputs = isPair ? rowsOfTeam / 2 : rowsOfTeam;
    const kernel = recorder.kernel(["storage", reducePrelude(traits), "matvec"], {
      DTYPE: DTYPE_CODES[first.dtype],
      THREADS: 256,
      LANES: lanes,
      ROWS: rowsOfTeam,
      BATCH: batch,
      STRIDE: stride,
      X_STRIDE: x.stride / 4,
      COLS: cols,
      NORM: options.norm !== undefined,
      PAIR: isPair,
      ADD: options.add ?? false,
      EPS: shape.rmsNormEps,
    });
    const uniform: number[] = [];
    for (let i = 0; i < 3; i++) {
      const section = sections[i];
      if (section) uniform.push(section.part.offset / 16, section.part.rows, section.out, section.bias);
      else uniform.push(0, 0, 0, 0);
    }
    uniform.push((options.norm?.vector ?? 0) / 4, x.count, out.stride);
    const teams = 256 / lanes;
    const blocks = (isPair ? [first] : sections).reduce(
      (sum, { part }) => sum + Math.ceil(part.rows / outputs),
      0,
    );
    const groups = Math.ceil(blocks / teams);
    const columns = Math.min(groups, MAX_GROUPS);
    recorder.dispatch(
      "weights" satisfies Part,
      kernel,
      uniform,
      [first.part.chunk, x.storage, weights.vectors, out.storage],
      columns,
      Math.ceil(groups / columns),
    );
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

function isTiled(x: Rows, cols: number): boolean {
  return x.stride === padded(cols);
}

/** Invocations that share a row: enough to have a piece each, a power of two, at least a subgroup. */
function lanesFor(stride: number, maxSubgroupSize: number): number {
  const wanted = 2 ** Math.floor(Math.log2(Math.max(1, stride)));
  return Math.min(256, Math.max(wanted, maxSubgroupSize, 32));
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
