import { keptTogether } from "../attention/kept-data.ts";
import type { Backend } from "../backend/backend.ts";
import type { KeptMemory, MemoryLimit } from "../backend/backend-kind.ts";
import { OutOfMemoryError } from "../base/errors.ts";
import { mebibytes } from "../base/mebibytes.ts";
import type { CacheSizer } from "../kv/cache-sizer.ts";
import type { PagePool } from "../kv/page-pool.ts";

/** Memory to take, what for, and how to make it. */
export interface Taking<T> {
  /** For messages: the policy, and what it keeps. */
  readonly policy: string;
  readonly what: string;
  readonly memory: KeptMemory;
  /** Creates tensors and does nothing else. */
  readonly make: () => T;
}

interface KeptMemoryParts {
  readonly backend: Pick<Backend, "capacity" | "allocate">;
  readonly pool: Pick<PagePool, "numPages">;
  readonly sizer: CacheSizer;
  /** The backend's limit with what policies keep. Absent: allocation alone shows what fits. */
  readonly limitWith: ((kept: KeptMemory) => MemoryLimit) | undefined;
}

/**
 * Takes memory that policies keep beside the cache. Pages that the pool does not have yet give way, but for those of one sequence of
 * the whole context: no request that was accepted can lack them then.
 */
export class KeptMemoryTaker {
  readonly #parts: KeptMemoryParts;
  readonly #taken: KeptMemory[] = [];

  constructor(parts: KeptMemoryParts) {
    this.#parts = parts;
  }

  /** The caller guarantees that nobody else uses the backend. @throws OutOfMemoryError; nothing has changed then */
  async take<T>({ policy, what, memory, make }: Taking<T>): Promise<T> {
    const { backend, sizer } = this.#parts;
    const bytes = memory.bytes(backend.capacity);
    const advice = (reason: string) =>
      `attention ${policy}: ${what} take ${bytes > 0 ? mebibytes(bytes) : "memory"} beside the KV cache, for which there is no ` +
      `room: ${reason}; open the engine with this attention, which fits the context beside it, or with a shorter contextLength`;
    // key bounds count as none, since every backend has room for them
    const pages = bytes > 0 ? this.#pagesBeside(memory, advice) : sizer.maxPages;
    try {
      const made = await backend.allocate(what, make);
      this.#taken.push(memory);
      sizer.lowerTo(pages);
      return made;
    } catch (cause) {
      if (!(cause instanceof OutOfMemoryError)) throw cause;
      throw new OutOfMemoryError(advice(cause.message), { cause });
    }
  }

  /** Maximum pages of the pool beside all that is kept then. @throws OutOfMemoryError if they are too few */
  #pagesBeside(memory: KeptMemory, advice: (reason: string) => string): number {
    const { backend, pool, sizer, limitWith } = this.#parts;
    if (!limitWith) return sizer.maxPages;
    const { capacity } = backend;
    const together = keptTogether([...this.#taken, memory]);
    // a backend whose page tensors do not follow the pool makes them for all pages
    const kept = { ...together, bytes: () => together.bytes(capacity) };
    const limit = limitWith(kept);
    const fits = (maxPages: number) => limit.fits({ ...capacity, maxPages });
    if (fits(sizer.maxPages)) return sizer.maxPages;
    const context = Math.min(sizer.maxPages, Math.ceil(capacity.maxSequenceLength / capacity.pageSize));
    let low = Math.max(context, pool.numPages);
    if (!fits(low)) {
      const tokens = low * capacity.pageSize;
      throw new OutOfMemoryError(
        advice(`with a cache of ${tokens} tokens it does not fit into the ${limit.name}`),
      );
    }
    for (let high = sizer.maxPages; high - low > 1; ) {
      const middle = Math.floor((low + high) / 2);
      if (fits(middle)) low = middle;
      else high = middle;
    }
    return low;
  }
}
