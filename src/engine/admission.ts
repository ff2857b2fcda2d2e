import type { AttentionPolicy } from "../attention/policy.ts";
import { OutOfPagesError } from "../base/errors.ts";
import type { CacheSizer } from "../kv/cache-sizer.ts";
import type { PagePool } from "../kv/page-pool.ts";
import { SequenceCache } from "../kv/sequence-cache.ts";
import type { ActiveRequest } from "./active-request.ts";

/** Waiting longer than this is worth a note in the result. */
const LONG_WAIT_MS = 10_000;

/** Something that waits for pages: a request, or `logits`. */
interface Applicant {
  readonly name: string;
  /** Tokens that it needs room for before it starts. */
  readonly numTokens: () => number;
  /** Set for a request, which takes one of the places in a batch, too. */
  readonly generation?: ActiveRequest;
  readonly since: number;
  /** Who had what it needs, when it last had to wait, and which state of the admission that was. */
  waitsFor?: string;
  waitsSince?: number;
  readonly isDone: () => boolean;
  readonly admit: (cache: SequenceCache) => void;
  readonly fail: (error: Error) => void;
}

/** What admission needs besides pages. */
export interface AdmissionHost {
  readonly maxRunning: number;
  /** Gives the buffers of a policy back when its last request has ended. */
  forget(policy: AttentionPolicy): void;
  /** Milliseconds of a clock. */
  now?(): number;
}

/**
 * Decides who may run: hands pages and places to requests, first come, first served. A request gets pages for its prompt,
 * and more as it grows. Where pages run out, a request whose consumer does not read gives its pages to those that need
 * them; where no request can go on, the youngest does, and is replayed later.
 */
export class Admission {
  readonly #pool: PagePool;
  readonly #sizer: CacheSizer;
  readonly #maxRunning: number;
  readonly #forget: (policy: AttentionPolicy) => void;
  readonly #policies = new Map<unknown, { policy: AttentionPolicy; uses: number }>();
  readonly #now: () => number;
  /** Pages held by others than requests, by name. */
  readonly #reserved = new Map<string, SequenceCache>();
  #numReservations = 0;
  #waiting: Applicant[] = [];
  #running: ActiveRequest[] = [];
  /** Counts changes of who runs and who holds reserved pages. */
  #state = 0;
  /** Pages that the pool lacks so that the next one may go on, where it can still grow; 0 where nobody would. */
  missingPages = 0;

  constructor(pool: PagePool, sizer: CacheSizer, { maxRunning, forget, now }: AdmissionHost) {
    this.#pool = pool;
    this.#sizer = sizer;
    this.#maxRunning = maxRunning;
    this.#forget = forget;
    this.#now = now ?? (() => performance.now());
  }

  /** Requests that hold pages, oldest first. */
  get running(): readonly ActiveRequest[] {
    return this.#running;
  }

  /** Requests that run or wait. */
  get numRequests(): number {
    return this.#running.length + this.#waiting.length;
  }

  /** Nothing runs or waits. */
  get isIdle(): boolean {
    return this.#running.length === 0 && this.#waiting.length === 0 && this.#reserved.size === 0;
  }

