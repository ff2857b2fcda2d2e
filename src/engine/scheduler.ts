/**
 * Schedules the next step. Pure: it sees integers, not tensors.
 * Decoding requests come first, one row each. Of the rows for prefill the oldest prompt has a share that nobody takes from it; the
 * others are for the prompts with the least left, so that a short request does not wait for a long one (`share-rows.ts`).
 */
import { shareRows } from "./share-rows.ts";

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
  /** Maximum rows of all prefill chunks of a step. More if that ends a short prompt and no request decodes meanwhile. */
  readonly maxPrefillRows: number;
}

/**
 * Rows beyond `maxPrefillRows`, as a multiple of them, that end a short prompt. They attend to few tokens, so they cost less than the
 * rows of long prompts, by which chunks are sized.
 */
const SPARE = 2;

/** Returns true if the next step decodes a token of the request, given room. */
export function isDecoding(entry: SchedulerEntry): boolean {
  const { isPaused, lacksPage, isFullySampled, cachedTokens, promptTokens } = entry;
  return !isPaused && !lacksPage && !isFullySampled && cachedTokens >= promptTokens;
}

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
  const prompts = entries.filter(hasPrefill);
  const maxRows = Math.min(limits.maxPrefillRows, limits.maxRows - rows);
  const shares = shareRows(prompts.map(leftOf), {
    maxRows,
    spareRows: rows > 0 ? 0 : Math.min(SPARE * maxRows, limits.maxRows - maxRows),
    maxPrompts: limits.maxSequences - runs.length,
  });
  for (const [i, entry] of prompts.entries()) {
    const numRows = shares[i] as number;
    if (numRows > 0) runs.push({ entry, numRows, isPrefill: true });
  }
  return runs;
}

function hasPrefill(entry: SchedulerEntry): boolean {
  return leftOf(entry) > 0 && !entry.isPaused && entry.leader === undefined;
}

function leftOf({ promptTokens, cachedTokens }: SchedulerEntry): number {
  return promptTokens - cachedTokens;
}
