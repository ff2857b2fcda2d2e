import { mean, sum } from "d3-array";
import { ConfigError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { type Cell, cellName, cellsOf } from "./cells.ts";
import { type EstimateInput, estimateAll, meanOf } from "./estimate.ts";
import { signTest } from "./exact.ts";
import { decodedTokens, isGenerated, secondsOf } from "./figures.ts";
import type { PairedComparison } from "./results.ts";
import { isUndecided, warnOfComparison } from "./warnings.ts";

/** An attempt of the method and the baseline's at the same problem. */
interface Pair {
  readonly ours: Attempt;
  readonly theirs: Attempt;
}
/** [problems], each with its pairs. */
type PairedProblems = readonly (readonly Pair[])[];

/**
 * Compares every method with the baseline, cell by cell. Only attempts at the same problem, with the same number and from the same seed are paired; what
 * has no partner is counted. A cell of which the baseline has no row, or no pair, has no comparison.
 * @throws ConfigError if no attempt is the baseline's
 */
export function comparePaired(attempts: readonly Attempt[], baselineAttention: string): PairedComparison[] {
  const cells = cellsOf(attempts);
  const baselines = new Map(
    cells.filter((cell) => cell.attention === baselineAttention).map((cell) => [placeOf(cell), cell]),
  );
  if (baselines.size === 0 && attempts.length > 0)
    throw new ConfigError(
      `no attempt is of the baseline ${baselineAttention}; expected one of ` +
        [...new Set(cells.map(({ attention }) => attention))].join(", "),
    );
  return cells.flatMap((cell) => {
    const baseline = baselines.get(placeOf(cell));
    if (baseline === undefined || baseline === cell || baseline.metric !== cell.metric) return [];
    return compareCells(cell, baseline) ?? [];
  });
}

function placeOf({ task, length }: Cell): string {
  return JSON.stringify([task, length ?? null]);
}

function compareCells(cell: Cell, baseline: Cell): PairedComparison | undefined {
  const problems = pairUp(cell, baseline);
  if (problems.length === 0) return undefined;
  const pairs = sum(problems, (members) => members.length);
  const total = sum([cell, baseline], ({ problems: of }) => sum(of.values(), (rows) => rows.length));
  const { difference, ...others } = estimateAll(inputsOf(problems, cell.metric));
  if (difference === undefined) return undefined;
  const counts = countSides(problems, cell.metric);
  const comparison: Omit<PairedComparison, "warnings"> = {
    task: cell.task,
    ...(cell.length === undefined ? {} : { length: cell.length }),
    attention: cell.attention,
    baseline: baseline.attention,
    metric: cell.metric,
    problems: problems.length,
    pairs,
    unpaired: total - 2 * pairs,
    difference,
    isUndecided: difference.interval === null || isUndecided(difference.interval, cell.metric),
    ...counts,
    pValue: signTest(counts.better, counts.worse),
    ...others,
  };
  const name = `${cellName(cell)} beside ${baseline.attention}`;
  return { ...comparison, warnings: warnOfComparison(comparison, name) };
}

function pairUp(cell: Cell, baseline: Cell): PairedProblems {
  return [...cell.problems]
    .map(([id, ours]) => {
      const partners = new Map(baseline.problems.get(id)?.map((row) => [row.attempt, row]));
      return ours.flatMap((attempt): Pair[] => {
        const theirs = partners.get(attempt.attempt);
        return theirs?.seed === attempt.seed ? [{ ours: attempt, theirs }] : [];
      });
    })
    .filter((pairs) => pairs.length > 0);
}

function inputsOf(problems: PairedProblems, metric: Attempt["metric"]): Record<string, EstimateInput> {
  const inputs: Record<string, EstimateInput> = {
    difference:
      metric === "correct"
        ? meanOf(problems.map(scoreDifference), "difference")
        : weighted(
            problems,
            ({ ours, theirs }) => (ours.score - theirs.score) * tokensOf(ours),
            ({ ours }) => tokensOf(ours),
          ),
  };
  const generated = keep(problems, isGenerated);
  if (generated) {
    const length = (row: Attempt) => row.completionTokens;
    inputs.generationTokens = meanDifference(generated, length);
    inputs.lengthRatio = weighted(
      generated,
      ({ ours }) => length(ours),
      ({ theirs }) => length(theirs),
    );
  }
  const timed = keep(problems, (row) => row.msPerToken !== undefined && decodedTokens(row) > 0);
  if (timed) {
    const seconds = (row: Attempt) => secondsOf(row) ?? 0;
    inputs.seconds = meanDifference(timed, seconds);
    inputs.speedup = weighted(
      timed,
      ({ theirs }) => seconds(theirs),
      ({ ours }) => seconds(ours),
    );
  }
  return inputs;
}

function tokensOf({ scoredTokens }: Attempt): number {
  return scoredTokens ?? 1;
}

/** The problems with those pairs of which both attempts pass; undefined if none does. */
function keep(problems: PairedProblems, passes: (attempt: Attempt) => boolean): PairedProblems | undefined {
  const kept = problems
    .map((pairs) => pairs.filter(({ ours, theirs }) => passes(ours) && passes(theirs)))
    .filter((pairs) => pairs.length > 0);
  return kept.length > 0 ? kept : undefined;
}

function scoreDifference(pairs: readonly Pair[]): number {
  return mean(pairs, ({ ours, theirs }) => ours.score - theirs.score) ?? 0;
}

function meanDifference(problems: PairedProblems, figure: (attempt: Attempt) => number): EstimateInput {
  const differences = problems.map(
    (pairs) => mean(pairs, ({ ours, theirs }) => figure(ours) - figure(theirs)) ?? 0,
  );
  return meanOf(differences, "quantity");
}

function weighted(
  problems: PairedProblems,
  numerator: (pair: Pair) => number,
  denominator: (pair: Pair) => number,
): EstimateInput {
  return {
    kind: "quantity",
    numerators: problems.map((pairs) => sum(pairs, numerator)),
    denominators: problems.map((pairs) => sum(pairs, denominator)),
  };
}

/** A lower loss and a higher share of right answers are better. */
function countSides(problems: PairedProblems, metric: Attempt["metric"]): { better: number; worse: number } {
  const differences = problems.map(scoreDifference).map((d) => (metric === "loss" ? -d : d));
  return {
    better: differences.filter((d) => d > 0).length,
    worse: differences.filter((d) => d < 0).length,
  };
}
