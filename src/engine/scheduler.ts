/**
 * Schedules the next step. Pure: it sees integers, not tensors.
 * Decoding requests come first, one row each; prefill chunks get the remaining rows, oldest request first.
 */

export interface SchedulerEntry {
  /** Tokens that recorded steps have cached or will cache. */
  readonly cachedTokens: number;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** True while its consumer is too far behind. */
  readonly isPaused: boolean;
  /** True if a sample, perhaps in flight, has its last token, so that it needs no more steps. */
  readonly isFullySampled: boolean;
  /** True while its next token lacks a page. */
  readonly lacksPage: boolean;
  /** Present while an older request computes its prompt for it. */
  readonly leader?: object | undefined;
  /** True while its next step needs a token that the host does not have. Absent: false. */
  readonly awaitsToken?: boolean;
}

export interface ScheduledRun<Entry> {
  readonly entry: Entry;
  /** Rows in this step; 1 for a decode step. */
  readonly numRows: number;
  readonly isPrefill: boolean;
}

export interface SchedulerLimits {
  /** Maximum rows of a step. */
  readonly maxRows: number;
  readonly maxSequences: number;
  /** Maximum rows of all prefill chunks of a step. */
  readonly maxPrefillRows: number;
}

/** Returns true if the next step decodes a token of the request, given room. */
export function isDecoding(entry: SchedulerEntry): boolean {
  const { isPaused, lacksPage, isFullySampled, cachedTokens, promptTokens } = entry;
  return !isPaused && !lacksPage && !isFullySampled && cachedTokens >= promptTokens;
}

/**
 * Prefill chunks end at multiples of this, and no remainder is smaller, because other kernels, with other bits, compute fewer rows.
 * The ends depend on time and on other requests, and must not change any bit.
 */
export const CHUNK_ROWS = 8;

export function schedule<Entry extends SchedulerEntry>(
  entries: readonly Entry[],
  limits: SchedulerLimits,
): ScheduledRun<Entry>[] {
  const runs: ScheduledRun<Entry>[] = [];
  let rows = 0;
  const room = () => runs.length < limits.maxSequences && rows < limits.maxRows;
  for (const entry of entries) {
    if (!isDecoding(entry) || entry.awaitsToken || !room()) continue;
    runs.push({ entry, numRows: 1, isPrefill: false });
    rows++;
  }
  let prefillRows = Math.min(limits.maxPrefillRows, limits.maxRows - rows);
  for (const entry of entries) {
    const left = entry.promptTokens - entry.cachedTokens;
    if (left <= 0 || entry.isPaused || entry.leader !== undefined || !room()) continue;
    const numRows = chunkOf(left, prefillRows);
    if (numRows === 0) break;
    runs.push({ entry, numRows, isPrefill: true });
    prefillRows -= numRows;
    rows += numRows;
  }
  return runs;
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
