/** Rows of the first chunk, whose speed nobody knows. */
const FIRST_ROWS = 16;
const LEAST_ROWS = 16;
/** Share of the limit that is planned for: no two chunks take the same time. */
const PLANNED_SHARE = 0.85;
/** Growth from one chunk to the next: one fast chunk says little about a large one. */
const MOST_GROWTH = 4;

/**
 * Sizes prefill chunks by time, on backends whose steps have run when they return: while one runs, the event loop stands
 * still. The first chunk is small; each measured one sizes the next.
 */
export class PrefillPacer {
  readonly #limitMs: number;
  readonly #maxRows: number;
  /** Rows of the next step's prefill chunks together. */
  rows: number;

  /** limitMs: how long one step may take; a step of 16 rows may take longer. */
  constructor(limitMs: number, maxRows: number) {
    this.#limitMs = limitMs;
    this.#maxRows = maxRows;
    this.rows = Math.min(FIRST_ROWS, maxRows);
  }

  /** Takes what a step of so many rows took. */
  record(numRows: number, elapsedMs: number): void {
    const fitting = (numRows * this.#limitMs * PLANNED_SHARE) / Math.max(elapsedMs, 1e-3);
    const grown = Math.min(fitting, this.#maxRows, MOST_GROWTH * Math.max(numRows, LEAST_ROWS));
    this.rows = Math.min(this.#maxRows, Math.max(LEAST_ROWS, Math.floor(grown)));
  }
}
