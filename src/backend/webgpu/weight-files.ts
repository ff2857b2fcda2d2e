/** Files and constants by which a kernel reads the weights of one format, bound as `weights_first`. */
import { formatCode, type WeightFormat } from "../../base/weight-format.ts";
import type { KernelFile } from "./kernel-sources.ts";
import type { Constants, ShaderFile } from "./shader.ts";
import { isQuantised, PIECE, vectorElements } from "./weight-rows.ts";

/** reader: what the kernel adds for weights in floats, and for quantised ones. */
export function weightFiles(
  format: WeightFormat,
  reader: { readonly floats: KernelFile; readonly quantised: KernelFile },
): readonly ShaderFile[] {
  return isQuantised(format)
    ? ["nibbles", "rows:first", `weights-${format}:first`, reader.quantised]
    : ["storage", reader.floats];
}

export function weightConstants(format: WeightFormat, cols: number): Constants {
  return isQuantised(format) ? { PIECES_first: cols / PIECE } : { DTYPE: formatCode(format) };
}

/** Columns with the padding of rows of floats. */
export function paddedColumns(format: WeightFormat, cols: number): number {
  if (isQuantised(format)) return cols;
  const elements = vectorElements(format);
  return Math.ceil(cols / elements) * elements;
}
