/** Products of many rows of x. */
import { actFile, type GpuContext } from "./context.ts";
import type { HalfRows, Rows } from "./product-inputs.ts";
import { skinnyTile } from "./product-sizes.ts";
import { type Section, sectionParams, wordsOf } from "./sections.ts";
import type { SliceSums, Target } from "./slice-sums.ts";
import { fitTile, matrixConstants } from "./subgroup-matrices.ts";
import type { MatrixTile, Tuning } from "./tuning.ts";
import { paddedColumns, weightConstants, weightFiles } from "./weight-files.ts";
import { isQuantised } from "./weight-rows.ts";

/** Maximum rows of x of a decode batch: up to here the subgroup matrices only have to keep up with memory. */
const MAX_SKINNY_ROWS = 64;

/** "gated": out = act(out) * product; "add": out += product. */
export type Mode = "plain" | "add" | "gated";

interface TileOptions<X> {
  readonly x: X;
  readonly out: Target;
  readonly mode: Mode;
  /** The sums of slices may be left. */
  readonly mayLeave?: boolean;
}

/** Products of rows of x by tiles in workgroup memory (gemm.wgsl). */
export function recordTiles(
  context: GpuContext,
  section: Section,
  { x, out, mode }: TileOptions<Rows>,
): void {
  const { recorder, weights } = context;
  const { slice, format, cols } = section;
  // large tiles of few outputs leave most of the device idle
  const isSmall = x.count <= 64 || slice.rows <= 1024;
  const side = isSmall ? 1 : 2;
  const files = weightFiles(format, { floats: "tile-floats", quantised: "tile-quantised" });
  const kernel = recorder.kernel(["gemm-sizes", ...files, actFile(context.model), "gemm"], {
    ...weightConstants(format, cols),
    COLS: paddedColumns(format, cols),
    SIDE_X: side,
    SIDE_W: side,
    STRIDE: section.stride,
    X_STRIDE: x.stride / 4,
    GATED: mode === "gated",
    ADD: mode === "add",
  });
  recorder.dispatch({
    category: "weights",
    kernel,
    params: { ...wordsOf(section), batch: x.count, out_stride: out.stride },
    bindings: { weights_first: slice.slab, x: x.storage, vectors: weights.vectors, out: out.storage },
    grid: [Math.ceil(x.count / (64 * side)), Math.ceil(slice.rows / (64 * side))],
  });
}

/** Products with subgroup matrices (gemm-subgroup-matrix.wgsl); with a partner of one section, out = act(first) * partner. */
export function recordMatrix(
  context: GpuContext,
  { sections, partner }: { readonly sections: readonly Section[]; readonly partner?: Section },
  { x, out, mode, mayLeave }: TileOptions<HalfRows>,
  sums: SliceSums,
): void {
  const { recorder, weights, tuning, traits } = context;
  const [first] = sections;
  const shape = traits.subgroupMatrix;
  if (!shape) throw new TypeError("products with subgroup matrices on a device that has none");
  if (!first) return;
  const { slice, format, cols } = first;
  const isPair = partner !== undefined;
  const all = partner ? [first, partner] : sections;
  const rows = sections.reduce((sum, section) => sum + section.slice.rows, 0);
  const wanted =
    x.count <= MAX_SKINNY_ROWS
      ? skinnyTile(context, shape, x.count, isPair ? 2 * rows : rows)
      : largeOrNot(tuning, isPair || mode !== "plain");
  const tile = fitTile(wanted, shape, traits);
  const strips = Math.ceil(paddedColumns(format, cols) / tile.strip);
  const slices =
    isPair || mode === "gated" || !areSummed(sections, out) ? 1 : divisorUpTo(strips, tile.slices);
  const files = weightFiles(format, { floats: "strip-floats", quantised: "strip-quantised" });
  const prelude = ["subgroup-matrix", "sections", "strip-sizes"] as const;
  const kernel = recorder.kernel([...prelude, ...files, actFile(context.model), "gemm-subgroup-matrix"], {
    ...weightConstants(format, cols),
    ...matrixConstants(shape, traits),
    VECTORS: paddedColumns(format, cols) / 8,
    TILE_X: tile.x,
    TILE_W: tile.w,
    STRIP: tile.strip,
    SPLIT_X: tile.splitX,
    SPLIT_W: tile.splitW,
    SPLIT_K: tile.splitK,
    DEPTH: tile.depth,
    BUFFERS: tile.buffers,
    SLICES: slices,
    STRIDE: first.stride,
    X_STRIDE: x.vectors,
    PAIR: isPair,
    GATED: mode === "gated",
    ADD: mode === "add" && slices === 1,
  });
  const outRows = isPair ? tile.w / 2 : tile.w;
  const target = slices === 1 ? out.storage : sums.reserve(slices, x.count * out.stride);
  recorder.dispatch({
    category: "weights",
    kernel,
    params: {
      ...sectionParams(all),
      ...{ batch: x.count, out_stride: out.stride, slice_stride: x.count * out.stride },
    },
    bindings: {
      ...{ weights_first: slice.slab, x: x.storage, vectors: weights.vectors, scales: x.scales },
      ...(!isQuantised(format) && { partner: partner?.slice.slab ?? "unused" }),
      out: target,
    },
    grid: [
      Math.ceil(x.count / tile.x),
      sections.reduce((sum, section) => sum + Math.ceil(section.slice.rows / outRows), 0),
      slices,
    ],
  });
  if (slices === 1) return;
  const left = { slices, first: first.out, rows: x.count, columns: rows, out, isAdded: mode === "add" };
  if (mayLeave) sums.leave(left);
  else sums.record(left);
}

/** True if the sums of slices can be added up by whole vec4s, of one run of columns. */
function areSummed(sections: readonly Section[], { stride }: Target): boolean {
  let next = sections[0]?.out ?? 0;
  if (stride % 4 !== 0 || next % 4 !== 0) return false;
  for (const { out, slice } of sections) {
    if (out !== next) return false;
    next += slice.rows;
  }
  return next % 4 === 0;
}

function divisorUpTo(n: number, most: number): number {
  let divisor = Math.max(1, Math.min(n, most));
  while (n % divisor !== 0) divisor--;
  return divisor;
}

/** The larger tile gains up to a tenth if outputs are many or also read, and costs as much otherwise. */
function largeOrNot({ matrixTile, largeMatrixTile }: Tuning, isLarge: boolean): MatrixTile {
  return isLarge ? largeMatrixTile : matrixTile;
}
