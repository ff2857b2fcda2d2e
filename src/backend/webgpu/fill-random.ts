import type { WeightFormat } from "../../base/weight-format.ts";
import { formatCode } from "../../base/weight-format.ts";
import type { Recorder } from "./recorder.ts";
import type { NumberedBuffer } from "./refs.ts";

/** Fills a buffer with numbers of either sign and magnitudes from 2^exponent to 2^(exponent + 1): a hash of position and seed. */
export function fillRandom(
  recorder: Recorder,
  buffer: NumberedBuffer,
  format: WeightFormat,
  seed: number,
  exponent: number,
): void {
  const bias = format === "f16" ? 15 : 127;
  recorder.dispatch({
    category: "rest",
    kernel: recorder.kernel(["fill-random"], { DTYPE: formatCode(format) }),
    params: { seed, exponent: bias + exponent },
    bindings: { words: buffer },
    grid: [8192],
  });
}

/** Fills rows of int8 with a hash of position and seed, and the f32 scales behind each row with 2^-7. */
export function fillRandomInt8(
  recorder: Recorder,
  buffer: NumberedBuffer,
  seed: number,
  { rowBytes, scaleBytes }: { readonly rowBytes: number; readonly scaleBytes: number },
): void {
  recorder.dispatch({
    category: "rest",
    kernel: recorder.kernel(["fill-q8"], { ROW_WORDS: rowBytes / 4, SCALE_WORDS: scaleBytes / 4 }),
    params: { seed },
    bindings: { words: buffer },
    grid: [8192],
  });
}
