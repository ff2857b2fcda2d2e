/** Means of a series in equal parts of its range, so that a chart of 8,000 points draws a few hundred. */
export interface Buckets {
  /** Middle of each part. */
  readonly x: readonly number[];
  /** Mean of the values in each part; null if there is none. */
  readonly y: readonly (number | null)[];
}

/** positions: ascending, one for each value. range: first and last position of the parts, both included */
export function bucketMeans(
  positions: ArrayLike<number>,
  values: ArrayLike<number>,
  [from, to]: readonly [number, number],
  count: number,
): Buckets {
  const parts = Math.max(1, Math.min(count, to - from + 1));
  const width = (to - from + 1) / parts;
  const sums = new Float64Array(parts);
  const numbers = new Uint32Array(parts);
  for (let i = 0; i < positions.length; i++) {
    const part = Math.floor(((positions[i] ?? 0) - from) / width);
    if (part < 0 || part >= parts) continue;
    sums[part] = (sums[part] ?? 0) + (values[i] ?? 0);
    numbers[part] = (numbers[part] ?? 0) + 1;
  }
  return {
    x: Array.from(sums, (_, part) => from + (part + 0.5) * width - 0.5),
    y: Array.from(sums, (sum, part) => (numbers[part] ? sum / (numbers[part] ?? 1) : null)),
  };
}

export function meanOf(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0;
  return values.length > 0 ? sum / values.length : Number.NaN;
}
