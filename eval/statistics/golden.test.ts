/** numpy and scipy say the same of the same attempts (test/golden/make-statistics.py). */
import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { repositoryPath } from "../../test/golden/open-fixture.ts";
import type { Attempt } from "../attempts/attempt.ts";
import type { Estimate } from "./estimate.ts";
import { signTest, upperEndOfNone } from "./exact.ts";
import { comparePaired, summarise } from "./index.ts";
import { makeAttempt } from "./make-attempt.ts";

interface Interval {
  readonly value: number;
  readonly low: number;
  readonly high: number;
  readonly standardError: number;
}
interface Row {
  readonly problemId: string;
  readonly attempt: number;
  readonly seed: number;
  readonly score: number;
  readonly tokens: number;
  readonly msPerToken: number;
  readonly isCut: boolean;
}
type Figures = Readonly<Record<string, Interval>>;
interface Golden {
  readonly cases: readonly {
    readonly name: string;
    readonly metric: Attempt["metric"];
    readonly ours: readonly Row[];
    readonly theirs: readonly Row[];
    readonly summary: Figures & { readonly median: number; readonly p99: number };
    readonly comparison: Figures & {
      readonly better: number;
      readonly worse: number;
      readonly pValue: number;
    };
  }[];
  readonly exact: readonly { trials: number; all: [number, number]; none: [number, number] }[];
  readonly signs: readonly { better: number; worse: number; pValue: number }[];
}

const golden: Golden = JSON.parse(readFileSync(repositoryPath("test/golden/statistics.json"), "utf8"));
/**
 * Largest distance of an interval's end, in standard errors of the figure: an end of 10,000 resamples has an error of
 * 0.027 of them, and figures of few problems have steps.
 */
const MAX_DISTANCE = 0.15;

/** The rows as attempts; forced tokens are rows of metric loss. */
function toAttempts(rows: readonly Row[], metric: Attempt["metric"], attention: string): Attempt[] {
  return rows.map(({ tokens, isCut, ...row }) =>
    makeAttempt({
      ...row,
      metric,
      attention,
      ...(metric === "loss"
        ? { scoredTokens: tokens, completionTokens: 0, finishReason: "scored" }
        : { completionTokens: tokens, finishReason: isCut ? "length" : "stop" }),
    }),
  );
}

/** `step` is the smallest change that one attempt makes to a share, by which an end may differ, too. */
function expectSame(
  actual: Estimate | undefined,
  expected: Interval | undefined,
  name: string,
  step = 0,
): void {
  if (actual?.interval == null || expected === undefined) throw new Error(`${name}: no figure`);
  const allowed = step * (1 + 1e-9) + MAX_DISTANCE * expected.standardError;
  expect(actual.value, name).toBeCloseTo(expected.value, 10);
  expect(Math.abs(actual.interval[0] - expected.low), name).toBeLessThan(allowed);
  expect(Math.abs(actual.interval[1] - expected.high), name).toBeLessThan(allowed);
}

describe.each(golden.cases)("$name", ({ metric, ours, theirs, summary, comparison }) => {
  const step = metric === "correct" ? 1 / ours.length : 0;
  const attempts = [...toAttempts(theirs, metric, "full"), ...toAttempts(ours, metric, "quest:budget=256")];

  it("summarises as numpy and scipy do", () => {
    const cell = summarise(attempts)[1];
    if (metric === "loss") expectSame(cell?.loss, summary.loss, "loss");
    else
      for (const name of ["accuracy", "generationTokens", "truncated"] as const)
        expectSame(cell?.[name], summary[name], name, name === "generationTokens" ? 0 : step);
    expectSame(cell?.secondsPerProblem, summary.secondsPerProblem, "seconds");
    expectSame(cell?.msPerToken?.mean, summary.msPerToken, "ms a token");
    expect(cell?.msPerToken?.median).toBeCloseTo(summary.median, 10);
    expect(cell?.msPerToken?.p99).toBeCloseTo(summary.p99, 10);
    const passAt: Readonly<Record<string, number>> = JSON.parse(JSON.stringify(summary.passAt ?? {}));
    for (const { k, pass } of cell?.passAt ?? []) expect(pass.value).toBeCloseTo(passAt[k] ?? Number.NaN, 12);
    expect((cell?.passAt.length ?? 0) > 0).toBe(Object.keys(passAt).length > 0);
  });

  it("compares pairs as numpy and scipy do", () => {
    const [compared] = comparePaired(attempts, "full");
    const names = metric === "loss" ? [] : (["generationTokens", "lengthRatio"] as const);
    for (const name of ["difference", "seconds", "speedup", ...names] as const)
      expectSame(compared?.[name], comparison[name], name, name === "difference" ? step : 0);
    expect(compared?.better).toBe(comparison.better);
    expect(compared?.worse).toBe(comparison.worse);
    expect(compared?.pValue).toBeCloseTo(comparison.pValue, 12);
  });
});

it.each(golden.signs)("the sign test of $better against $worse has scipy's p-value", (row) => {
  expect(signTest(row.better, row.worse)).toBeCloseTo(row.pValue, 11);
});

it.each(golden.exact)("none and all of $trials have Clopper and Pearson's interval", ({
  trials,
  none,
  all,
}) => {
  expect(upperEndOfNone(trials)).toBeCloseTo(none[1], 12);
  expect(1 - upperEndOfNone(trials)).toBeCloseTo(all[0], 12);
});
