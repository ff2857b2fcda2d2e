import type { Backend } from "../backend/backend.ts";
import { throwIfAborted } from "../base/abort.ts";
import type { Fingerprint } from "../base/fingerprint.ts";
import { dimensionsOf, type WeightRef } from "../base/tensor-ref.ts";
import { rowBytes } from "../base/weight-format.ts";
import { WeightConverter } from "./convert-weights.ts";
import { readRows, type WeightPlan } from "./weight-rows.ts";

/** Bytes of one slice of a matrix, about: few beside any model, many beside a disk's latency. */
const SLICE_BYTES = 4 << 20;
/** Reads in flight: a disk or a server answers several at a time while the backend takes earlier ones. */
const READS_AHEAD = 6;

/** Words of 32 bits from one that the fingerprint takes to the next: every row of a matrix has some, and a gigabyte takes 70 ms. */
const FINGERPRINT_STRIDE = 64;

/** A weight to load, and its place, whose format may differ from the plan's. */
export interface PlacedWeight {
  readonly plan: WeightPlan;
  readonly weight: WeightRef;
}

/** Rows of a weight that are read, converted and written together. */
interface Slice extends PlacedWeight {
  /** A multiple of 8. */
  readonly firstRow: number;
  readonly rows: number;
}

/**
 * Reads weights into their places, a few slices at a time and in order, so that no second copy of a weight exists.
 * fingerprint: takes their names and a part of their bytes, as the checkpoint has them
 * @throws ModelFileError, AbortedError between two slices
 */
export async function streamWeights(
  weights: readonly PlacedWeight[],
  backend: Backend,
  {
    signal,
    fingerprint,
  }: { readonly signal?: AbortSignal | undefined; readonly fingerprint?: Fingerprint | undefined } = {},
): Promise<void> {
  const slices = weights.flatMap(slicesOf);
  const converter = new WeightConverter();
  const buffers = new ReadBuffers(slices);
  const reads: Promise<Uint8Array>[] = [];
  let started = 0;
  const readNext = () => {
    const index = started++;
    const slice = slices[index];
    if (!slice) return;
    const read = readRows(slice.plan, slice.firstRow, slice.rows, () => buffers.at(index));
    read.catch(() => {}); // reported when its turn comes
    reads.push(read);
  };
  for (let i = 0; i < READS_AHEAD; i++) readNext();
  for (const { plan, weight, firstRow } of slices) {
    throwIfAborted(signal, "loading the weights");
    const bytes = await (reads.shift() as Promise<Uint8Array>);
    readNext();
    fingerprint?.addText(`${weight.name} ${firstRow}`).addBytes(bytes, FINGERPRINT_STRIDE);
    const stored = await converter.convert(bytes, {
      name: weight.name,
      from: plan.spec.format,
      to: weight.format,
    });
    await backend.writeWeight(weight, firstRow, stored);
  }
}

/** Memory for the reads in flight and the slice that is written meanwhile: fresh pages would take as long as the reads. */
class ReadBuffers {
  readonly #sizeBytes: number;
  readonly #buffers: Uint8Array[] = [];

  constructor(slices: readonly Slice[]) {
    const bytesOf = ({ plan: { spec }, rows }: Slice) =>
      spec.kind === "vector" ? 0 : rows * rowBytes(spec.format, spec.cols);
    this.#sizeBytes = slices.reduce((most, slice) => Math.max(most, bytesOf(slice)), 0);
  }

  /** The memory of a slice by its place in the order of reading. */
  at(index: number): Uint8Array {
    const place = index % (READS_AHEAD + 1);
    this.#buffers[place] ??= new Uint8Array(this.#sizeBytes);
    return this.#buffers[place];
  }
}

function slicesOf({ plan, weight }: PlacedWeight): Slice[] {
  const { rows, cols } = dimensionsOf(plan.spec);
  const atOnce = Math.max(8, Math.floor(SLICE_BYTES / rowBytes(plan.spec.format, cols) / 8) * 8);
  return Array.from({ length: Math.ceil(rows / atOnce) }, (_, i) => ({
    ...{ plan, weight, firstRow: i * atOnce },
    rows: Math.min(atOnce, rows - i * atOnce),
  }));
}
