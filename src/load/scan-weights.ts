import { decodeWeights, elementsIn, rowBytes } from "../base/weight-format.ts";
import type { Checkpoint } from "./checkpoint.ts";

/** Elements decoded at once: whole blocks of every format. */
const SLICE_ELEMENTS = 1 << 21;

/** A tensor with values that are not finite, and how many. */
export interface WeightProblem {
  readonly tensor: string;
  readonly nan: number;
  readonly infinite: number;
}

/** Reads every weight once and counts the values that are not finite. */
export async function scanWeights(checkpoint: Checkpoint): Promise<WeightProblem[]> {
  const problems: WeightProblem[] = [];
  const values = new Float32Array(SLICE_ELEMENTS);
  for (const entry of checkpoint.tensors.values()) {
    if (!entry.format) continue;
    let nan = 0;
    let infinite = 0;
    const sliceBytes = rowBytes(entry.format, SLICE_ELEMENTS);
    for (let at = 0; at < entry.sizeBytes; at += sliceBytes) {
      const bytes = await entry.source.read(entry.offset + at, Math.min(sliceBytes, entry.sizeBytes - at));
      decodeWeights(bytes, entry.format, values);
      const count = elementsIn(entry.format, bytes.byteLength);
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
