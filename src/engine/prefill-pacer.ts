/** Rows of the first chunk, whose speed nobody knows. */
const FIRST_ROWS = 16;
const LEAST_ROWS = 16;
/** Share of the limit that is planned for: no two chunks take the same time. */
const PLANNED_SHARE = 0.85;
/** Of the cost of a row from one chunk to the next. */
const MOST_EXPECTED_GROWTH = 1.5;
/** Growth of the rows from one chunk to the next: one fast chunk says little about a large one. */
const MOST_GROWTH = 4;

/**
 * Sizes prefill chunks by time, on backends whose steps have run when they return: while one runs, the event loop stands
 * still. The first chunk is small; each measured one sizes the next.
 */
export class PrefillPacer {
  readonly #limitMs: number;
  readonly #maxRows: number;
  /** What a row of the last step took. */
  #msPerRow = Number.POSITIVE_INFINITY;
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
    const msPerRow = Math.max(elapsedMs, 1e-3) / numRows;
    // rows further on attend to more: the next ones cost more than these by about as much as these did by the last
    const growth = Math.min(MOST_EXPECTED_GROWTH, Math.max(1, msPerRow / this.#msPerRow));
    this.#msPerRow = msPerRow;
    const fitting = (this.#limitMs * PLANNED_SHARE) / (msPerRow * growth);
    const grown = Math.min(fitting, this.#maxRows, MOST_GROWTH * Math.max(numRows, LEAST_ROWS));
    this.rows = Math.min(this.#maxRows, Math.max(LEAST_ROWS, Math.floor(grown)));
  }
}
