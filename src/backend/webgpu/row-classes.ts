import type { Capacity } from "../backend.ts";

/** Rows from which a batch is submitted layer by layer: the device begins while the host records the layers after. */
export const FLUSH_ROWS = 64;

/**
 * Row counts that kernels are specialised for: few rows take the kernels of the next power of two, subgroup matrices those of
 * the next multiple of 16, up to 64; all larger counts share a kernel.
 */
const ROW_CLASSES = [1, 2, 4, 8, 16, 32, 48, 64];

/** Row counts that kernels are compiled for. */
export function compiledRowCountsOf({ maxBatchRows }: Capacity): readonly number[] {
  return [...ROW_CLASSES.filter((rows) => rows < maxBatchRows), maxBatchRows];
}
