import type { Backend, Capacity, ModelShape } from "../backend/backend.ts";
import type { PagePool } from "./page-pool.ts";

/** Share by which the cache grows at least: growing may copy it, and copies must stay few. */
const GROWTH = 1.5;
/** Milliseconds without a request after which the pool is given back but for its first piece. */
const IDLE_MS = 10_000;
/** Milliseconds after which a refused size may be tried again: others may have freed memory, and each trial may copy the cache. */
const RETRY_MS = 5_000;
/** The first piece is the larger of these: enough for a short chat of a large model, and no more than a tab can spare. */
const FIRST_TOKENS = 1024;
const FIRST_BYTES = 16 << 20;

export interface PoolOptions {
  /** Pages that the pool grows by beside those that are needed, and that stay when it is idle. */
  readonly firstPages: number;
  /** Pages that it may grow to. */
  readonly maxPages: number;
  /** Milliseconds without a request before it shrinks. */
  readonly idleMs: number;
  /** Milliseconds of a clock. */
  readonly now?: () => number;
}

/** Sizes of the pool of a backend. */
export function poolOptions(model: ModelShape, { pageSize, maxPages }: Capacity): PoolOptions {
  const { numLayers, numKvHeads, headDim } = model;
  const pageBytes = 2 * 4 * numLayers * numKvHeads * headDim * pageSize;
  const firstPages = Math.ceil(Math.max(FIRST_TOKENS / pageSize, FIRST_BYTES / pageBytes));
  return { firstPages, maxPages, idleMs: IDLE_MS };
}

/** Gives the page pool its pages: more of the backend's memory as they are needed, all but the first piece back when idle. */
export class CacheSizer {
  readonly maxPages: number;
  readonly #pool: PagePool;
  readonly #backend: Pick<Backend, "resizeCache">;
  readonly #firstPages: number;
  readonly #idleMs: number;
  readonly #now: () => number;
  /** What memory allows, as the last refusal said. */
  #limit: number;
  /** When a larger size may be tried. */
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

  /** Whether the pool may still grow by so many pages. */
  canGrow(missing: number): boolean {
    return this.#pool.numPages + missing <= this.limit;
  }

  /** Pages that the pool has or may still grow to. A refusal lowers it for a while. */
  get limit(): number {
    return this.#limit === this.maxPages || this.#now() < this.#retryAt ? this.#limit : this.maxPages;
  }

  /**
   * Grows the pool by `missing` pages or more, by less where memory is short. If there is none even for those, `canGrow` says so
   * for the next seconds. It does not try a refused size again in that time, since each trial may copy the cache.
   * missing: a number that `canGrow` allows.
   */
  async grow(missing: number): Promise<void> {
    const { numPages } = this.#pool;
    const least = numPages + missing;
    // With pages to spare: the request that asks for them is about to grow.
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

  /** Gives all but the first piece back. The caller knows that no page past it is held. */
  async shrink(): Promise<void> {
    this.#limit = this.maxPages;
    if (this.#pool.numPages <= this.#firstPages) return;
    this.#pool.resize(this.#firstPages);
    // A backend that cannot shrink keeps its pages; they are there when the pool grows again.
    await this.#backend.resizeCache(this.#firstPages);
  }

  /** The engine has nothing to do: after a while without `busy`, `onIdle` is called once. */
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

  /** The engine has work: it is not idle. Called at the end, too, so that no timer is left. */
  busy(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}

/** Lets the process end while the timer runs, where timers keep one alive. */
function allowExit(timer: unknown): void {
  if (typeof timer === "object" && timer !== null && "unref" in timer && typeof timer.unref === "function")
    timer.unref();
}
