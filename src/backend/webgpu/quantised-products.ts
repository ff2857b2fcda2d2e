import { actFile, type GpuContext } from "./context.ts";
import type { Rows } from "./product-inputs.ts";
import { piecesIn, reduceLanesOf } from "./quantised-sizes.ts";
import type { NumberedBuffer, WebGpuWeight } from "./refs.ts";
import { type Section, sectionParams } from "./sections.ts";
import { PIECE, type QuantisedFormat } from "./weight-rows.ts";

/** Maximum rows of x: their digits share workgroup memory. */
export const MAX_QUANTISED_ROWS = 4;
/** Invocations of a reduce group on a device without subgroups. */
const LANES_WITHOUT_SUBGROUPS = 16;
/** Maximum sums at once of an invocation. */
const MAX_SUMS = 16;

export interface QuantisedProduct {
  /** Of one format and buffer. The first two of a pair are its matrices. */
  readonly sections: readonly Section[];
  readonly format: QuantisedFormat;
  readonly x: Rows;
  readonly norm: WebGpuWeight | undefined;
  readonly out: { readonly storage: NumberedBuffer; readonly stride: number };
  /** "pair": out = act(first) * second; "gated": out = act(out) * product; "add": out += product. */
  readonly mode: "plain" | "add" | "pair" | "gated";
}

/** Records matvec-quantised.wgsl: products of quantised weights with few rows of x. */
export function recordQuantised(context: GpuContext, product: QuantisedProduct): void {
  const { recorder, weights, traits, model } = context;
  const { sections, format, x, norm, out, mode } = product;
  const [first] = sections;
  if (!first) return;
  const sizes = sizesOf(context, product, first);
  const hasSubgroups = traits.minSubgroupSize >= 2;
  const kernel = recorder.kernel(
    [
      hasSubgroups ? "shuffle-subgroups" : "shuffle-shared",
      traits.hasPackedDot ? "packed-dot" : "packed-dot-none",
      ...(["sections", "nibbles", "quants"] as const),
      "rows:first",
      `weights-${format}:first`,
      `dot-${format}:first`,
      actFile(model),
      "matvec-quantised",
    ],
    {
      ...sizes.constants,
      PIECES_first: first.cols / PIECE,
      STRIDE: first.stride,
      X_STRIDE: x.stride / 4,
      COLS: first.cols,
      NORM: norm !== undefined,
      EPS: model.rmsNormEps,
      PAIR: mode === "pair",
      GATED: mode === "gated",
      ADD: mode === "add",
    },
  );
  const stacked = mode === "pair" ? [first] : sections;
  const blocks = stacked.reduce((sum, { slice }) => sum + Math.ceil(slice.rows / sizes.outputs), 0);
  recorder.dispatch({
    category: "weights",
    kernel,
    params: {
      ...sectionParams(sections),
      ...{ norm: (norm?.vector ?? 0) / 4, batch: x.count, out_stride: out.stride },
    },
    bindings: { weights_first: first.slice.slab, x: x.storage, vectors: weights.vectors, out: out.storage },
    grid: gridOf(blocks),
  });
}

function sizesOf({ traits, tuning }: GpuContext, { x, mode, sections }: QuantisedProduct, first: Section) {
  const wanted = tuning.matvecQuantised;
  const batch = 2 ** Math.ceil(Math.log2(x.count));
  const lanes = traits.minSubgroupSize >= 2 ? reduceLanesOf(traits) : LANES_WITHOUT_SUBGROUPS;
  const threads = Math.max(lanes, Math.min(wanted.threads, traits.maxInvocations));
  const least = mode === "pair" ? 2 : 1;
  const rows = Math.max(least, Math.min(wanted.rows, MAX_SUMS / batch));
  const numRows = sections.reduce((sum, { slice }) => sum + slice.rows, 0);
  let { turns } = wanted;
  // enough workgroups for all of a device
  while (turns > 1 && numRows / (rows * turns * (threads / lanes)) < tuning.layerWorkgroups) turns /= 2;
  const sums = rows * turns * (threads / lanes) * batch * 4;
  const bytes = Math.min(wanted.bytes, traits.workgroupBytes - sums - threads * 4 - 512);
  const { chunk, span, strips } = piecesIn(bytes / batch, first.cols, lanes, wanted.chunk);
  return {
    outputs: (rows * turns * (threads / lanes)) / least,
    constants: {
      ...{ THREADS: threads, REDUCE_LANES: lanes, ROWS: rows, TURNS: turns, BATCH: batch },
      ...{ CHUNK: chunk, STRIP: span, STRIPS: strips, SPAN: batch * span },
    },
  };
}

const MAX_GROUPS = 65535;

/** Splits workgroups into columns and rows: a dimension holds at most 65535. */
export function gridOf(groups: number): readonly [columns: number, rows: number] {
  const columns = Math.min(groups, MAX_GROUPS);
  return [columns, Math.ceil(groups / columns)];
}
