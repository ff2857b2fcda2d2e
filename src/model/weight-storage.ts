import { ConfigError } from "../base/errors.ts";
import { repackedFormat } from "../base/repack-weights.ts";
import { dimensionsOf } from "../base/tensor-ref.ts";
import { isFloatFormat, rowBytes, type WeightFormat } from "../base/weight-format.ts";
import type { WeightPlan } from "./weight-rows.ts";

/**
 * Precision of the weights. own: as the checkpoint has them. q8, q4: matrices in blocks of 32, made on load; with q4 the embedding
 * and the output matrix take q8. Matrices that the checkpoint has quantised already stay as they are, unless q4 is asked for and
 * they take 8 bits.
 */
export type WeightDtype = "own" | "q8" | "q4";

const BLOCK_ELEMENTS = 32;

/** The format in which a backend with `supported` formats stores a weight. */
export function storedFormat(
  plan: Pick<WeightPlan, "spec" | "use">,
  dtype: WeightDtype,
  supported: ReadonlySet<WeightFormat>,
): WeightFormat {
  const { spec } = plan;
  if (spec.kind === "vector") return spec.format;
  const target = targetFormat(plan, dtype);
  if (target === undefined) return repackedFormat(spec.format, supported);
  if (supported.has(target)) return target;
  throw new ConfigError(`dtype ${dtype}: this backend keeps no ${target} weights; take another backend`);
}

/** The format that a precision makes of a weight; undefined if it leaves the weight as it is. */
function targetFormat(
  { spec, use }: Pick<WeightPlan, "spec" | "use">,
  dtype: WeightDtype,
): WeightFormat | undefined {
  if (dtype === "own" || spec.kind === "vector") return undefined;
  const isWhole = spec.cols % BLOCK_ELEMENTS === 0 && use !== "router";
  const isWide = isFloatFormat(spec.format) || spec.format === "q8_0";
  if (!isWhole || !isWide) return undefined;
  return dtype === "q4" && use === undefined ? "q4_0" : "q8_0";
}

/** True if a backend with these formats has the precision. */
export function canStore(
  plans: readonly Pick<WeightPlan, "spec" | "use">[],
  dtype: WeightDtype,
  supported: ReadonlySet<WeightFormat>,
): boolean {
  return dtype === "own" || plans.every((plan) => supported.has(targetFormat(plan, dtype) ?? "f32"));
}

/** Bytes of all weights as a backend stores them, apart from padding. */
export function storedBytes(
  plans: readonly Pick<WeightPlan, "spec" | "use">[],
  dtype: WeightDtype,
  supported: ReadonlySet<WeightFormat>,
): number {
  let bytes = 0;
  for (const plan of plans) {
    const { rows, cols } = dimensionsOf(plan.spec);
    bytes += rows * rowBytes(storedFormat(plan, dtype, supported), cols);
  }
  return bytes;
}

/** Matrices of one format of the checkpoint, and how they are stored. */
export interface StoredFormat {
  /** In the checkpoint. */
  readonly from: WeightFormat;
  readonly to: WeightFormat;
  readonly matrices: number;
  /** As stored, apart from padding. */
  readonly bytes: number;
}

/** Formats of the matrices, in the order in which they first occur. */
export function storedFormats(
  plans: readonly Pick<WeightPlan, "spec" | "use">[],
  dtype: WeightDtype,
  supported: ReadonlySet<WeightFormat>,
): readonly StoredFormat[] {
  const found = new Map<string, StoredFormat>();
  for (const plan of plans) {
    if (plan.spec.kind === "vector") continue;
    const { rows, cols } = dimensionsOf(plan.spec);
    const from = plan.spec.format;
    const to = storedFormat(plan, dtype, supported);
    const before = found.get(`${from} ${to}`);
    const bytes = (before?.bytes ?? 0) + rows * rowBytes(to, cols);
    found.set(`${from} ${to}`, { from, to, matrices: (before?.matrices ?? 0) + 1, bytes });
  }
  return [...found.values()];
}

/** The precision of a model's weights, and why. */
export interface WeightPrecision {
  readonly dtype: WeightDtype;
  readonly why: string;
  readonly formats: readonly StoredFormat[];
}

/**
 * Notes for people: a precision that nobody asked for, formats that the backend stores as others, and what a named precision
 * makes of a checkpoint that is quantised already.
 */
export function precisionNotes({ dtype, why, formats }: WeightPrecision): readonly string[] {
  const lowered = dtype !== "own" && why.startsWith("auto") ? [`weights in ${dtype}, ${why}`] : [];
  if (formats.every(({ from }) => isFloatFormat(from))) return lowered;
  if (dtype !== "own")
    return [
      ...lowered,
      `dtype ${dtype}, and the checkpoint is quantised already: ${formats.map(describeStored).join(", ")}`,
    ];
  return formats.filter(({ from, to }) => from !== to && !isFloatFormat(from)).map(describeStored);
}

function describeStored({ from, to, matrices }: StoredFormat): string {
  const what = `${matrices === 1 ? "1 matrix" : `${matrices} matrices`} of ${from}`;
  if (from === to) return `${what} left as ${matrices === 1 ? "it is" : "they are"}`;
  if (isFloatFormat(from)) return `${what} ${isFloatFormat(to) ? "stored as" : "quantised to"} ${to}`;
  if (from === "q8_0" && to === "q4_0") return `${what} quantised again, to ${to}, which loses precision`;
  return `${what} stored as ${to}, which holds the same values`;
}
