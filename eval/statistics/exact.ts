/** Exact results for counts, where the bootstrap has no width and for the p-value beside a difference. */
import { CONFIDENCE } from "./bootstrap.ts";

/**
 * Clopper and Pearson's upper end (1934) of a share of which `trials` trials showed none: 1 - (0.05 / 2)^(1 / trials).
 * By symmetry the lower end is 1 minus that if all showed it.
 */
export function upperEndOfNone(trials: number): number {
  return 1 - ((1 - CONFIDENCE) / 2) ** (1 / trials);
}

/**
 * Two-sided p-value of the exact sign test: how likely `better` against `worse`, or a split at least as uneven, is if
 * each is as likely. Ties do not count. For single attempts this is McNemar's exact test.
 */
export function signTest(better: number, worse: number): number {
  const trials = better + worse;
  const fewer = Math.min(better, worse);
  let logTerm = -trials * Math.LN2; // the logarithm of C(trials, i) / 2^trials, which underflows from 1075 trials on
  let tail = Math.exp(logTerm);
  for (let i = 1; i <= fewer; i++) {
    logTerm += Math.log((trials - i + 1) / i);
    tail += Math.exp(logTerm);
  }
  return Math.min(1, 2 * tail);
}

/**
 * Unbiased estimate of the chance that one of k attempts is right, of `right` right ones among `attempts`:
 * 1 - C(attempts - right, k) / C(attempts, k) (Chen et al. 2021, arXiv 2107.03374). k is at most `attempts`.
 */
export function passAtK({ attempts, right, k }: { attempts: number; right: number; k: number }): number {
  if (k > attempts) throw new RangeError(`pass@${k} needs ${k} attempts, there are ${attempts}`);
  let allWrong = 1;
  for (let i = 0; i < k; i++) allWrong *= Math.max(0, attempts - right - i) / (attempts - i);
  return 1 - allWrong;
}
