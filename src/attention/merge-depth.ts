import type { KeptEnds } from "../backend/backend.ts";

/**
 * Ranks that a merge of heads visits until `count` units are kept: rank 0 of every head, rank 1, … Ranks are those of `topK`.
 * scores: by head, one for each unit. Returns 0 for a count of 0.
 */
export function mergeDepth(scores: readonly Float32Array[], count: number, ends: KeptEnds): number {
  const numUnits = scores[0]?.length ?? 0;
  const rankings = scores.map((values) => rankingOf(values, ends.sinks, numUnits - ends.recent));
  const kept = new Set<number>();
  let depth = 0;
  for (; kept.size < count && depth < numUnits; depth++)
    for (const ranking of rankings) {
      const unit = ranking[depth];
      if (unit !== undefined && kept.size < count) kept.add(unit);
    }
  return depth;
}

/** Units from `start` to `end` - 1 by score descending, ties to the lower position, NaN last. */
function rankingOf(values: Float32Array, start: number, end: number): Uint32Array {
  const units = Uint32Array.from({ length: Math.max(0, end - start) }, (_, i) => start + i);
  return units.sort((a, b) => {
    const [left, right] = [values[a], values[b]];
    if (left === right) return a - b;
    if (Number.isNaN(left) || Number.isNaN(right))
      return Number.isNaN(left) && Number.isNaN(right) ? a - b : Number.isNaN(left) ? 1 : -1;
    return right - left;
  });
}
