/**
 * Sizes prefill chunks by measured times of steps.
 *
 * A chunk beside decoding requests may stall them for `maxStallMs`. A chunk without decoding requests may have as many rows as the
 * backend proposes. On a device it may take a second, for which an abort waits; on the caller's thread it stalls the event loop, so
 * `maxStallMs` limits it too. First chunks are small; each measured chunk sizes the next.
 */

/** Minimum rows of a chunk, even on the slowest machine. */
const MIN_ROWS = 16;
/** Rows of the first chunk on a device, alone and beside decoding requests. */
const FIRST_ROWS_ALONE = 256;
const FIRST_ROWS_BESIDE = 64;
/** Maximum time of a chunk on a device without decoding requests. */
const MAX_ALONE_MS = 1000;
/** Planned share of the limit, because times of chunks vary. */
const PLANNED_SHARE = 0.85;
/** Maximum expected growth of the cost of a row between chunks. */
const MAX_COST_GROWTH = 1.5;
/** Chunks of more rows are powers of two, which kernels compute without idle tiles: of 1280 rows an H200 loses an eighth. */
const TILE_ROWS = 256;
/** Maximum growth of the rows between chunks: a fast chunk predicts little about a much larger one. */
const MAX_ROWS_GROWTH = 4;

/** Facts about a backend's steps. */
export interface PacedBackend {
  readonly runsAhead: boolean;
  readonly prefillRows: number;
}

/** A step whose tokens have arrived. Times are milliseconds of one clock. */
export interface ArrivedStep {
  readonly numRows: number;
  /** Prefill rows of the step: none, without a decoding request, or beside one. */
  readonly prefill: "none" | "alone" | "beside";
  readonly recordedAt: number;
  readonly arrivedAt: number;
}

export class PrefillPacer {
  readonly #alone: ChunkSize;
  readonly #beside: ChunkSize;
  /** Arrival of the last step's tokens, at which a device begins the next step. */
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

  /** Returns the maximum rows of all prefill chunks of the next step. isBeside: true if a request decodes in that step */
  rows(isBeside: boolean): number {
    return (isBeside ? this.#beside : this.#alone).rows;
  }

  /** Records a step; called in order of arrival. A step recorded before the previous one ended began at that end. */
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
    // later rows attend to more tokens, so the cost of a row grows by about the same factor again
    const growth = Math.min(MAX_COST_GROWTH, Math.max(1, msPerRow / this.#msPerRow));
    this.#msPerRow = msPerRow;
    const fitting = (this.#limitMs * PLANNED_SHARE) / (msPerRow * growth);
    const grown = Math.min(fitting, this.#maxRows, MAX_ROWS_GROWTH * Math.max(numRows, MIN_ROWS));
    const wanted = Math.max(MIN_ROWS, Math.floor(grown));
    this.rows = Math.min(this.#maxRows, wanted > TILE_ROWS ? 2 ** Math.floor(Math.log2(wanted)) : wanted);
  }
}
