/** The calls that the server works on: their number, their ends, and what aborts them. */
import type { Generation } from "../engine/request.ts";
import { HttpError } from "./http-error.ts";

/** Share of the newest duration in the mean by which `Retry-After` is estimated. */
const NEWEST = 0.2;
const MAX_RETRY_AFTER_S = 60;

export interface LiveLimits {
  /** Maximum choices that wait for a place in the batch. */
  readonly maxQueue: number;
  /** Milliseconds that a call may take; 0: without limit. */
  readonly timeoutMs: number;
}

/** The reason of an abort by a client that has left; nobody reads an answer. */
export class ClientLeft extends Error {
  override readonly name = "ClientLeft";
}

/** One call of the API: the generations of its choices, and one signal that aborts them all. */
export class LiveCall {
  readonly startedAt = performance.now();
  generations: readonly Generation[] = [];
  /** Choices that have their result. */
  numFinished = 0;
  /** True after a failure that is not its client's leaving. */
  hasFailed = false;
  readonly #controller = new AbortController();
  readonly #client: AbortSignal;
  readonly #timer: ReturnType<typeof setTimeout> | undefined;
  readonly #onEnd: (call: LiveCall) => void;
  readonly #onLeave = () => this.abort(new ClientLeft("the client closed its connection"));

  constructor(client: AbortSignal, timeoutMs: number, onEnd: (call: LiveCall) => void) {
    this.#client = client;
    this.#onEnd = onEnd;
    client.addEventListener("abort", this.#onLeave);
    if (client.aborted) this.#onLeave();
    if (timeoutMs > 0) this.#timer = setTimeout(() => this.abort(timedOut(timeoutMs)), timeoutMs);
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Aborts its generations, whose pages are free within a step. */
  abort(reason: Error): void {
    if (!this.signal.aborted) this.#controller.abort(reason);
  }

  /** Returns the reason of an abort in place of the errors that it makes. */
  causeOf(error: unknown): unknown {
    return this.signal.aborted ? this.signal.reason : error;
  }

  /** Ends the call; what still runs of it is aborted. Calling it twice is allowed. */
  end(): void {
    clearTimeout(this.#timer);
    this.#client.removeEventListener("abort", this.#onLeave);
    if (this.generations.some(({ progress }) => progress.phase !== "done"))
      this.abort(new ClientLeft("nobody reads the call"));
    this.#onEnd(this);
  }
}

function timedOut(timeoutMs: number): HttpError {
  return new HttpError(
    504,
    `the request took longer than the server's limit of ${timeoutMs / 1000} s; ask for fewer tokens, or start the server with a larger --request-timeout`,
    { code: "timeout", isFinal: true },
  );
}

export class LiveCalls {
  readonly #limits: LiveLimits;
  readonly #live = new Set<LiveCall>();
  #meanMs = 1000;
  #idleSince = performance.now();
  #whenIdle: (() => void)[] = [];
  /** True once the server takes no new calls. */
  isDraining = false;

  constructor(limits: LiveLimits) {
    this.#limits = limits;
  }

  get numCalls(): number {
    return this.#live.size;
  }

  /** Milliseconds since the last call ended, or since the start; 0 while calls are in progress. */
  get idleMs(): number {
    return this.#live.size > 0 ? 0 : performance.now() - this.#idleSince;
  }

  /** Returns the choices that run, and those that wait for a place, pages or their reader. */
  count(): { readonly running: number; readonly waiting: number } {
    let [running, waiting] = [0, 0];
    for (const { generations } of this.#live)
      for (const { progress } of generations) {
        if (progress.phase === "waiting") waiting++;
        else if (progress.phase !== "done") running++;
      }
    return { running, waiting };
  }

  /**
   * Begins a call of `numChoices` generations. client: fires when the client leaves.
   * @throws HttpError 429 if too many wait, 503 while the server shuts down
   */
  begin(numChoices: number, client: AbortSignal): LiveCall {
    const { maxQueue, timeoutMs } = this.#limits;
    if (this.isDraining)
      throw new HttpError(503, "the server is shutting down; ask another one", {
        code: "shutting_down",
        retryAfterS: 1,
      });
    if (numChoices > maxQueue)
      throw new HttpError(
        400,
        `the request asks for ${numChoices} choices at once, and the server queues ${maxQueue}; ask for fewer`,
        { param: "n" },
      );
    const { waiting } = this.count();
    if (waiting + numChoices > maxQueue)
      throw new HttpError(
        429,
        `the server is busy: ${waiting} requests wait, and its queue holds ${maxQueue}; try again later`,
        {
          code: "queue_full",
          retryAfterS: Math.min(MAX_RETRY_AFTER_S, Math.max(1, this.#meanMs / 1000)),
        },
      );
    const call = new LiveCall(client, timeoutMs, (one) => this.#ended(one));
    this.#live.add(call);
    return call;
  }

  #ended(call: LiveCall): void {
    if (!this.#live.delete(call)) return;
    const tookMs = performance.now() - call.startedAt;
    this.#meanMs += NEWEST * (tookMs - this.#meanMs);
    if (this.#live.size > 0) return;
    this.#idleSince = performance.now();
    for (const resolve of this.#whenIdle) resolve();
    this.#whenIdle = [];
  }

  /** Resolves when no call is left. */
  async idle(): Promise<void> {
    if (this.#live.size > 0) await new Promise<void>((resolve) => this.#whenIdle.push(resolve));
  }

  abortAll(reason: Error): void {
    for (const call of this.#live) call.abort(reason);
  }
}