  /** @throws OutOfPagesError where the pool can never hold so many tokens of one sequence. */
  checkFits(what: string, tokens: number): void {
    const { pageSize } = this.#pool;
    const most = this.#sizer.maxPages;
    if (this.#pool.pagesFor(tokens) <= most) return;
    throw new OutOfPagesError(
      `${what}: ${tokens} tokens need ${this.#pool.pagesFor(tokens)} KV pages of ${pageSize} tokens, and the pool may grow to ` +
        `${most}; ask for fewer tokens, or open the engine with a larger contextLength`,
    );
  }

  /** Adds a request at the end of the queue. */
  queue(generation: ActiveRequest): void {
    generation.isSuspended = false;
    this.#waiting.push(this.#applicant(generation));
  }

  #applicant(generation: ActiveRequest): Applicant {
    return {
      name: generation.name,
      numTokens: () => generation.firstCache,
      generation,
      since: this.#now(),
      isDone: () => generation.isDone,
      admit: (cache) => {
        generation.admit(cache, this.#now());
        this.#running.push(generation);
        this.#usePolicy(generation);
      },
      fail: (error) => generation.fail(error),
    };
  }

  /** Pages for so many tokens of `logits`, once it is their turn. `release` may come before that. */
  reserve(tokens: number): { readonly cache: Promise<SequenceCache>; readonly release: () => void } {
    const name = `logits ${++this.#numReservations}`;
    let held: SequenceCache | undefined;
    let isReleased = false;
    const cache = new Promise<SequenceCache>((resolve, reject) => {
      this.#waiting.push({
        name,
        numTokens: () => tokens,
        since: this.#now(),
        isDone: () => isReleased,
        admit: (given) => {
          held = given;
          this.#reserved.set(name, given);
          resolve(given);
        },
        fail: (error) => {
          isReleased = true;
          reject(error);
        },
      });
    });
    return {
      cache,
      release: () => {
        isReleased = true;
        this.#state++;
        this.#reserved.delete(name);
        held?.release();
      },
    };
  }

  /**
   * Frees what ended requests held, gives running ones the pages for their next tokens, oldest first, then moves waiting
   * ones in. While a running one lacks a page nobody new comes in. Where pages are missing that the pool could grow to,
   * `missingPages` says how many; called again, it goes on.
   */
  admit(): void {
    this.#sweep();
    this.missingPages = 0;
    if (!this.#growRunning()) return;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (!this.#makeRoom(next)) {
        if (this.missingPages > 0) return;
        if (this.#pool.numFree === this.#pool.numPages && this.#running.length === 0) {
          this.#waiting.shift();
          next.fail(this.#outOfMemory(next.name, next.numTokens()));
          continue;
        }
        if (next.waitsSince !== this.#state) next.waitsFor = this.whyWaiting();
        next.waitsSince = this.#state;
        return;
      }
      this.#waiting.shift();
      const waitedMs = this.#now() - next.since;
      if (waitedMs > LONG_WAIT_MS && next.waitsFor !== undefined && next.generation?.numPreempted === 0)
        next.generation.note(`waited ${(waitedMs / 1000).toFixed(0)} s for ${next.waitsFor}`);
      const cache = new SequenceCache(this.#pool);
      if (!cache.reserve(next.numTokens()))
        throw new RangeError(`admitting ${next.name}: the pages it was admitted for are not free`);
      this.#state++;
      next.admit(cache);
    }
  }

  /**
   * Called where nothing can run and no sample is in flight: if running requests lack pages, the youngest gives its own
   * back and queues in front, to be replayed; alone, it fails. The oldest is never preempted by others, so it always ends.
   * Gives false where there is nothing to do but wait: pages that `logits` holds come back by themselves.
   */
  relieve(): boolean {
    if (this.#reserved.size > 0 || !this.#running.some(({ lacksPage }) => lacksPage)) return false;
    const youngest = this.#running[this.#running.length - 1] as ActiveRequest;
    if (this.#running.length === 1) {
      youngest.fail(this.#outOfMemory(youngest.name, youngest.cachedTokens + 1));
      return true;
    }
    this.#letGo(youngest);
    this.#running.pop();
    youngest.preempt(this.#now());
    this.#waiting.unshift(this.#applicant(youngest));
    return true;
  }

  /** Ends everything that runs or waits. */
  failAll(error: Error): void {
    for (const generation of this.#running) generation.fail(error);
    for (const applicant of this.#waiting) applicant.fail(error);
    this.#sweep();
  }

  /** Checks, when nothing runs or waits, that every page is free. @throws RangeError where one is not. */
  checkIntegrity(): void {
    this.#pool.checkIntegrity(0);
  }

  /** Who has what a waiting request needs, for people. */
  whyWaiting(): string {
    const { numFree, numPages, pageSize } = this.#pool;
    const { limit } = this.#sizer;
    const holders = this.#running.map(
      ({ name, numPages: held, isPaused }) => `${name} (${held}${isPaused ? ", not read" : ""})`,
    );
    for (const [name, { pages }] of this.#reserved) holders.push(`${name} (${pages.length})`);
    return (
      `a place: ${this.#running.length} of ${this.#maxRunning} requests run, ${limit - numPages + numFree} of ${limit} pages of ` +
      `${pageSize} tokens are free; pages are held by ${holders.join(", ") || "no request"}`
    );
  }

  /** Gives running requests the pages for their next tokens, oldest first. False where one lacks a page. */
  #growRunning(): boolean {
    let isShort = false;
    for (const one of this.#running) {
      one.lacksPage = false;
      if (one.isPaused || one.hasPage) continue;
      const canGrow = this.#sizer.canGrow(this.missingPages + 1);
      if (this.#pool.numFree === 0 && !canGrow) this.#suspendOne();
      if (one.takePage()) continue;
      one.lacksPage = true;
      isShort = true;
      if (canGrow) this.missingPages++;
    }
    return !isShort;
  }

  /** Whether an applicant fits, after unread requests were set aside for it. Sets none aside in vain. */
  #makeRoom({ numTokens, generation }: Applicant): boolean {
    // A replayed request is let in only where the others can go on for as long as its replay takes: else it would be
    // preempted again before it is where it was.
    const ahead = generation ? 1 + this.#pool.pagesFor(generation.numGenerated) : 0;
    let needed = this.#pool.pagesFor(numTokens());
    for (const one of this.#running) needed += Math.min(ahead, one.mayStillTake);
    let numFree = this.#pool.numFree;
    let running = this.#running.length;
    const fits = () =>
      (numFree >= needed || this.#sizer.canGrow(needed - numFree)) &&
      (!generation || running < this.#maxRunning);
    const given: ActiveRequest[] = [];
    for (const one of this.#running) {
      if (fits()) break;
      if (!one.canBeSuspended) continue;
      given.push(one);
      numFree += one.numPages;
      needed -= Math.min(ahead, one.mayStillTake);
      running--;
    }
    if (!fits()) return false;
    for (const one of given) this.#suspend(one);
    if (this.#pool.numFree >= needed) return true;
    this.missingPages = needed - this.#pool.numFree;
    return false;
  }

  #outOfMemory(name: string, tokens: number): OutOfPagesError {
    const { limit, maxPages } = this.#sizer;
    const { pageSize } = this.#pool;
    return new OutOfPagesError(
      `${name}: the KV cache of ${tokens} tokens needs ${this.#pool.pagesFor(tokens)} pages of ${pageSize} tokens; there was ` +
        `memory for ${limit} of the ${maxPages} it may have; free memory, ask for fewer tokens, or use a smaller model`,
    );
  }

  /** Sets one request aside whose consumer does not read, where there is one. */
  #suspendOne(): void {
    for (const one of this.#running)
      if (one.canBeSuspended) {
        this.#suspend(one);
        return;
      }
  }

  #suspend(one: ActiveRequest): void {
    this.#letGo(one);
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
    for (const generation of this.#running)
      if (generation.isDone) {
        this.#letGo(generation);
        isLeft = true;
      }
    if (isLeft) this.#running = this.#running.filter(({ isDone }) => !isDone);
  }

  #letGo(generation: ActiveRequest): void {
    this.#state++;
    generation.releasePages();
    const key = generation.resolved.policyKey;
    const use = this.#policies.get(key);
    if (use && --use.uses === 0) {
      this.#policies.delete(key);
      this.#forget(use.policy);
    }
  }

  /** Requests with the same spec, or the same policy value, share one bound policy, so that they run in one group. */
  #usePolicy(generation: ActiveRequest): void {
    const { policy, policyKey: key } = generation.resolved;
    const known = this.#policies.get(key);
    if (known) known.uses++;
    else this.#policies.set(key, { policy, uses: 1 });
    if (known) generation.resolved = { ...generation.resolved, policy: known.policy };
  }
}
