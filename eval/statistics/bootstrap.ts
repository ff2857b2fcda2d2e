/** Intervals of means and ratios over problems by the bootstrap, several figures from the same resamples. */
import { quantileSorted, sum } from "d3-array";
import { Random } from "../problems/random.ts";

/** Problems drawn with replacement, so many times. */
export const RESAMPLES = 10_000;
/** Share of the interval. Both tails lose the same. */
export const CONFIDENCE = 0.95;
const SEED = 20_251_127;

/** A figure that is a ratio of sums over problems: a mean has denominators of 1. All arrays are [problems]. */
export interface Ratio {
  readonly numerators: ArrayLike<number>;
  readonly denominators: ArrayLike<number>;
}

/** Bounds of an interval of confidence. */
export type Interval = readonly [low: number, high: number];

/** The ratio over all problems. */
export function ratioOf({ numerators, denominators }: Ratio): number {
  return sum(Array.from(numerators)) / sum(Array.from(denominators));
}

/**
 * Percentile bootstrap intervals (Efron 1979) of several figures of the same problems. Attempts at one problem are not
 * independent, so a resample draws whole problems. The same for the same input, on every machine.
 *
 * A resample whose denominators are all 0 has no ratio and is left out.
 */
export function bootstrapIntervals(ratios: readonly Ratio[], problems: number): Interval[] {
  const draw = resamplesOf(problems);
  const figures = ratios.map(() => new Float64Array(RESAMPLES));
  const columns = ratios.map(({ numerators, denominators }) => ({
    numerators: Float64Array.from(numerators),
    denominators: Float64Array.from(denominators),
  }));
  for (let r = 0; r < RESAMPLES; r++) {
    const drawn = draw(r);
    for (const [c, column] of columns.entries()) {
      const figure = figures[c];
      if (figure !== undefined) figure[r] = resampledRatio(column, drawn);
    }
  }
  return figures.map(middle);
}

/** Draws that stay in memory, since all cells of a run have as many problems: 32 MB. */
const MAX_KEPT_DRAWS = 2 ** 23;
let kept: { readonly problems: number; readonly draws: Uint32Array } | undefined;

/** Returns the problems of the r-th resample; r counts up from 0. They depend on the number of problems alone. */
function resamplesOf(problems: number): (r: number) => Uint32Array {
  const random = new Random(SEED);
  if (problems * RESAMPLES > MAX_KEPT_DRAWS) {
    const drawn = new Uint32Array(problems);
    return () => drawn.map(() => random.range(0, problems));
  }
  if (kept?.problems !== problems) {
    const draws = new Uint32Array(problems * RESAMPLES).map(() => random.range(0, problems));
    kept = { problems, draws };
  }
  const { draws } = kept;
  return (r) => draws.subarray(r * problems, (r + 1) * problems);
}

function resampledRatio(
  { numerators, denominators }: { numerators: Float64Array; denominators: Float64Array },
  drawn: Uint32Array,
): number {
  let numerator = 0;
  let denominator = 0;
  for (let i = 0; i < drawn.length; i++) {
    const problem = drawn[i] as number;
    numerator += numerators[problem] as number;
    denominator += denominators[problem] as number;
  }
  return numerator / denominator;
}

/** The middle 95 % of the figures that exist. */
function middle(figures: Float64Array): Interval {
  const sorted = Array.from(figures.filter((figure) => !Number.isNaN(figure)).sort());
  const tail = (1 - CONFIDENCE) / 2;
  return [quantileSorted(sorted, tail) ?? Number.NaN, quantileSorted(sorted, 1 - tail) ?? Number.NaN];
}
