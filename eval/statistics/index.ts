/** What attempts say, and how sure they are of it. */
export { CONFIDENCE, type Interval, RESAMPLES } from "./bootstrap.ts";
export { comparePaired } from "./compare.ts";
export type { Estimate } from "./estimate.ts";
export type { CellSummary, PairedComparison, TokenTime } from "./results.ts";
export { summarise } from "./summarise.ts";
export { isUndecided, WARNING_RULES } from "./warnings.ts";
