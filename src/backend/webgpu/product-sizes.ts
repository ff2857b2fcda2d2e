/** Sizes and kinds of matrix products: what suits the rows of x and the weights. */
import type { WeightFormat } from "../../base/weight-format.ts";
import type { GpuContext } from "./context.ts";
import type { MatrixShape } from "./device-traits.ts";
import type { Rows } from "./product-inputs.ts";
import type { Product, Section } from "./sections.ts";
import type { MatrixTile } from "./tuning.ts";
import { isQuantised, vectorElements } from "./weight-rows.ts";

/** A thread group takes at least two runs of two rows of a head. */
export const MIN_HEAD_ROWS = 4;

/** Rows of a weight from which workgroups of more rows still fill a large GPU. */
const WIDE_ROWS = 16384;

/** For few rows of x: long strips of few weight rows, whose columns subgroups share, and workgroups where the rows are few. */
export function skinnyTile(
  { tuning }: GpuContext,
  { m }: MatrixShape,
  count: number,
  rows: number,
): MatrixTile {
  const chosen = rows >= WIDE_ROWS ? tuning.wideTile : tuning.narrowTile;
  // the row counts that kernels are compiled for (row-classes.ts)
  const x = count <= m ? m : Math.ceil(count / 16) * 16;
  return { ...chosen, x, splitX: 1, splitW: 1 };
}

/** Invocations that share a row of `stride` vectors: whole reduce groups, as many as possible among those that idle least. */
export function lanesOf(stride: number, reduceLanes: number, most: number): number {
  let best = reduceLanes;
  let least = Number.POSITIVE_INFINITY;
  const enough = Math.ceil(stride / reduceLanes) * reduceLanes; // for one vector each
  const fewest = Math.max(reduceLanes, Math.floor(most / 2 / reduceLanes) * reduceLanes);
  for (let lanes = Math.min(fewest, enough); lanes <= Math.min(most, enough); lanes += reduceLanes) {
    const idle = Math.ceil(stride / lanes) * lanes - stride;
    if (idle <= least) [best, least] = [lanes, idle];
  }
  return best;
}

export function formatsOf(products: readonly Product[]): readonly WeightFormat[] {
  return products.map(({ weight }) => weight.format);
}

/** True if one kernel can read two matrices: quantised ones through one binding. */
export function arePaired(one: Section, other: Section): boolean {
  return one.format === other.format && (!isQuantised(one.format) || one.slice.slab === other.slice.slab);
}

/** True if the matrix-vector kernels can read x in place, by whole vectors. */
export function isStreamed(x: Rows, cols: number, format: WeightFormat): boolean {
  return x.stride % 4 === 0 && (isQuantised(format) || cols % vectorElements(format) === 0);
}

/** Lowers the rows of a workgroup until they divide a head and each invocation finishes at most two pairs. */
export function headRowsOf(rows: number, headDim: number, maxPairs: number): number {
  let headRows = Math.max(MIN_HEAD_ROWS, rows);
  while (headRows > MIN_HEAD_ROWS && (headDim % headRows !== 0 || headRows / MIN_HEAD_ROWS > maxPairs))
    headRows /= 2;
  return headRows;
}
