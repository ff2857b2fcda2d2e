/**
 * Selection on plain arrays: every backend's selection equals it.
 * Source: LessIsMore, arXiv 2508.07101, Algorithm 1. If the paper is silent: score descending, ties to the lower position,
 * NaN last; heads ascending within a rank.
 */
import type { KeptEnds } from "../backend.ts";

/** The best `count` of the units `ends.sinks .. numUnits - ends.recent - 1` of one head, best first. */
export function rankUnits(
  scores: Float32Array,
  offset: number,
  numUnits: number,
  ends: KeptEnds,
  count: number,
): number[] {
  const units: number[] = [];
  for (let unit = ends.sinks; unit < numUnits - ends.recent; unit++) units.push(unit);
  const key = (unit: number) => {
    const score = scores[offset + unit];
    return Number.isNaN(score) ? undefined : score;
  };
  units.sort((a, b) => {
    const x = key(a);
    const y = key(b);
    if (x === y) return a - b;
    if (x === undefined) return 1;
    if (y === undefined) return -1;
    return y - x;
  });
  return units.slice(0, count);
}

/** Rank 0 of every head in ascending order of head, then rank 1, …: first occurrences, until `count` are kept. */
export function mergeRanks(ranked: readonly (readonly number[])[], count: number): number[] {
  const kept = new Set<number>();
  for (let rank = 0; kept.size < count; rank++) {
    if (ranked.every((units) => rank >= units.length)) break;
    for (const units of ranked) if (rank < units.length && kept.size < count) kept.add(units[rank]);
  }
  return [...kept];
}

/** Ascending token positions of the units and both ends; the last unit ends at `length`. */
export function expandUnits(units: Iterable<number>, unit: number, length: number, ends: KeptEnds): number[] {
  const numUnits = Math.ceil(length / unit);
  const all = new Set<number>(units);
  for (let u = 0; u < Math.min(ends.sinks, numUnits); u++) all.add(u);
  for (let u = Math.max(0, numUnits - ends.recent); u < numUnits; u++) all.add(u);
  const positions: number[] = [];
  for (const u of [...all].sort((a, b) => a - b))
    for (let p = u * unit; p < Math.min(length, (u + 1) * unit); p++) positions.push(p);
  return positions;
}
