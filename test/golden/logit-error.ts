/** Errors of logits, as shares of the largest absolute one of their position. */

/** The error at one position. logits: [positions, expected.length] */
export function logitError(
  logits: Float32Array,
  position: number,
  expected: Float32Array | readonly number[],
): number {
  const at = position * expected.length;
  let [scale, most] = [0, 0];
  for (const [i, logit] of expected.entries()) {
    scale = Math.max(scale, Math.abs(logit));
    most = Math.max(most, Math.abs(logit - (logits[at + i] ?? Number.NaN)));
  }
  return most / scale;
}

/** The largest error of all positions; both [positions, vocabulary]. */
export function worstLogitError(actual: Float32Array, expected: Float32Array, positions: number): number {
  const size = expected.length / positions;
  let worst = 0;
  for (let p = 0; p < positions; p++)
    worst = Math.max(worst, logitError(actual, p, expected.subarray(p * size, (p + 1) * size)));
  return worst;
}
