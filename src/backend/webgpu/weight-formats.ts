import type { WeightFormat } from "../../base/weight-format.ts";
import { QUANTISED_FORMATS } from "./weight-rows.ts";

/** Formats of matrices that the kernels read. */
export const WEBGPU_FORMATS: ReadonlySet<WeightFormat> = new Set([
  "f32",
  "f16",
  "bf16",
  ...QUANTISED_FORMATS,
]);
