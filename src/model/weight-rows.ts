/** Rows of weights in the tensors of a checkpoint. */
import { ShapeError } from "../base/errors.ts";
import type { WeightSpec } from "../base/tensor-ref.ts";
import { decodeWeights, rowBytes, WEIGHT_FORMATS } from "../base/weight-format.ts";
import type { ByteSource } from "../load/byte-source.ts";
import type { TensorEntry } from "../load/tensor-entry.ts";

/** Order of rows, or of a vector's elements: the row of the source that is row i. */
export type RowOrder = (row: number) => number;

/** Consecutive rows of a tensor; of a vector, consecutive elements. */
export interface RowRun {
  readonly entry: TensorEntry;
  readonly firstRow: number;
  readonly numRows: number;
  /** Row of the file that is row i of the run. Absent: firstRow + i. */
  readonly fileRow?: RowOrder;
}

/** A weight that the config asks for, and its rows in the checkpoint. */
export interface WeightPlan {
  readonly spec: WeightSpec;
  /** Together all rows of the weight (all elements of a vector), in its order. All have the weight's format, unless `added` is set. */
  readonly runs: readonly RowRun[];
  /** Added to every element of a vector, which the weight then holds in f32 (Gemma stores norms without their 1). */
  readonly added?: number;
  /** embedding: also of the output matrix; router: of experts, small and never quantised. Absent: any other weight. */
  readonly use?: "embedding" | "router";
}

/**
 * Bytes of rows `firstRow` to `firstRow + numRows - 1` of a matrix, in the format of its spec; of a vector all of it.
 * Rows that lie together in one file are read at once and not copied.
 * buffer: gives memory that the bytes may take, at least as many.
 */
export async function readRows(
  plan: WeightPlan,
  firstRow: number,
  numRows: number,
  buffer?: () => Uint8Array,
): Promise<Uint8Array> {
  const { spec, runs, added } = plan;
  if (spec.kind === "vector") return addTo(await readVector(plan), runs, added);
  const bytes = rowBytes(spec.format, spec.cols);
  const parts = overlaps(runs, firstRow, numRows);
  const [only] = parts;
  if (parts.length === 1 && only) return readRun(only, bytes, buffer);
  const out = new Uint8Array(numRows * bytes);
  let at = 0;
  for (const part of parts) {
    const read = await readRun(part, bytes);
    out.set(read, at);
    at += read.byteLength;
  }
  return out;
}

/** Rows of one run. */
interface Part {
  readonly run: RowRun;
  readonly first: number;
  readonly count: number;
}

/** The rows of the runs that are rows `firstRow` to `firstRow + numRows - 1` of all runs together. */
function overlaps(runs: readonly RowRun[], firstRow: number, numRows: number): Part[] {
  const parts: Part[] = [];
  let start = 0;
  for (const run of runs) {
    const first = Math.max(firstRow, start);
    const count = Math.min(firstRow + numRows, start + run.numRows) - first;
    if (count > 0) parts.push({ run, first: first - start, count });
    start += run.numRows;
  }
  if (firstRow + numRows > start)
    throw new ShapeError(`reading rows ${firstRow} to ${firstRow + numRows} of a weight of ${start} rows`);
  return parts;
}

/** unitBytes: of a row, or of an element of a vector. */
async function readRun(
  { run, first, count }: Part,
  unitBytes: number,
  buffer?: () => Uint8Array,
): Promise<Uint8Array> {
  const { entry, firstRow, fileRow } = run;
  const { source, offset } = entry;
  if (!fileRow) return readBytes(source, offset + (firstRow + first) * unitBytes, count * unitBytes, buffer);
  const rows = Array.from({ length: count }, (_, i) => fileRow(first + i));
  // Orders of rows stay within a head, so that little more than the rows themselves lies between the first and the last.
  const lowest = rows.reduce((a, b) => Math.min(a, b));
  const highest = rows.reduce((a, b) => Math.max(a, b));
  const read = await source.read(offset + lowest * unitBytes, (highest - lowest + 1) * unitBytes);
  const out = new Uint8Array(count * unitBytes);
  rows.forEach((row, i) => {
    out.set(read.subarray((row - lowest) * unitBytes, (row - lowest + 1) * unitBytes), i * unitBytes);
  });
  return out;
}

async function readBytes(
  source: ByteSource,
  offset: number,
  length: number,
  buffer: (() => Uint8Array) | undefined,
): Promise<Uint8Array> {
  if (!buffer || !source.readInto) return source.read(offset, length);
  const bytes = buffer().subarray(0, length);
  await source.readInto(bytes, offset);
  return bytes;
}

async function readVector({ runs: [run] }: WeightPlan): Promise<Uint8Array> {
  if (!run?.entry.format) throw new TypeError("a vector of no tensor was planned");
  return readRun({ run, first: 0, count: run.numRows }, WEIGHT_FORMATS[run.entry.format].blockBytes);
}

function addTo(bytes: Uint8Array, [run]: readonly RowRun[], added: number | undefined): Uint8Array {
  if (added === undefined || !run?.entry.format) return bytes;
  const values = new Float32Array(run.numRows);
  decodeWeights(bytes, run.entry.format, values);
  return new Uint8Array(values.map((value) => value + added).buffer);
}
