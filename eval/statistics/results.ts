/** What the statistics of a run say. */
import type { Attempt } from "../attempts/attempt.ts";
import type { Estimate } from "./estimate.ts";

/** One cell of a table: a task at a length under an attention policy. Means are over problems unless they say otherwise. */
export interface CellSummary {
  readonly task: string;
  readonly length?: number;
  readonly attention: string;
  readonly metric: Attempt["metric"];
  readonly problems: number;
  readonly attempts: number;
  /** Fewest and most attempts at a problem; they differ in a run that was not finished. */
  readonly attemptsPerProblem: readonly [fewest: number, most: number];
  /** avg@k: share of right attempts, of `metric` correct. */
  readonly accuracy?: Estimate;
  /** pass@k for powers of two, and for as many attempts as every problem has; from 2. */
  readonly passAt: readonly { readonly k: number; readonly pass: Estimate }[];
  /** Mean negative log-likelihood a token in nats, over tokens, of `metric` loss. */
  readonly loss?: Estimate;
  readonly perplexity?: Estimate;
  /** Tokens of a response; absent for forced tokens. */
  readonly generationTokens?: Estimate;
  /** Share of responses cut at the token limit; absent for forced tokens. */
  readonly truncated?: Estimate;
  /** Generation length times time a token; absent if no attempt was timed. */
  readonly secondsPerProblem?: Estimate;
  readonly msPerToken?: TokenTime;
  /** Share of the cached bytes that decoding read. */
  readonly attendedFraction?: Estimate;
  /** What a reader of the figures has to know, such as an interval too wide to say anything. */
  readonly warnings: readonly string[];
}

/** Milliseconds of a decode step. `mean` is over tokens; median and p99 are over the means of attempts. */
export interface TokenTime {
  readonly mean: Estimate;
  readonly median: number;
  readonly p99: number;
}

/** A method beside the baseline on the same problems and seeds. Differences are method minus baseline. */
export interface PairedComparison {
  readonly task: string;
  readonly length?: number;
  readonly attention: string;
  readonly baseline: string;
  readonly metric: Attempt["metric"];
  /** Problems that both tried. */
  readonly problems: number;
  /** Attempts of both at the same problem from the same seed. */
  readonly pairs: number;
  /** Attempts of either that have no partner. */
  readonly unpaired: number;
  /** Of accuracy (a share), or of loss (nats a token, over tokens). */
  readonly difference: Estimate;
  /** Problems on which the method did better, and worse. */
  readonly better: number;
  readonly worse: number;
  /** Two-sided, of the exact sign test over problems; McNemar's exact test for single attempts. Not corrected for several comparisons. */
  readonly pValue: number;
  /** The interval of the difference holds a harmless loss as well as a harmful one, or there is none. */
  readonly isUndecided: boolean;
  /** Tokens a response; absent for forced tokens. */
  readonly generationTokens?: Estimate;
  /** Total length over the baseline's: above 1 the method writes more. */
  readonly lengthRatio?: Estimate;
  /** Seconds a problem. */
  readonly seconds?: Estimate;
  /** The baseline's total seconds over the method's: above 1 the method is faster. */
  readonly speedup?: Estimate;
  readonly warnings: readonly string[];
}
