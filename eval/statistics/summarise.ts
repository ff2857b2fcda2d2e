import { quantile } from "d3-array";
import type { Attempt } from "../attempts/attempt.ts";
import type { Interval } from "./bootstrap.ts";
import { type Cell, cellName, cellsOf } from "./cells.ts";
import { type Estimate, type EstimateInput, estimateAll } from "./estimate.ts";
import { passAtK } from "./exact.ts";
import {
  decodedTokens,
  isGenerated,
  meanOverProblems,
  meanOverTokens,
  type Problems,
  secondsOf,
} from "./figures.ts";
import type { CellSummary, TokenTime } from "./results.ts";
import { warnOfCell } from "./warnings.ts";

/**
 * Summarises attempts, one summary a cell in the order in which cells first appear.
 * @throws ConfigError if a cell mixes settings or has an attempt twice
 */
export function summarise(attempts: readonly Attempt[]): CellSummary[] {
  return cellsOf(attempts).map(summariseCell);
}

function summariseCell(cell: Cell): CellSummary {
  const problems = [...cell.problems.values()];
  const rows = problems.flat();
  const counts = problems.map((attempts) => attempts.length);
  const fewest = Math.min(...counts);
  const inputs = inputsOf(cell, problems);
  const passes = cell.metric === "correct" ? passInputs(problems, fewest) : [];
  const estimates = estimateAll({
    ...inputs,
    ...Object.fromEntries(passes.map(({ k, input }) => [`pass@${k}`, input])),
  });
  const { loss } = estimates;
  const summary: Omit<CellSummary, "warnings"> = {
    task: cell.task,
    ...(cell.length === undefined ? {} : { length: cell.length }),
    attention: cell.attention,
    metric: cell.metric,
    problems: problems.length,
    attempts: rows.length,
    attemptsPerProblem: [fewest, Math.max(...counts)],
    ...pick(estimates, ["accuracy", "loss", "generationTokens", "truncated"]),
    ...pick(estimates, ["secondsPerProblem", "attendedFraction"]),
    ...(loss === undefined ? {} : { perplexity: exponential(loss) }),
    passAt: passes.flatMap(({ k }) => {
      const pass = estimates[`pass@${k}`];
      return pass === undefined ? [] : [{ k, pass }];
    }),
    ...tokenTime(rows, estimates.msPerToken),
  };
  return { ...summary, warnings: warnOfCell(summary, cellName(cell)) };
}

/** The figures that these attempts have. */
function inputsOf(cell: Cell, problems: Problems): Record<string, EstimateInput> {
  const inputs: Record<string, EstimateInput> = {};
  if (cell.metric === "correct") inputs.accuracy = meanOverProblems(problems, "share", ({ score }) => score);
  else
    inputs.loss = meanOverTokens(
      problems,
      ({ score }) => score,
      ({ scoredTokens }) => scoredTokens ?? 1,
    );
  const generated = keep(problems, isGenerated);
  if (generated) {
    inputs.generationTokens = meanOverProblems(generated, "quantity", (row) => row.completionTokens);
    inputs.truncated = meanOverProblems(generated, "share", (row) => (row.finishReason === "length" ? 1 : 0));
  }
  const timed = keep(problems, (row) => row.msPerToken !== undefined && decodedTokens(row) > 0);
  if (timed) {
    inputs.secondsPerProblem = meanOverProblems(timed, "quantity", (row) => secondsOf(row) ?? 0);
    inputs.msPerToken = meanOverTokens(timed, (row) => row.msPerToken ?? 0, decodedTokens);
  }
  const attended = keep(problems, (row) => row.attendedFraction !== undefined);
  if (attended)
    inputs.attendedFraction = meanOverProblems(attended, "quantity", (row) => row.attendedFraction ?? 0);
  return inputs;
}

/** The problems with those attempts that pass, without problems that keep none; undefined if none does. */
function keep(problems: Problems, passes: (attempt: Attempt) => boolean): Problems | undefined {
  const kept = problems.map((attempts) => attempts.filter(passes)).filter((attempts) => attempts.length > 0);
  return kept.length > 0 ? kept : undefined;
}

function passInputs(problems: Problems, fewest: number): { k: number; input: EstimateInput }[] {
  const sizes = new Set<number>();
  for (let k = 2; k < fewest; k *= 2) sizes.add(k);
  if (fewest >= 2) sizes.add(fewest);
  return [...sizes].map((k) => ({
    k,
    input: {
      kind: "share",
      numerators: problems.map((attempts) => {
        const right = attempts.filter(({ score }) => score === 1).length;
        return passAtK({ attempts: attempts.length, right, k });
      }),
      denominators: new Array<number>(problems.length).fill(1),
    },
  }));
}

/** exp of an estimate; an interval of a monotone function has the function of its ends. */
function exponential({ value, interval, intervalBy }: Estimate): Estimate {
  const ends: Interval | null = interval && [Math.exp(interval[0]), Math.exp(interval[1])];
  return { value: Math.exp(value), interval: ends, intervalBy };
}

function tokenTime(rows: readonly Attempt[], mean: Estimate | undefined): { msPerToken?: TokenTime } {
  if (mean === undefined) return {};
  const times = rows.flatMap(({ msPerToken }) => msPerToken ?? []);
  const at = (share: number) => quantile(times, share) ?? mean.value;
  return { msPerToken: { mean, median: at(0.5), p99: at(0.99) } };
}

function pick<K extends string>(
  estimates: Record<string, Estimate>,
  names: readonly K[],
): { [key in K]?: Estimate } {
  const picked: { [key in K]?: Estimate } = {};
  for (const name of names) {
    const estimate = estimates[name];
    if (estimate !== undefined) picked[name] = estimate;
  }
  return picked;
}
