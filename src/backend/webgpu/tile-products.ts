/** Products of many rows of x. */
import { actFile, type GpuContext } from "./context.ts";
import type { HalfRows, Rows } from "./product-inputs.ts";
import { skinnyTile } from "./product-sizes.ts";
import type { NumberedBuffer } from "./refs.ts";
import { type Section, wordsOf } from "./sections.ts";
import type { MatrixTile } from "./tuning.ts";
import { paddedColumns, weightConstants, weightFiles } from "./weight-files.ts";
import { isQuantised } from "./weight-rows.ts";

/** Maximum rows of x of a decode batch: up to here the subgroup matrices only have to keep up with memory. */
const MAX_SKINNY_ROWS = 64;

/** Destination of a product's outputs. */
export interface Target {
  readonly storage: NumberedBuffer;
  /** Elements from row to row. */
  readonly stride: number;
}

/** "gated": out = act(out) * product; "add": out += product. */
export type Mode = "plain" | "add" | "gated";

interface TileOptions<X> {
  readonly x: X;
  readonly out: Target;
  readonly mode: Mode;
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

/** Products with subgroup matrices (gemm-subgroup-matrix.wgsl); with a partner, out = act(first) * partner. */
export function recordMatrix(
  context: GpuContext,
  { section, partner }: { readonly section: Section; readonly partner?: Section },
  { x, out, mode }: TileOptions<HalfRows>,
): void {
  const { recorder, weights } = context;
  const { slice, format, cols } = section;
  const isPair = partner !== undefined;
  const tile =
    x.count <= MAX_SKINNY_ROWS
      ? skinnyTile(x.count, slice.rows, isPair)
      : largeOrNot(context, isPair || mode !== "plain");
  const files = weightFiles(format, { floats: "strip-floats", quantised: "strip-quantised" });
  const act = actFile(context.model);
  const kernel = recorder.kernel(["subgroup-matrix", "strip-sizes", ...files, act, "gemm-subgroup-matrix"], {
    ...weightConstants(format, cols),
    VECTORS: paddedColumns(format, cols) / 8,
    TILE_X: tile.x,
    TILE_W: tile.w,
    STRIP: tile.strip,
    SPLIT_X: tile.splitX,
    SPLIT_W: tile.splitW,
    SPLIT_K: tile.splitK,
    DEPTH: tile.depth,
    BUFFERS: tile.buffers,
    STRIDE: section.stride,
    X_STRIDE: x.vectors,
    PAIR: isPair,
    GATED: mode === "gated",
    ADD: mode === "add",
  });
  recorder.dispatch({
    category: "weights",
    kernel,
    params: {
      ...wordsOf(section),
      ...{ batch: x.count, out_stride: out.stride, partner: (partner?.slice.offset ?? 0) / 16 },
    },
    bindings: {
      ...{ weights_first: slice.slab, x: x.storage, vectors: weights.vectors, scales: x.scales },
      ...(!isQuantised(format) && { partner: partner?.slice.slab ?? "unused" }),
      out: out.storage,
    },
    grid: [Math.ceil(x.count / tile.x), Math.ceil(slice.rows / (isPair ? tile.w / 2 : tile.w))],
  });
}

/** The larger tile gains up to a tenth if outputs are many or also read, and costs as much otherwise. */
function largeOrNot({ tuning }: GpuContext, isLarge: boolean): MatrixTile {
  const { matrixTile, largeMatrixTile } = tuning;
  return isLarge ? largeMatrixTile : matrixTile;
}
