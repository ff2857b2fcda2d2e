import { decodeWeights, dtypeBytes } from "../base/dtype.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** Bytes of one read. */
const SLICE_BYTES = 4 << 20;

/** A tensor with values that are not finite, and how many. */
export interface WeightProblem {
  readonly tensor: string;
  readonly nan: number;
  readonly infinite: number;
}

/** Reads every weight once and counts the values that are not finite. */
export async function scanWeights(checkpoint: Checkpoint): Promise<WeightProblem[]> {
  const problems: WeightProblem[] = [];
  const values = new Float32Array(SLICE_BYTES / 2);
  for (const entry of checkpoint.tensors.values()) {
    if (!entry.dtype) continue;
    let nan = 0;
    let infinite = 0;
    for (let at = 0; at < entry.sizeBytes; at += SLICE_BYTES) {
      const bytes = await entry.source.read(entry.offset + at, Math.min(SLICE_BYTES, entry.sizeBytes - at));
      decodeWeights(bytes, entry.dtype, values);
      const count = bytes.byteLength / dtypeBytes(entry.dtype);
      for (let i = 0; i < count; i++) {
        const value = values[i];
        if (Number.isFinite(value)) continue;
        if (Number.isNaN(value)) nan++;
        else infinite++;
      }
    }
    if (nan + infinite > 0) problems.push({ tensor: entry.name, nan, infinite });
  }
  return problems;
}
