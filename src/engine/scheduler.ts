/**
 * Chooses what runs in the next step. Pure: it sees integers, not tensors.
 * Decoding sequences come first, one row each; what is left of the row limit goes to prefill chunks, oldest first.
 */

export interface SchedulerEntry {
  /** Tokens whose keys and values are cached. */
  readonly cachedTokens: number;
  /** Tokens of the prompt. */
  readonly promptTokens: number;
  /** The consumer has not taken what was generated; do not run ahead of it. */
  readonly isPaused: boolean;
  /** Its last token is drawn, though perhaps not read: there is nothing left to run. */
  readonly isFullySampled: boolean;
  /** Its next token needs a page, and none is free. */
  readonly lacksPage: boolean;
}

export interface ScheduledRun<Entry> {
  readonly entry: Entry;
  /** Rows of this step: 1 for a decode step. */
  readonly numRows: number;
  readonly isPrefill: boolean;
}

export interface SchedulerLimits {
  /** Rows of a step. */
  readonly maxRows: number;
  readonly maxSequences: number;
  /** Rows of a step's prefill chunks together. */
  readonly maxPrefillRows: number;
}

/** True where the next step decodes a token of the request, if there is room for it. */
export function isDecoding(entry: SchedulerEntry): boolean {
  const { isPaused, lacksPage, isFullySampled, cachedTokens, promptTokens } = entry;
  return !isPaused && !lacksPage && !isFullySampled && cachedTokens >= promptTokens;
}

/**
 * Prompts are cut at multiples of this, and no rest is smaller: kernels that take few rows another way round otherwise,
 * and where a prompt is cut depends on time and on other requests.
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
    if (!isDecoding(entry) || !room()) continue;
    runs.push({ entry, numRows: 1, isPrefill: false });
    rows++;
  }
  let prefillRows = Math.min(limits.maxPrefillRows, limits.maxRows - rows);
  for (const entry of entries) {
    const left = entry.promptTokens - entry.cachedTokens;
    if (left <= 0 || entry.isPaused || !room()) continue;
    const numRows = chunkOf(left, prefillRows);
    if (numRows === 0) break;
    runs.push({ entry, numRows, isPrefill: true });
    prefillRows -= numRows;
    rows += numRows;
  }
  return runs;
}

/**
 * Rows of a prompt's next chunk of at most `most`: all that is left, or a multiple of `CHUNK_ROWS` that leaves no rest
 * smaller than that, where there is room for such a one.
 */
export function chunkOf(left: number, most: number): number {
  if (left <= most) return left;
  const rows = Math.floor(most / CHUNK_ROWS) * CHUNK_ROWS;
  if (rows === 0) return most;
  return left - rows < CHUNK_ROWS && rows > CHUNK_ROWS ? rows - CHUNK_ROWS : rows;
}
