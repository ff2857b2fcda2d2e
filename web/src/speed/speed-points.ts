import type { RunRecord } from "../run/run-record.ts";

/** Points of the speed chart: the same positions for every run. */
export interface SpeedPoints {
  /** Position of the token that came, ascending. */
  readonly x: readonly number[];
  /** By run: milliseconds of the token at each position; null beyond the run's tokens. */
  readonly raw: readonly (readonly (number | null)[])[];
  /** By run: mean over `SMOOTHED_TOKENS` tokens around each position. */
  readonly smooth: readonly (readonly (number | null)[])[];
  /** Tokens that all runs have times of. */
  readonly numTokens: number;
  /** The chart's height in milliseconds: most tokens of every run are below it. */
  readonly maxMs: number;
  /** Tokens among the points that are above it. */
  readonly numAbove: number;
}

/** Tokens of a mean. */
export const SMOOTHED_TOKENS = 64;
const MAX_POINTS = 500;
/** Share of the tokens of a run that the chart is at least high enough for. */
const SHOWN_SHARE = 0.97;

/** Takes evenly spaced tokens of the runs, at most 500. runs: of one prompt, so that positions are the same */
export function speedPoints(runs: readonly RunRecord[]): SpeedPoints {
  const start = runs[0]?.promptLength ?? 0;
  const longest = Math.max(0, ...runs.map(({ times }) => times.length));
  const stride = Math.max(1, Math.ceil(longest / MAX_POINTS));
  // the first token's time is the prompt's
  const indices = Array.from(
    { length: Math.ceil(Math.max(0, longest - 1) / stride) },
    (_, i) => 1 + i * stride,
  );
  const raw = runs.map(({ times }) =>
    indices.map((index) => (index < times.length ? times.msAt(index) : null)),
  );
  const smooth = runs.map(({ times }) =>
    indices.map((index) =>
      index < times.length
        ? numberOrNull(times.meanBetween(index - SMOOTHED_TOKENS / 2, index + SMOOTHED_TOKENS / 2))
        : null,
    ),
  );
  const maxMs = 1.25 * Math.max(1e-3, ...raw.map(shownMs), ...smooth.flat().map((ms) => ms ?? 0));
  return {
    x: indices.map((index) => start + index),
    ...{ raw, smooth, maxMs },
    numTokens: Math.max(0, longest - 1),
    numAbove: raw.flat().filter((ms) => ms !== null && ms > maxMs).length,
  };
}

function shownMs(values: readonly (number | null)[]): number {
  const sorted = values.filter((ms) => ms !== null).sort((a, b) => a - b);
  return sorted[Math.floor(SHOWN_SHARE * (sorted.length - 1))] ?? 0;
}

function numberOrNull(value: number): number | null {
  return Number.isNaN(value) ? null : value;
}

/** A row of the table that says what the chart shows: mean milliseconds of each run in a part of the positions. */
export interface SpeedRow {
  readonly from: number;
  readonly to: number;
  readonly ms: readonly (number | undefined)[];
}

/** Cuts the positions into at most `rows` parts of equal length. */
export function speedRows(runs: readonly RunRecord[], rows: number): readonly SpeedRow[] {
  const start = runs[0]?.promptLength ?? 0;
  const longest = Math.max(0, ...runs.map(({ times }) => times.length));
  const size = Math.max(1, Math.ceil((longest - 1) / rows));
  return Array.from({ length: Math.ceil(Math.max(0, longest - 1) / size) }, (_, row) => {
    const [from, to] = [1 + row * size, Math.min(longest, 1 + (row + 1) * size)];
    return {
      ...{ from: start + from, to: start + to - 1 },
      ms: runs.map(({ times }) => {
        const ms = times.meanBetween(from, Math.min(to, times.length));
        return Number.isNaN(ms) ? undefined : ms;
      }),
    };
  });
}

/**
 * How many times as long a token takes in `peer` as in `run`, over the last `SMOOTHED_TOKENS` tokens that both have; undefined
 * before both have so many.
 */
export function ratioAtEnd(run: RunRecord, peer: RunRecord): number | undefined {
  const shared = Math.min(run.times.length, peer.times.length);
  if (shared <= SMOOTHED_TOKENS) return undefined;
  const from = shared - SMOOTHED_TOKENS;
  return peer.times.meanBetween(from, shared) / run.times.meanBetween(from, shared);
}
