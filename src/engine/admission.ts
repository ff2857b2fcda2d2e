import type { AttentionPolicy } from "../attention/policy.ts";
import { OutOfPagesError } from "../base/errors.ts";
import type { CacheSizer } from "../kv/cache-sizer.ts";
import type { PagePool } from "../kv/page-pool.ts";
import { SequenceCache } from "../kv/sequence-cache.ts";
import { type GroupSizes, oneSequence, pagesOfGroup, SequenceGroup } from "../kv/sequence-group.ts";
import type { ActiveRequest } from "./active-request.ts";
import type { PrefixReuse } from "./prefix-reuse.ts";

/** Minimum wait that the result notes. */
const LONG_WAIT_MS = 10_000;

/** A request, or a call of `logits` or `score`, that waits for pages. */
interface Applicant {
  readonly name: string;
  /** Returns the demand on the pool. */
  readonly demand: () => Demand;
  /** Present for a request, which takes a place in the batch too. */
  readonly request?: ActiveRequest;
  readonly since: number;
  /** Names the holders of its resources at its last failed admission. */
  waitsFor?: string;
  /** The change count at that admission. */
  waitsForChange?: number;
  readonly isDone: () => boolean;
  /** Takes its pages, which are free. */
  readonly admit: () => void;
  readonly fail: (error: Error) => void;
}

interface Demand {
  /** Tokens that its first pages must hold. */
  readonly tokens: number;
  /** Pages that it takes. */
  readonly pages: number;
  /** Pages that it finds: those that others hold do not count in `pages`. */
  readonly found: readonly number[];
}

/** Limits and callbacks of the admission. */
export interface AdmissionHost {
  readonly maxRunning: number;
  readonly prefix: PrefixReuse;
  /** Frees the buffers of a policy. Called after its last request has ended. */
  forget(policy: AttentionPolicy): void;
  /** Returns milliseconds of a clock. Default: `performance.now`. */
  now?(): number;
}

/**
 * Admits requests, first come, first served, and gives them pages. A request starts with pages for its prompt and takes more as it
 * grows. If pages run out, admission suspends requests that nobody reads. If no running request can continue, admission preempts
 * the youngest. Both release their pages and replay their tokens later.
 */
export class Admission {
  readonly #pool: PagePool;
  readonly #sizer: CacheSizer;
  readonly #maxRunning: number;
  readonly #prefix: PrefixReuse;
  readonly #forget: (policy: AttentionPolicy) => void;
  readonly #policies = new Map<unknown, { policy: AttentionPolicy; uses: number }>();
  readonly #now: () => number;
  /** Pages of `logits` and `score`, by name of the call. */
  readonly #reserved = new Map<string, SequenceGroup>();
  #numReservations = 0;
  #waiting: Applicant[] = [];
  #running: ActiveRequest[] = [];
  /** Counts changes of the running requests and of reserved pages. */
  #changeCount = 0;
  /** Preemptions so far. */
  numPreemptions = 0;
  /** Pages by which the pool must grow before the next request continues. 0 if the pool cannot grow or no request lacks pages. */
  missingPages = 0;

  constructor(pool: PagePool, sizer: CacheSizer, { maxRunning, prefix, forget, now }: AdmissionHost) {
    this.#pool = pool;
    this.#prefix = prefix;
    this.#sizer = sizer;
    this.#maxRunning = maxRunning;
    this.#forget = forget;
    this.#now = now ?? (() => performance.now());
  }

  /** Requests that hold pages, oldest first. */
  get running(): readonly ActiveRequest[] {
    return this.#running;
  }

  /** Applicants that wait and are not over, in order: their requests, undefined for calls of `logits` and `score`. */
  get waiting(): readonly (ActiveRequest | undefined)[] {
    return this.#waiting.filter((one) => !one.isDone()).map(({ request }) => request);
  }

  /** True if a running request has that policy value. */
  runs(policy: AttentionPolicy): boolean {
    return this.#running.some(({ resolved }) => resolved.policy === policy);
  }

  /** Number of requests that run or wait. */
  get numRequests(): number {
    return this.#running.length + this.#waiting.length;
  }

  /** True if nothing runs or waits. */
  get isIdle(): boolean {
    return this.#running.length === 0 && this.#waiting.length === 0 && this.#reserved.size === 0;
  }

  /** @throws OutOfPagesError if the pool can never hold `tokens` tokens of one sequence */
  checkFits(what: string, tokens: number): void {
    this.checkGroupFits(what, oneSequence(tokens));
  }

