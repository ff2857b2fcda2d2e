/** Shares the prefill rows of a step among the prompts that are being computed. */

/**
 * Prefill chunks end at multiples of this, and no remainder is smaller, because other kernels, with other bits, compute fewer rows.
 * The ends depend on time and on other requests, and must not change any bit.
 */
export const CHUNK_ROWS = 8;

/** Share of the rows that the oldest prompt has whatever comes after it. Each prompt is the oldest at some time, so none starves. */
const OLDEST_SHARE = 1 / 4;

/** A prompt that lacks no more rows is computed in one step even where that takes some of the spare rows. */
const WHOLE_ROWS = 64;

export interface RowLimits {
  /** Maximum rows of all prompts. */
  readonly maxRows: number;
  /** Rows beyond them for prompts that they complete. */
  readonly spareRows: number;
  readonly maxPrompts: number;
}

/**
 * Returns the rows of each prompt's next chunk; 0 for those that wait. The shortest remainder comes first, of equal ones the older; the oldest
 * prompt gets at least its share.
 * lefts: rows that each prompt lacks, all above 0, oldest first
 */
export function shareRows(
  lefts: readonly number[],
  { maxRows, spareRows, maxPrompts }: RowLimits,
): readonly number[] {
  const shares = lefts.map(() => 0);
  const [oldest] = lefts;
  if (oldest === undefined || maxRows <= 0 || maxPrompts <= 0) return shares;
  const reserved = reservedRows(oldest, maxRows);
  let free = maxRows - reserved;
  let spare = spareRows;
  let places = maxPrompts - 1;
  const shortestFirst = lefts.map((left, i) => ({ left, i })).sort((a, b) => a.left - b.left || a.i - b.i);
  for (const { left, i } of shortestFirst) {
    const isOldest = i === 0;
    if (!isOldest && places === 0) continue;
    if (!isOldest && left > free && left <= Math.min(WHOLE_ROWS, free + spare)) {
      spare -= left - free;
      free = left;
    }
    const rows = isOldest ? chunkOf(left, reserved + free) : chunkWithin(left, free);
    if (rows === 0) continue;
    shares[i] = rows;
    free -= isOldest ? rows - reserved : rows;
    if (!isOldest) places--;
  }
  return shares;
}

/** Rows that nobody takes from the oldest prompt. They leave it a remainder of no less than `CHUNK_ROWS`, given room. */
function reservedRows(left: number, maxRows: number): number {
  if (maxRows < 2 * CHUNK_ROWS) return chunkOf(left, maxRows);
  return chunkWithin(left, Math.max(CHUNK_ROWS, maxRows * OLDEST_SHARE)) || left;
}

/** As `chunkOf`, but never a remainder or a part of fewer than `CHUNK_ROWS` rows: 0 then. */
function chunkWithin(left: number, maxRows: number): number {
  if (left <= maxRows) return left;
  const rows = Math.floor(maxRows / CHUNK_ROWS) * CHUNK_ROWS;
  return Math.max(0, left - rows < CHUNK_ROWS ? rows - CHUNK_ROWS : rows);
}

/**
 * Returns the rows of a prompt's next chunk: all `left` rows if they fit `maxRows`, else a multiple of `CHUNK_ROWS` that leaves no
 * smaller remainder, if `maxRows` allows one.
 */
export function chunkOf(left: number, maxRows: number): number {
  if (left <= maxRows) return left;
  const rows = Math.floor(maxRows / CHUNK_ROWS) * CHUNK_ROWS;
  if (rows === 0) return maxRows;
  return left - rows < CHUNK_ROWS && rows > CHUNK_ROWS ? rows - CHUNK_ROWS : rows;
}
