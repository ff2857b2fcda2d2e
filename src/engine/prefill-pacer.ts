/**
 * Sizes prefill chunks by the time that steps take.
 *
 * A chunk beside decoding requests may hold them up for `maxStallMs`. A chunk of a prompt that nobody decodes beside may be as
 * large as the backend proposes: on a device for up to a second, which is what an abort waits for; on the caller's thread, where
 * the event loop stands still meanwhile, for `maxStallMs` again. First chunks are small; each measured one sizes the next.
 */

/** Rows that are taken however slow the machine is. */
const MIN_ROWS = 16;
/** Rows of the first chunk on a device, alone and beside decoding requests. */
const FIRST_ROWS_ALONE = 256;
const FIRST_ROWS_BESIDE = 64;
/** Longest chunk on a device that nobody decodes beside. */
const MAX_ALONE_MS = 1000;
/** Share of the limit that is planned for: no two chunks take the same time. */
const PLANNED_SHARE = 0.85;
/** Largest growth that is expected of a row's cost from one chunk to the next. */
const MAX_COST_GROWTH = 1.5;
/** Largest growth of the rows from one chunk to the next: a fast chunk says little about a much larger one. */
const MAX_ROWS_GROWTH = 4;

/** How the steps of a backend run. */
export interface PacedBackend {
  readonly runsAhead: boolean;
  readonly prefillRows: number;
}

/** A step whose tokens have arrived; times in milliseconds of one clock. */
export interface ArrivedStep {
  readonly numRows: number;
  /** Prefill rows in it: none, or such as nobody, or somebody, decoded beside. */
  readonly prefill: "none" | "alone" | "beside";
  readonly recordedAt: number;
  readonly arrivedAt: number;
}

export class PrefillPacer {
  readonly #alone: ChunkSize;
  readonly #beside: ChunkSize;
  /** When the last step's tokens arrived: a device begins the next step then. */
  #lastArrival = 0;

  constructor({ runsAhead, prefillRows }: PacedBackend, maxStallMs: number) {
    if (runsAhead) {
      this.#alone = new ChunkSize(Math.max(MAX_ALONE_MS, maxStallMs), prefillRows, FIRST_ROWS_ALONE);
      this.#beside = new ChunkSize(maxStallMs, prefillRows, FIRST_ROWS_BESIDE);
    } else {
      this.#alone = new ChunkSize(maxStallMs, prefillRows, MIN_ROWS);
      this.#beside = this.#alone;
    }
  }

  /** Rows of the next step's prefill chunks together. isBeside: a request decodes in that step. */
  rows(isBeside: boolean): number {
    return (isBeside ? this.#beside : this.#alone).rows;
  }

  /** Takes every step in the order of arrival. A step recorded while the one before it ran began when that one ended. */
  arrived({ numRows, prefill, recordedAt, arrivedAt }: ArrivedStep): void {
    const elapsedMs = arrivedAt - Math.max(recordedAt, this.#lastArrival);
    this.#lastArrival = arrivedAt;
    if (prefill === "alone") this.#alone.record(numRows, elapsedMs);
    else if (prefill === "beside") this.#beside.record(numRows, elapsedMs);
  }
}

/** The size of chunks of one kind. */
class ChunkSize {
  rows: number;
  readonly #limitMs: number;
  readonly #maxRows: number;
  /** Cost of a row of the last chunk. */
  #msPerRow = Number.POSITIVE_INFINITY;

  constructor(limitMs: number, maxRows: number, firstRows: number) {
    this.#limitMs = limitMs;
    this.#maxRows = maxRows;
    this.rows = Math.min(firstRows, maxRows);
  }

  record(numRows: number, elapsedMs: number): void {
    const msPerRow = Math.max(elapsedMs, 1e-3) / numRows;
    // Later rows attend to more tokens: the next chunk's rows cost more than these by about the factor that these did.
    const growth = Math.min(MAX_COST_GROWTH, Math.max(1, msPerRow / this.#msPerRow));
    this.#msPerRow = msPerRow;
    const fitting = (this.#limitMs * PLANNED_SHARE) / (msPerRow * growth);
    const grown = Math.min(fitting, this.#maxRows, MAX_ROWS_GROWTH * Math.max(numRows, MIN_ROWS));
    this.rows = Math.min(this.#maxRows, Math.max(MIN_ROWS, Math.floor(grown)));
  }
}
