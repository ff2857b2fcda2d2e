import type { Backend, Capacity, ModelShape } from "../backend/backend.ts";
import type { PagePool } from "./page-pool.ts";

/** Minimum factor of a growth. A growth may copy the cache, and copies must stay few. */
const GROWTH = 1.5;
/** Milliseconds without a request after which the pool shrinks to its first piece. */
const IDLE_MS = 10_000;
/** Milliseconds without a request after which cached pages go too. A conversation pauses for minutes. */
const KEEP_MS = 600_000;
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
  /** Pages up to which the pool grows rather than lose a cached page. */
  readonly cachePages: number;
  /** Milliseconds without a request before the pool shrinks to its pages in use and cached. */
  readonly idleMs: number;
  /** Milliseconds without a request before it loses its cached pages. */
  readonly keepMs: number;
  /** Returns milliseconds of a clock. Default: `performance.now`. */
  readonly now?: () => number;
}

/** Returns the default sizes of a backend's pool. */
export function poolOptions(
  model: ModelShape,
  { pageSize, maxPages, maxSequenceLength }: Capacity,
): PoolOptions {
  const { numLayers, numKvHeads, headDim } = model;
  const pageBytes = 2 * 4 * numLayers * numKvHeads * headDim * pageSize;
  const firstPages = Math.ceil(Math.max(FIRST_TOKENS / pageSize, FIRST_BYTES / pageBytes));
  const cachePages = Math.ceil(maxSequenceLength / pageSize);
  return { firstPages, maxPages, cachePages, idleMs: IDLE_MS, keepMs: KEEP_MS };
}

/** Time without a request: the pool shrinks after a brief one, and loses its cached pages after a long one. */
export type Idleness = "brief" | "long";

/** Sizes the page pool: grows it and the backend's cache on demand, and shrinks both when idle, to the first piece in the end. */
export class CacheSizer {
  #maxPages: number;
  readonly #pool: PagePool;
  readonly #backend: Pick<Backend, "resizeCache">;
  readonly #firstPages: number;
  readonly #cachePages: number;
  readonly #idleMs: number;
  readonly #keepMs: number;
  readonly #now: () => number;
  /** Maximum pages in memory, by the last refusal. */
  #limit: number;
  /** Time of the next trial of a larger size. */
  #retryAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(
    pool: PagePool,
    backend: Pick<Backend, "resizeCache">,
    { firstPages, maxPages, cachePages, idleMs, keepMs, now }: PoolOptions,
  ) {
    this.#pool = pool;
    this.#backend = backend;
    this.#firstPages = Math.min(firstPages, maxPages);
    this.#cachePages = cachePages;
    this.#idleMs = idleMs;
    this.#keepMs = keepMs;
    this.#now = now ?? (() => performance.now());
    this.#maxPages = maxPages;
    this.#limit = maxPages;
  }

  /** Maximum pages of the pool. */
  get maxPages(): number {
    return this.#maxPages;
  }

  /** Lowers the maximum, for memory that others take. maxPages: at least the pages of the pool */
  lowerTo(maxPages: number): void {
    this.#maxPages = Math.min(this.#maxPages, maxPages);
    this.#limit = Math.min(this.#limit, this.#maxPages);
  }

  /** Returns true if the pool may grow by `missing` pages. */
  canGrow(missing: number): boolean {
    return this.#pool.numPages + missing <= this.limit;
  }

  /** Returns true if the pool should grow by `missing` pages rather than lose cached ones. */
  prefersGrowth(missing: number): boolean {
    return this.#pool.numPages + missing <= Math.min(this.limit, this.#cachePages);
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

  /** Shrinks the pool to its pages in use and cached, and at least the first piece. */
  async shrink(): Promise<void> {
    this.#limit = this.maxPages;
    const numPages = Math.max(this.#firstPages, this.#pool.numUsed);
    if (this.#pool.numPages <= numPages) return;
    this.#pool.resize(numPages);
    // a backend that cannot shrink keeps its pages for the next growth
    await this.#backend.resizeCache(numPages);
  }

  /**
   * Starts the idle delay, after which it calls `onIdle`, and once more after a long one if there are cached pages then, unless
   * `busy` comes first. Does nothing at the first size.
   */
  idle(onIdle: (idleness: Idleness) => void): void {
    if (
      this.#timer !== undefined ||
      (this.#pool.numPages <= this.#firstPages && this.#limit === this.maxPages)
    )
      return;
    this.#after(this.#idleMs, () => {
      if (this.#pool.numCached > 0) this.#after(this.#keepMs - this.#idleMs, () => onIdle("long"));
      onIdle("brief");
    });
  }

  #after(ms: number, work: () => void): void {
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      work();
    }, ms);
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
