import type { WeightDtype } from "../../base/dtype.ts";
import type { Recorder } from "./recorder.ts";
import { DTYPE_CODES, type NumberedBuffer } from "./refs.ts";

/** Fills a buffer with numbers of either sign and magnitudes from 2^exponent to 2^(exponent + 1): a hash of position and seed. */
export function fillRandom(
  recorder: Recorder,
  buffer: NumberedBuffer,
  dtype: WeightDtype,
  seed: number,
  exponent: number,
): void {
  const bias = dtype === "f16" ? 15 : 127;
  recorder.dispatch({
    category: "rest",
    kernel: recorder.kernel(["fill-random"], { DTYPE: DTYPE_CODES[dtype] }),
    params: { seed, exponent: bias + exponent },
    bindings: { words: buffer },
    grid: [8192],
  });
}
