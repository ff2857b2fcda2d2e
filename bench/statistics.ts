/** The middle value; of an even number the lower of the two. */
export function median(values: readonly number[]): number {
  return percentile(values, 0.5);
}

export function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

/** The least value that at least this share of all values does not exceed: one of them, never between two. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN;
}

/** Summary of many times in a row. A median alone hides the slow steps. */
export interface Distribution {
  readonly mean: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function distributionOf(values: readonly number[]): Distribution {
  return {
    mean: mean(values),
    p50: median(values),
    p99: percentile(values, 0.99),
    max: percentile(values, 1),
  };
}
