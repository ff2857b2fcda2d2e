/** The choice among measured settings, and how sure it is. */
import { Random } from "../problems/random.ts";
import type { Candidate } from "./candidates.ts";

/** What was measured of a candidate. */
export interface Measured {
  readonly candidate: Candidate;
  /** Divergence from full attention of each forced step, in nats. */
  readonly nats: readonly number[];
  /** Share of the cache that its steps read. */
  readonly attendedFraction: number;
}

/** Neighbouring steps are alike: standard errors and resamples take blocks of them. */
const BLOCK_STEPS = 16;
const RESAMPLES = 400;
const SEED = 48;

/**
 * The setting that reads least among those that are as near to full attention as the nearest one: below the tolerance, or within one
 * standard error of the paired difference. So a dearer setting has to be better by more than chance.
 * Candidates must share their steps. @throws RangeError without candidates
 */
export function chooseSetting(candidates: readonly Measured[], tolerance: number | undefined): Measured {
  const blocks = candidates.map(({ nats }) => blockMeans(nats));
  return candidates[pickNear(candidates, blocks, tolerance)] as Measured;
}

/** Share of resamples of the steps in which the same setting is chosen. */
export function confidenceOf(
  candidates: readonly Measured[],
  chosen: Measured,
  tolerance: number | undefined,
): number {
  const blocks = candidates.map(({ nats }) => blockMeans(nats));
  const count = blocks[0]?.length ?? 0;
  const random = new Random(SEED);
  let same = 0;
  for (let i = 0; i < RESAMPLES; i++) {
    const drawn = Array.from({ length: count }, () => random.range(0, count));
    const resampled = blocks.map((means) => drawn.map((block) => means[block] ?? 0));
    if (candidates[pickNear(candidates, resampled, tolerance)] === chosen) same++;
  }
  return same / RESAMPLES;
}

/**
 * Settings that go on, nearest to full attention first: those that no other beats in both bytes and divergence, then the nearest ones, `count` in
 * all.
 */
export function keepBest(candidates: readonly Measured[], count: number): Measured[] {
  const near = [...candidates].sort((a, b) => mean(a.nats) - mean(b.nats));
  let least = Number.POSITIVE_INFINITY;
  const front = near.filter(({ attendedFraction }) => {
    const isOnFront = attendedFraction < least - 1e-9;
    if (isOnFront) least = attendedFraction;
    return isOnFront;
  });
  // Of a long front, the cheap end is far from full attention.
  const kept = new Set([...new Set([...front.slice(0, count), ...near])].slice(0, Math.max(count, 1)));
  return near.filter((one) => kept.has(one));
}

/** Standard error of the mean, from the means of blocks of neighbouring steps. NaN of fewer than two blocks. */
export function standardErrorOf(values: ArrayLike<number>): number {
  return errorOf(blockMeans(Array.from(values)));
}

export function mean(values: ArrayLike<number>): number {
  let sum = 0;
  for (let i = 0; i < values.length; i++) sum += values[i] ?? 0;
  return sum / Math.max(1, values.length);
}

/**
 * Index of the item that reads least among those that are as near as the nearest: a mean below the tolerance, or within one standard
 * error of the paired difference. Without a tolerance, of the nearest. values: by item, of the same blocks or problems
 */
export function pickNear(
  items: readonly { readonly attendedFraction: number }[],
  values: readonly (readonly number[])[],
  tolerance: number | undefined,
): number {
  if (items.length === 0) throw new RangeError("choosing a setting needs at least one");
  const means = values.map(mean);
  const nearest = means.indexOf(Math.min(...means));
  if (tolerance === undefined) return nearest;
  let best = nearest;
  for (const [i, { attendedFraction }] of items.entries()) {
    const differences = (values[i] ?? []).map((value, block) => value - (values[nearest]?.[block] ?? 0));
    const isNear = mean(differences) <= (errorOf(differences) || 0);
    if (!isNear && !((means[i] ?? 0) <= tolerance)) continue;
    const least = items[best]?.attendedFraction ?? 1;
    if (attendedFraction < least || (attendedFraction === least && (means[i] ?? 0) < (means[best] ?? 0)))
      best = i;
  }
  return best;
}

/** Means of whole blocks; of fewer steps than a block, of all. */
function blockMeans(nats: readonly number[]): number[] {
  if (nats.length < BLOCK_STEPS) return [mean(nats)];
  return Array.from({ length: Math.floor(nats.length / BLOCK_STEPS) }, (_, block) =>
    mean(nats.slice(block * BLOCK_STEPS, (block + 1) * BLOCK_STEPS)),
  );
}

function errorOf(means: readonly number[]): number {
  if (means.length < 2) return Number.NaN;
  const centre = mean(means);
  const variance = means.reduce((sum, value) => sum + (value - centre) ** 2, 0) / (means.length - 1);
  return Math.sqrt(variance / means.length);
}
