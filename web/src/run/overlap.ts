import { jaccard } from "../../../eval/metrics/jaccard.ts";

/** The mean over sets of two selections; undefined if they have different numbers of sets, or none. */
export function overlapOf(a: readonly Uint32Array[], b: readonly Uint32Array[]): number | undefined {
  if (a.length !== b.length || a.length === 0) return undefined;
  return a.reduce((sum, set, i) => sum + jaccard(set, b[i] as Uint32Array), 0) / a.length;
}
