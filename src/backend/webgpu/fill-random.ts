import type { WeightFormat } from "../../base/weight-format.ts";
import { formatCode } from "../../base/weight-format.ts";
import type { Recorder } from "./recorder.ts";
import type { NumberedBuffer, WebGpuWeight, WeightSlice } from "./refs.ts";
import { isQuantised, type QuantisedFormat, scaleWords } from "./weight-rows.ts";

const GRID: readonly [number] = [8192];

/** Biased exponents of f16 scales that give elements a magnitude of about 2^-6; the least where small scales multiply them. */
const SCALE_EXPONENTS: Readonly<Record<QuantisedFormat, number>> = {
  ...{ q8_0: 3, q4_0: 7, q4_1: 7, q5_1: 6 },
  ...{ q4_k: 1, q5_k: 1, q6_k: 1 },
};

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
    grid: GRID,
  });
}

/** Fills the rows of a quantised matrix in one buffer. */
export function fillRandomRows(
  recorder: Recorder,
  { format, cols, stride }: WebGpuWeight,
  { slab, offset, rows }: WeightSlice,
  seed: number,
): void {
  if (!isQuantised(format)) return;
  const { plain, scales } = scaleWords(format, cols);
  recorder.dispatch({
    category: "rest",
    kernel: recorder.kernel(["fill-random-rows"], { STRIDE: 4 * stride, PLAIN: plain, SCALES: scales }),
    params: { seed, exponent: SCALE_EXPONENTS[format], first: offset / 4, count: rows * stride * 4 },
    bindings: { words: slab },
    grid: GRID,
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
