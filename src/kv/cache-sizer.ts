import type { Backend, Capacity, ModelShape } from "../backend/backend.ts";
import type { PagePool } from "./page-pool.ts";

/** Minimum factor of a growth. A growth may copy the cache, and copies must stay few. */
const GROWTH = 1.5;
/** Milliseconds without a request after which the pool shrinks to its first piece. */
const IDLE_MS = 10_000;
/** Milliseconds between trials of a refused size. Other programs may free memory; each trial may copy the cache. */
const RETRY_MS = 5_000;
/** Sizes of the first piece; the larger counts. It holds a short chat of a large model, and a browser tab can spare it. */
const FIRST_TOKENS = 1024;
const FIRST_BYTES = 16 << 20;

export interface PoolOptions {
  /** Pages of the first piece: a growth adds them to the missing ones, and an idle pool keeps them. */
  readonly firstPages: number;
  /** Maximum pages of the pool. */
  readonly maxPages: number;
  /** Milliseconds without a request before the pool shrinks. */
  readonly idleMs: number;
  /** Returns milliseconds of a clock. Default: `performance.now`. */
  readonly now?: () => number;
}

/** Returns the default sizes of a backend's pool. */
export function poolOptions(model: ModelShape, { pageSize, maxPages }: Capacity): PoolOptions {
  const { numLayers, numKvHeads, headDim } = model;
  const pageBytes = 2 * 4 * numLayers * numKvHeads * headDim * pageSize;
  const firstPages = Math.ceil(Math.max(FIRST_TOKENS / pageSize, FIRST_BYTES / pageBytes));
  return { firstPages, maxPages, idleMs: IDLE_MS };
}

/** Sizes the page pool: grows it and the backend's cache on demand, and shrinks both to the first piece when idle. */
export class CacheSizer {
  readonly maxPages: number;
  readonly #pool: PagePool;
  readonly #backend: Pick<Backend, "resizeCache">;
  readonly #firstPages: number;
  readonly #idleMs: number;
  readonly #now: () => number;
  /** Maximum pages in memory, by the last refusal. */
  #limit: number;
  /** Time of the next trial of a larger size. */
  #retryAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    pool: PagePool,
    backend: Pick<Backend, "resizeCache">,
    { firstPages, maxPages, idleMs, now }: PoolOptions,
  ) {
    this.#pool = pool;
    this.#backend = backend;
    this.#firstPages = Math.min(firstPages, maxPages);
    this.#idleMs = idleMs;
    this.#now = now ?? (() => performance.now());
    this.maxPages = maxPages;
    this.#limit = maxPages;
  }

  /** Returns true if the pool may grow by `missing` pages. */
  canGrow(missing: number): boolean {
    return this.#pool.numPages + missing <= this.limit;
  }

  /** Maximum pages of the pool at present. A refusal lowers it for `RETRY_MS`. */
  get limit(): number {
    return this.#limit === this.maxPages || this.#now() < this.#retryAt ? this.#limit : this.maxPages;
  }

  /**
   * Grows the pool by at least `missing` pages. Halves the surplus while memory is short. If even `missing` pages fail, the pool
   * keeps its size and `limit` falls. A refused size waits for `RETRY_MS`, since each trial may copy the cache.
   * missing: a number that `canGrow` allows
   */
  async grow(missing: number): Promise<void> {
    const { numPages } = this.#pool;
    const least = numPages + missing;
    // a surplus, since the request that lacks the pages is about to grow
    const wanted = Math.max(Math.ceil(numPages * GROWTH), least + this.#firstPages);
    this.#limit = this.limit;
    let size = Math.min(this.#limit, wanted);
    while (!(await this.#backend.resizeCache(size))) {
      this.#limit = size - 1;
      this.#retryAt = this.#now() + RETRY_MS;
      if (size === least) return;
      size = Math.max(least, numPages + Math.floor((size - numPages) / 2));
    }
    this.#pool.resize(size);
  }

  /** Shrinks the pool to the first piece. The caller guarantees that no sequence holds a page beyond it. */
  async shrink(): Promise<void> {
    this.#limit = this.maxPages;
    if (this.#pool.numPages <= this.#firstPages) return;
    this.#pool.resize(this.#firstPages);
    // a backend that cannot shrink keeps its pages for the next growth
    await this.#backend.resizeCache(this.#firstPages);
  }

  /** Starts the idle delay, after which it calls `onIdle` once unless `busy` comes first. Does nothing at the first size. */
  idle(onIdle: () => void): void {
    if (
      this.#timer !== undefined ||
      (this.#pool.numPages <= this.#firstPages && this.#limit === this.maxPages)
    )
      return;
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      onIdle();
    }, this.#idleMs);
    allowExit(this.#timer);
  }

  /** Ends the idle delay. The engine calls it for new work, and when it closes, so that no timer remains. */
  busy(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Lets the process end while the timer runs; Node's timers keep a process alive by default. */
function allowExit(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function")
    timer.unref();
}
