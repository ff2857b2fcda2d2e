import type { AttentionPolicy } from "../attention/policy.ts";
import type { Capacity } from "../backend/backend.ts";
import { PageAllocator } from "../kv/page-allocator.ts";
import type { RunningGeneration } from "./generation.ts";

/** Waiting longer than this is worth a note in the result. */
const LONG_WAIT_MS = 10_000;

/** Something that waits for pages: a request, or `logits`. */
interface Applicant {
  readonly name: string;
  readonly numPages: number;
  /** Set for a request, which takes one of the places in a batch, too. */
  readonly generation?: RunningGeneration;
  readonly since: number;
  /** Who had what it needs, when it last had to wait. */
  waitsFor?: string;
  readonly isDone: () => boolean;
  readonly admit: (pages: readonly number[]) => void;
  readonly fail: (error: Error) => void;
}

/**
 * Who may run: hands pages and places to requests, first come, first served. A request whose consumer does not read
 * gives both to those that wait; it queues again when it is read on.
 */
export class Admission {
  readonly #pages: PageAllocator;
  readonly #maxRunning: number;
  readonly #forget: (policy: AttentionPolicy) => void;
  readonly #policies = new Map<unknown, { policy: AttentionPolicy; uses: number }>();
  readonly #now: () => number;
  /** Pages held by others than requests: name and number. */
  readonly #reserved = new Map<string, number>();
  #numReservations = 0;
  #waiting: Applicant[] = [];
  #running: RunningGeneration[] = [];

  /**
   * forget: gives the buffers of a policy back when its last request has ended.
   * now: milliseconds of a clock
   */
  constructor(
    { maxPages, pageSize, maxBatchSequences }: Capacity,
    forget: (policy: AttentionPolicy) => void,
    now = () => performance.now(),
  ) {
    this.#now = now;
    this.#pages = new PageAllocator(maxPages, pageSize);
    this.#maxRunning = maxBatchSequences;
    this.#forget = forget;
  }

  /** Requests that hold pages, oldest first. */
  get running(): readonly RunningGeneration[] {
    return this.#running;
  }

  /** Adds a request at the end of the queue. */
  queue(generation: RunningGeneration): void {
    generation.isSetAside = false;
    this.#waiting.push({
      name: generation.name,
      numPages: this.#pages.pagesFor(generation.longestCache),
      generation,
      since: this.#now(),
      isDone: () => generation.isDone,
      admit: (pages) => {
        generation.pages = pages;
        this.#running.push(generation);
        this.#usePolicy(generation);
      },
      fail: (error) => generation.fail(error),
    });
  }

  /** Pages for so many tokens of `logits`, once it is their turn. `release` may come before that. */
  reserve(tokens: number): { readonly pages: Promise<readonly number[]>; readonly release: () => void } {
    const name = `logits ${++this.#numReservations}`;
    let held: readonly number[] = [];
    let isReleased = false;
    const pages = new Promise<readonly number[]>((resolve, reject) => {
      this.#waiting.push({
        name,
        numPages: this.#pages.pagesFor(tokens),
        since: this.#now(),
        isDone: () => isReleased,
        admit: (given) => {
          held = given;
          this.#reserved.set(name, given.length);
          resolve(given);
        },
        fail: (error) => {
          isReleased = true;
          reject(error);
        },
      });
    });
    return {
      pages,
      release: () => {
        isReleased = true;
        this.#reserved.delete(name);
        this.#pages.release(held);
        held = [];
      },
    };
  }

  /** Frees what ended requests held, then moves waiting ones in. */
  admit(): void {
    this.#sweep();
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      if (!this.#makeRoom(next)) {
        next.waitsFor = this.whyWaiting();
        return;
      }
      this.#waiting.shift();
      const waitedMs = this.#now() - next.since;
      if (waitedMs > LONG_WAIT_MS && next.waitsFor !== undefined)
        next.generation?.note(`waited ${(waitedMs / 1000).toFixed(0)} s for ${next.waitsFor}`);
      next.admit(this.#pages.allocate(next.numPages));
    }
  }

  /** Ends everything that runs or waits. */
  failAll(error: Error): void {
    for (const generation of this.#running) generation.fail(error);
    for (const applicant of this.#waiting) applicant.fail(error);
    this.#sweep();
  }

  /** Who has what a waiting request needs, for people. */
  whyWaiting(): string {
    const { numFree, numPages, pageSize } = this.#pages;
    const requests = this.#running.map(
      ({ name, pages = [], isPaused }) => `${name} (${pages.length}${isPaused ? ", not read" : ""})`,
    );
    const others = [...this.#reserved].map(([name, count]) => `${name} (${count})`);
    return (
      `a place: ${this.#running.length} of ${this.#maxRunning} requests run, ${numFree} of ${numPages} pages of ` +
      `${pageSize} tokens are free; pages are held by ${[...requests, ...others].join(", ") || "no request"}`
    );
  }

  /** Whether an applicant fits, after unread requests were set aside for it. Sets none aside in vain. */
  #makeRoom({ numPages, generation }: Applicant): boolean {
    const unread = this.#running.filter((one) => one.canBeSetAside);
    const fits = (given: readonly RunningGeneration[]) => {
      const freed = given.reduce((sum, { pages }) => sum + (pages?.length ?? 0), 0);
      const running = this.#running.length - given.length;
      return this.#pages.numFree + freed >= numPages && (!generation || running < this.#maxRunning);
    };
    let numSetAside = 0;
    while (!fits(unread.slice(0, numSetAside))) if (++numSetAside > unread.length) return false;
    for (const one of unread.slice(0, numSetAside)) {
      this.#letGo(one);
      one.setAside();
    }
    this.#running = this.#running.filter(({ isSetAside }) => !isSetAside);
    return true;
  }

  #sweep(): void {
    if (this.#waiting.some((one) => one.isDone()))
      this.#waiting = this.#waiting.filter((one) => !one.isDone());
    if (!this.#running.some(({ isDone }) => isDone)) return;
    for (const generation of this.#running) if (generation.isDone) this.#letGo(generation);
    this.#running = this.#running.filter(({ isDone }) => !isDone);
  }

  #letGo(generation: RunningGeneration): void {
    this.#pages.release(generation.pages ?? []);
    generation.pages = undefined;
    const key = generation.resolved.policyKey;
    const use = this.#policies.get(key);
    if (use && --use.uses === 0) {
      this.#policies.delete(key);
      this.#forget(use.policy);
    }
  }

  /** Requests with the same spec, or the same policy value, share one bound policy, so that they run in one group. */
  #usePolicy(generation: RunningGeneration): void {
    const { policy, policyKey: key } = generation.resolved;
    const known = this.#policies.get(key);
    if (known) known.uses++;
    else this.#policies.set(key, { policy, uses: 1 });
    if (known) generation.resolved = { ...generation.resolved, policy: known.policy };
  }
}