  /** @throws OutOfPagesError if the pool can never hold the sequences */
  checkGroupFits(what: string, sizes: GroupSizes): void {
    const { pageSize } = this.#pool;
    const { maxPages } = this.#sizer;
    const pages = pagesOfGroup(this.#pool, sizes);
    if (pages <= maxPages) return;
    const isOne = sizes.numSequences === 1;
    throw new OutOfPagesError(
      `${what}: ${describe(sizes)} need ${pages} KV pages of ${pageSize} tokens, and the pool may grow to ` +
        `${maxPages}; ask for ${isOne ? "" : "fewer sequences or "}fewer tokens, or open the engine with a larger contextLength`,
    );
  }

  /** Adds a request at the end of the queue. */
  queue(request: ActiveRequest): void {
    request.isSuspended = false;
    this.#waiting.push(this.#applicant(request));
  }

  #applicant(request: ActiveRequest): Applicant {
    return {
      name: request.name,
      demand: () => ({ tokens: request.firstCache, ...this.#prefix.demandOf(request) }),
      request,
      since: this.#now(),
      isDone: () => request.isDone,
      admit: () => {
        const cache = new SequenceCache(this.#pool);
        request.admit(cache, this.#now());
        this.#prefix.start(request, this.#running);
        if (!cache.reserve(request.firstCache))
          throw new RangeError(`admitting ${request.name}: the pages it was admitted for are not free`);
        this.#running.push(request);
        this.#usePolicy(request);
      },
      fail: (error) => request.fail(error),
    };
  }

  /** Queues for the pages of sequences. doing: the call, for messages. `release` may come before the pages. */
  reserve(
    doing: string,
    sizes: GroupSizes,
  ): { readonly group: Promise<SequenceGroup>; readonly release: () => void } {
    const name = `${doing} ${++this.#numReservations}`;
    let held: SequenceGroup | undefined;
    let isReleased = false;
    const group = new Promise<SequenceGroup>((resolve, reject) => {
      this.#waiting.push({
        name,
        demand: () => ({
          tokens: sizes.tokens * sizes.numSequences,
          pages: pagesOfGroup(this.#pool, sizes),
          found: [],
        }),
        since: this.#now(),
        isDone: () => isReleased,
        admit: () => {
          held = new SequenceGroup(this.#pool, sizes);
          this.#reserved.set(name, held);
          resolve(held);
        },
        fail: (error) => {
          isReleased = true;
          reject(error);
        },
      });
    });
    return {
      group,
      release: () => {
        isReleased = true;
        this.#changeCount++;
        this.#reserved.delete(name);
        held?.release();
      },
    };
  }

  /**
   * Releases ended requests. Gives running requests the pages for their next tokens, oldest first. Admits waiting requests, unless
   * a running request lacks a page. Sets `missingPages` if growth would help; the caller grows the pool and calls again.
   */
  admit(): void {
    this.#sweep();
    this.#prefix.advance(this.#running);
    this.missingPages = 0;
    if (!this.#growRunning()) return;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (!this.#makeRoom(next)) {
        if (this.missingPages > 0) return;
        if (this.#pool.numAvailable === this.#pool.numPages && this.#running.length === 0) {
          this.#waiting.shift();
          next.fail(this.#outOfMemory(next.name, next.demand()));
          continue;
        }
        if (next.waitsForChange !== this.#changeCount) next.waitsFor = this.whyWaiting();
        next.waitsForChange = this.#changeCount;
        return;
      }
      this.#waiting.shift();
      const waitedMs = this.#now() - next.since;
      if (waitedMs > LONG_WAIT_MS && next.waitsFor !== undefined && next.request?.numPreempted === 0)
        next.request.note(`waited ${(waitedMs / 1000).toFixed(0)} s for ${next.waitsFor}`);
      this.#changeCount++;
      next.admit();
    }
  }

  /**
   * Preempts the youngest running request if any lacks a page: it releases its pages and queues in front, for a replay. A request
   * that runs alone fails instead. The oldest is never preempted, so it always ends. The caller guarantees that no step runs and no
   * sample is in flight. Returns false, and changes nothing, if no request lacks a page or `logits` or `score` will release pages.
   */
  relieve(): boolean {
    if (this.#reserved.size > 0 || !this.#running.some(({ lacksPage }) => lacksPage)) return false;
    const youngest = this.#running[this.#running.length - 1] as ActiveRequest;
    if (this.#running.length === 1) {
      const tokens = youngest.cachedTokens + 1;
      youngest.fail(this.#outOfMemory(youngest.name, { tokens, pages: this.#pool.pagesFor(tokens) }));
      return true;
    }
    this.#release(youngest);
    this.#running.pop();
    youngest.preempt(this.#now());
    this.numPreemptions++;
    this.#waiting.unshift(this.#applicant(youngest));
    return true;
  }

  /** Fails everything that runs or waits. */
  failAll(error: Error): void {
    for (const request of this.#running) request.fail(error);
    for (const applicant of this.#waiting) applicant.fail(error);
    this.#sweep();
  }

  /** Checks that every page is free or cached. The caller guarantees that nothing runs or waits. @throws RangeError if one is held */
  checkIntegrity(): void {
    this.#pool.checkIntegrity(0);
  }

  /** Describes the holders of places and pages, for people. */
  whyWaiting(): string {
    const { numAvailable, numPages, pageSize } = this.#pool;
    const { limit } = this.#sizer;
    const holders = this.#running.map(
      ({ name, numPages: held, isPaused }) => `${name} (${held}${isPaused ? ", not read" : ""})`,
    );
    for (const [name, { numPages }] of this.#reserved) holders.push(`${name} (${numPages})`);
    return (
      `a place: ${this.#running.length} of ${this.#maxRunning} requests run, ${limit - numPages + numAvailable} of ${limit} pages of ` +
      `${pageSize} tokens are free; pages are held by ${holders.join(", ") || "no request"}`
    );
  }

  /** Gives running requests the pages for their next tokens, oldest first. Returns false if one lacks a page. */
  #growRunning(): boolean {
    let isShort = false;
    for (const one of this.#running) {
      one.lacksPage = false;
      if (one.isPaused || one.hasPage) continue;
      const canGrow = this.#sizer.canGrow(this.missingPages + 1);
      if (this.#pool.numAvailable === 0 && !canGrow) this.#suspendOne();
      const keepsCached = this.#pool.numFree === 0 && this.#sizer.prefersGrowth(this.missingPages + 1);
      if (!keepsCached && one.takePage()) continue;
      one.lacksPage = true;
      isShort = true;
      if (canGrow) this.missingPages++;
    }
    return !isShort;
  }

  /**
   * Suspends unread requests until the applicant fits, but none before the growth that it needs has succeeded, and none if it
   * would not fit. Returns true if it fits.
   */
  #makeRoom({ demand, request }: Applicant): boolean {
    // Needed: the applicant's own pages, and headroom: for each running request the pages that it may take before the applicant
    // has caught up. That is one page for a new request, and one more per page of generated tokens for a replay, which admission
    // would otherwise preempt again on its way. `logits` and `score` do not grow, so they need no headroom.
    const ahead = request ? 1 + this.#pool.pagesFor(request.numGenerated) : 0;
    const { pages, found } = demand();
    let needed = pages;
    for (const one of this.#running) needed += Math.min(ahead, one.mayStillTake);
    let numAvailable = this.#pool.numAvailable;
    let running = this.#running.length;
    const fits = () =>
      (numAvailable >= needed || this.#sizer.canGrow(needed - numAvailable)) &&
      (!request || running < this.#maxRunning);
    const suspended: ActiveRequest[] = [];
    for (const one of this.#running) {
      if (fits()) break;
      if (!one.canBeSuspended) continue;
      suspended.push(one);
      numAvailable += this.#freedBy(one, found);
      needed -= Math.min(ahead, one.mayStillTake);
      running--;
    }
    if (!fits()) return false;
    const lacking = needed - (numAvailable - this.#pool.numCached);
    this.missingPages = Math.max(0, this.#sizer.prefersGrowth(lacking) ? lacking : needed - numAvailable);
    if (this.missingPages > 0) return false;
    for (const one of suspended) this.#suspend(one);
    return true;
  }

  /** Pages that become free or cached if a request releases its own. Those that an applicant finds are counted with it already. */
  #freedBy({ cache }: ActiveRequest, found: readonly number[]): number {
    const isFreed = (page: number) => this.#pool.holders(page) === 1 && !found.includes(page);
    return cache ? cache.pages.filter(isFreed).length : 0;
  }

  #outOfMemory(name: string, { tokens, pages }: Pick<Demand, "tokens" | "pages">): OutOfPagesError {
    const { limit, maxPages } = this.#sizer;
    const { pageSize } = this.#pool;
    return new OutOfPagesError(
      `${name}: the KV cache of ${tokens} tokens needs ${pages} pages of ${pageSize} tokens; there was ` +
        `memory for ${limit} of the ${maxPages} it may have; free memory, ask for fewer tokens, or use a smaller model`,
    );
  }

  /** Suspends the oldest request that nobody reads, if there is one. */
  #suspendOne(): void {
    for (const one of this.#running)
      if (one.canBeSuspended) {
        this.#suspend(one);
        return;
      }
  }

  #suspend(one: ActiveRequest): void {
    this.#release(one);
    one.suspend();
    this.#running = this.#running.filter((other) => other !== one);
  }

  #sweep(): void {
    for (const one of this.#waiting)
      if (one.isDone()) {
        this.#waiting = this.#waiting.filter((other) => !other.isDone());
        break;
      }
    let isLeft = false;
    for (const request of this.#running)
      if (request.isDone) {
        this.#release(request);
        isLeft = true;
      }
    if (isLeft) this.#running = this.#running.filter(({ isDone }) => !isDone);
  }

  #release(request: ActiveRequest): void {
    this.#changeCount++;
    if (request.isDone) this.#prefix.keepDecoded(request);
    request.releasePages();
    const key = request.resolved.policyKey;
    const use = this.#policies.get(key);
    if (use && --use.uses === 0) {
      this.#policies.delete(key);
      this.#forget(use.policy);
    }
  }

  /** Gives requests of the same spec or policy value one bound policy, so that they run in one batch group. */
  #usePolicy(request: ActiveRequest): void {
    const { policy, policyKey: key } = request.resolved;
    const known = this.#policies.get(key);
    if (known) known.uses++;
    else this.#policies.set(key, { policy, uses: 1 });
    if (known) request.resolved = { ...request.resolved, policy: known.policy };
  }
}

function describe({ numSequences, tokens, sharedTokens }: GroupSizes): string {
  if (numSequences === 1) return `${tokens} tokens`;
  return `${numSequences} sequences of ${tokens} tokens, which share ${sharedTokens},`;
}
