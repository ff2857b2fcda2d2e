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
  readonly isFullyDrawn: boolean;
}

export interface ScheduledRun {
  readonly index: number;
  /** Rows of this step: 1 for a decode step. */
  readonly numRows: number;
  readonly isPrefill: boolean;
}

export function schedule(
  entries: readonly SchedulerEntry[],
  limits: { readonly maxRows: number; readonly maxSequences: number },
): ScheduledRun[] {
  const runs: ScheduledRun[] = [];
  let rows = 0;
  const room = () => runs.length < limits.maxSequences && rows < limits.maxRows;
  entries.forEach((entry, index) => {
    if (entry.isPaused || entry.isFullyDrawn || entry.cachedTokens < entry.promptTokens || !room()) return;
    runs.push({ index, numRows: 1, isPrefill: false });
    rows++;
  });
  entries.forEach((entry, index) => {
    const left = entry.promptTokens - entry.cachedTokens;
    if (left <= 0 || entry.isPaused || !room()) return;
    const numRows = Math.min(left, limits.maxRows - rows);
    runs.push({ index, numRows, isPrefill: true });
    rows += numRows;
  });
  return runs;
}
