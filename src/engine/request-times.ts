import type { RequestTimings } from "./request.ts";

/** Times of a request, in milliseconds of one clock, and its preemptions. */
export class RequestTimes {
  /** Preemptions so far. */
  numPreempted = 0;
  #started = 0;
  #firstTokenAt = 0;
  #prefillMs = 0;
  #firstTokenSteps = 0;
  readonly #stepsBefore: number;
  /** Time of the last preemption, while it waits. */
  #preemptedAt: number | undefined;
  /** Milliseconds spent waiting after preemptions. */
  #waitedMs = 0;

  /** stepsBefore: steps that the engine has ended */
  constructor(stepsBefore: number) {
    this.#stepsBefore = stepsBefore;
  }

  /** Ends a wait after a preemption. */
  admit(now: number): void {
    if (this.#preemptedAt !== undefined) this.#waitedMs += now - this.#preemptedAt;
    this.#preemptedAt = undefined;
  }

  preempt(now: number): void {
    this.numPreempted++;
    this.#preemptedAt = now;
  }

  /** Records the time of its first step. */
  start(now: number): void {
    if (this.#started === 0) this.#started = now;
  }

  /** Records its first token. numSteps: steps that the engine has ended, the one with the token included */
  firstToken(now: number, numSteps: number): void {
    if (this.#firstTokenAt !== 0) return;
    this.#firstTokenAt = now;
    this.#prefillMs = now - this.#started;
    this.#firstTokenSteps = numSteps - this.#stepsBefore;
  }

  timings(now: number, numGenerated: number): RequestTimings {
    // an output that the engine alone wrote has no first token
    const decodeMs = this.#firstTokenAt === 0 ? 0 : now - this.#firstTokenAt;
    return {
      prefillMs: this.#prefillMs,
      decodeMs,
      msPerToken: decodeMs / Math.max(1, numGenerated - 1),
      firstTokenSteps: this.#firstTokenSteps,
    };
  }

  /** The note of a preempted request. */
  get preemptionNote(): string | undefined {
    if (this.numPreempted === 0) return undefined;
    const times = this.numPreempted === 1 ? "once" : `${this.numPreempted} times`;
    return (
      `gave its KV pages to older requests ${times}, waited ${(this.#waitedMs / 1000).toFixed(1)} s for pages and was ` +
      "replayed: the cache holds fewer tokens than all requests together have"
    );
  }
}
