/** When figures say too little, by rules that are stated with them. */
import type { Interval } from "./bootstrap.ts";
import type { CellSummary, PairedComparison } from "./results.ts";

/** Widest interval of an accuracy that passes without a warning: 10 points to either side. */
export const WIDEST_ACCURACY = 0.2;
/** Fewest problems that a bootstrap over problems needs to be worth its name. */
export const FEWEST_PROBLEMS = 10;
/** A loss that nobody minds: a point of accuracy, or 0.01 nats a token, which is one percent of perplexity. */
export const HARMLESS = 0.01;
/** A loss that matters: five points of accuracy, or 0.05 nats a token. */
export const HARMFUL = 0.05;

/** The rules in words, for reports. */
export const WARNING_RULES: readonly string[] = [
  `An accuracy is flagged if its 95 % interval is wider than ${100 * WIDEST_ACCURACY} points.`,
  `A comparison is flagged as undecided if its interval holds both a harmless difference (no worse than ${100 * HARMLESS} point, or ${HARMLESS} nats a token) and a harmful one (worse than ${100 * HARMFUL} points, or ${HARMFUL} nats a token).`,
  `Fewer than ${FEWEST_PROBLEMS} problems are flagged: they are too few to resample.`,
];

export function warnOfCell(cell: Omit<CellSummary, "warnings">, name: string): string[] {
  const warnings: string[] = [];
  const { accuracy, problems, attemptsPerProblem } = cell;
  const [fewest, most] = attemptsPerProblem;
  if (problems < FEWEST_PROBLEMS)
    warnings.push(`${name}: ${count(problems, "problem")}, too few to resample`);
  if (accuracy?.interval && widthOf(accuracy.interval) > WIDEST_ACCURACY)
    warnings.push(
      `${name}: the interval of the accuracy is ${(100 * widthOf(accuracy.interval)).toFixed(0)} points wide, ` +
        "too wide to tell methods apart; take more problems",
    );
  if (fewest < most)
    warnings.push(`${name}: ${fewest} to ${most} attempts a problem; the run is not finished`);
  return warnings;
}

type Compared = Pick<PairedComparison, "metric" | "isUndecided" | "problems" | "unpaired">;

export function warnOfComparison(comparison: Compared, name: string): string[] {
  const warnings: string[] = [];
  const { metric, problems, unpaired } = comparison;
  if (unpaired > 0)
    warnings.push(
      `${name}: ${count(unpaired, "attempt")} without a partner of the same problem and seed left out; ` +
        `${count(problems, "shared problem")}`,
    );
  if (problems < FEWEST_PROBLEMS)
    warnings.push(`${name}: ${count(problems, "shared problem")}, too few to resample`);
  if (comparison.isUndecided)
    warnings.push(
      `${name}: undecided, since the interval holds both "no worse than ${margin(HARMLESS, metric)}" and "worse ` +
        `than ${margin(HARMFUL, metric)}"; take more problems`,
    );
  return warnings;
}

/** Whether the interval of a difference, method minus baseline, holds a harmless loss as well as a harmful one. */
export function isUndecided([low, high]: Interval, metric: "correct" | "loss"): boolean {
  return metric === "correct" ? high >= -HARMLESS && low < -HARMFUL : low <= HARMLESS && high > HARMFUL;
}

function margin(size: number, metric: "correct" | "loss"): string {
  return metric === "loss" ? `${size} nats a token` : count(100 * size, "point");
}

function widthOf([low, high]: Interval): number {
  return high - low;
}

function count(number: number, noun: string): string {
  return `${number} ${noun}${number === 1 ? "" : "s"}`;
}
