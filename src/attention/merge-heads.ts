/** How the heads of a merge made its set. */
export interface MergedHeads {
  /** Of each kept unit, the head that put it there. */
  readonly headOf: ReadonlyMap<number, number>;
  /** Ranks that the merge visited: rank 0 of every head, rank 1, … */
  readonly depth: number;
}

/** Units beyond this number would not fit the sort's keys beside 32 bits of score. */
const MAX_UNITS = 1 << 20;

/**
 * Finds the head that put each unit into the set of a merge by rank. A merge visits rank 0 of every head in ascending order of head,
 * then rank 1, …; the head that visits a unit first puts it there. Ranks are those of `topK`.
 *
 * scores: by head, one for each unit of the sequence. kept: the units of the set, in any order. Ranks among these are ranks among
 * all units, because every unit that the merge visits before the set is full is in the set; so no head sorts all of its scores.
 */
export function headsOfMerge(scores: readonly Float32Array[], kept: Uint32Array): MergedHeads {
  const units = kept.slice().sort();
  const ranks = new Uint32Array(units.length).fill(units.length);
  const heads = new Int32Array(units.length);
  const keys = new Float64Array(units.length);
  for (const [head, values] of scores.entries()) {
    for (let i = 0; i < units.length; i++)
      keys[i] = descendingKey(values[units[i] as number] as number) * MAX_UNITS + i;
    keys.sort();
    for (let rank = 0; rank < keys.length; rank++) {
      const i = (keys[rank] as number) % MAX_UNITS;
      if (rank >= (ranks[i] as number)) continue;
      ranks[i] = rank;
      heads[i] = head;
    }
  }
  const headOf = new Map<number, number>();
  let depth = 0;
  for (let i = 0; i < units.length; i++) {
    headOf.set(units[i] as number, heads[i] as number);
    depth = Math.max(depth, (ranks[i] as number) + 1);
  }
  return { headOf, depth };
}

const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** A whole number of 32 bits that is smaller for a larger score, equal for 0 and -0, and largest for NaN. */
function descendingKey(score: number): number {
  if (Number.isNaN(score)) return 0xffffffff;
  float[0] = score + 0; // makes -0 to 0
  const word = bits[0] as number;
  const ascending = word & 0x80000000 ? ~word >>> 0 : (word | 0x80000000) >>> 0;
  return 0xffffffff - ascending;
}
