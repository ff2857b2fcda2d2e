import { group } from "d3-array";
import { bootstrapIntervals, type Interval, type Ratio, ratioOf } from "./bootstrap.ts";
import { upperEndOfNone } from "./exact.ts";

/** A figure with its 95 % interval over problems. */
export interface Estimate {
  readonly value: number;
  /** Null if a single problem was tried, which says nothing of others. */
  readonly interval: Interval | null;
  /**
   * bootstrap: resampled problems, percentiles. exact: Clopper and Pearson's, since every problem came out the same and
   * resampling finds no width. single: there is one problem. constant: the same figure for every problem, with no bound on others.
   */
  readonly intervalBy: "bootstrap" | "exact" | "single" | "constant";
}

/** share: from 0 to 1. difference: of two shares, from -1 to 1. quantity: any number. */
export type EstimateKind = "share" | "difference" | "quantity";

export interface EstimateInput extends Ratio {
  readonly kind: EstimateKind;
}

/** The mean of one figure a problem. */
export function meanOf(figures: ArrayLike<number>, kind: EstimateKind): EstimateInput {
  return { numerators: figures, denominators: new Float64Array(figures.length).fill(1), kind };
}

/** Estimates several figures; those of equally many problems, at least 1, come from the same resamples. */
export function estimateAll(inputs: Readonly<Record<string, EstimateInput>>): Record<string, Estimate> {
  const estimates: Record<string, Estimate> = {};
  const resampled: { name: string; input: EstimateInput }[] = [];
  for (const [name, input] of Object.entries(inputs)) {
    const known = withoutResampling(input);
    if (known === undefined) resampled.push({ name, input });
    else estimates[name] = known;
  }
  for (const [problems, members] of group(resampled, ({ input }) => input.numerators.length)) {
    const ratios = members.map(({ input }) => input);
    for (const [i, interval] of bootstrapIntervals(ratios, problems).entries()) {
      const member = members[i];
      if (member)
        estimates[member.name] = { value: ratioOf(member.input), interval, intervalBy: "bootstrap" };
    }
  }
  return estimates;
}

/** The estimate, if resampling the problems would find no width. */
function withoutResampling(input: EstimateInput): Estimate | undefined {
  const { numerators, denominators, kind } = input;
  const problems = numerators.length;
  if (problems === 0) throw new RangeError("an estimate needs at least one problem");
  const value = ratioOf(input);
  const [firstNumerator = 0, firstDenominator = 1] = [numerators[0], denominators[0]];
  const isSame = Array.from(numerators).every(
    (numerator, i) => numerator * firstDenominator === firstNumerator * (denominators[i] ?? 0),
  );
  const isEnd = kind === "share" || (kind === "difference" && Math.abs(value) <= 1);
  if (isSame && isEnd && Number.isInteger(value))
    return { value, interval: endInterval(value, kind, upperEndOfNone(problems)), intervalBy: "exact" };
  if (problems === 1) return { value, interval: null, intervalBy: "single" };
  return isSame ? { value, interval: [value, value], intervalBy: "constant" } : undefined;
}

/** Bounds at the ends of the scale. No difference in n problems bounds the share of problems that differ, either way. */
function endInterval(value: number, kind: EstimateKind, width: number): Interval {
  if (value === 1) return [1 - width, 1];
  if (value === -1) return [-1, -1 + width];
  return kind === "share" ? [0, width] : [-width, width];
}
