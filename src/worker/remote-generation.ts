import type { StepTrace } from "../attention/observer.ts";
import { AbortedError, RequestError } from "../base/errors.ts";
import type { Generation, GenerationPart, GenerationProgress, GenerationResult } from "../engine/request.ts";
import type { ToEngine } from "./protocol.ts";

/** Parts that the worker sends ahead of the consumer; behind them the engine's own queue fills, and the request pauses. */
const PARTS_AHEAD = 32;

/** What a generation needs of its engine's proxy. */
export interface RemotePlace {
  send(message: ToEngine): void;
  /** Counts the consumers that wait: they keep the process alive. */
  wait<T>(work: Promise<T>): Promise<T>;
  /** Called once, when nothing more is expected from the worker. */
  forget(id: number): void;
}

export interface RemoteRequest {
  readonly id: number;
  readonly signal: AbortSignal | undefined;
  readonly onStep: ((trace: StepTrace) => void) | undefined;
}

/** The consumer's side of a generation that runs in a worker. */
export class RemoteGeneration implements Generation {
  readonly #id: number;
  readonly #signal: AbortSignal | undefined;
  readonly #onStep: RemoteRequest["onStep"];
  readonly #place: RemotePlace;
  #parts: GenerationPart[] = [];
  /** Parts taken since the worker last heard of room; all of the room before the first read. */
  #room = PARTS_AHEAD;
  #isReading = false;
  #progress: GenerationProgress = {
    ...{ phase: "waiting", promptTokens: 0, cachedTokens: 0, generatedTokens: 0 },
    waitsFor: "the engine's worker to take it",
  };
  #isDone = false;
  #isResultWanted = false;
  #hasConsumerLeft = false;
  #error: Error | undefined;
  #result: GenerationResult | undefined;
  #wakeConsumers: (() => void)[] = [];
  readonly #onAbort = (): void => {
    const cause: unknown = this.#signal?.reason;
    this.abort(new AbortedError("the request was aborted by its signal", { cause }));
  };

  constructor({ id, signal, onStep }: RemoteRequest, place: RemotePlace) {
    this.#id = id;
    this.#signal = signal;
    this.#onStep = onStep;
    this.#place = place;
    signal?.addEventListener("abort", this.#onAbort);
  }

  get isDone(): boolean {
    return this.#isDone;
  }

  get progress(): GenerationProgress {
    return this.#progress;
  }

  receivePart(part: GenerationPart, progress: GenerationProgress): void {
    if (this.#isDone) return;
    this.#parts.push(part);
    this.#progress = progress;
    this.#wake();
  }

  receiveProgress(progress: GenerationProgress): void {
    // "done" comes with the result
    if (!this.#isDone && progress.phase !== "done") this.#progress = progress;
  }

  /** Gives a step to the observer. If it throws, the request fails. */
  receiveStep(trace: StepTrace): void {
    if (this.#isDone) return;
    try {
      this.#onStep?.(trace);
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      this.abort(new RequestError(`the observer of the request failed: ${message}`, { cause: error }));
    }
  }

  finish(result: GenerationResult, progress: GenerationProgress): void {
    if (this.#isDone) return;
    this.#result = result;
    this.#end(progress);
  }

  /** Ends it with an error, which the consumer gets after the earlier parts. */
  fail(error: Error, progress?: GenerationProgress): void {
    if (this.#isDone) return;
    this.#error = error;
    this.#end(progress);
  }

  /** Ends it with an error of this side, and tells the worker. */
  abort(error: Error): void {
    if (this.#isDone) return;
    this.fail(error);
    this.#place.send({ type: "abort", id: this.#id });
  }

  #end(progress: GenerationProgress | undefined): void {
    this.#isDone = true;
    const { waitsFor: _, ...last } = progress ?? this.#progress;
    this.#progress = { ...last, phase: "done" };
    this.#signal?.removeEventListener("abort", this.#onAbort);
    this.#place.forget(this.#id);
    this.#wake();
  }

  #wake(): void {
    for (const wake of this.#wakeConsumers.splice(0)) wake();
  }

  #changed(): Promise<void> {
    return this.#place.wait(new Promise((resolve) => this.#wakeConsumers.push(resolve)));
  }

  [Symbol.asyncIterator](): AsyncIterator<GenerationPart, undefined> {
    return {
      next: () => this.#next(),
      return: async () => {
        this.#leave();
        return { done: true, value: undefined };
      },
    };
  }

  async #next(): Promise<IteratorResult<GenerationPart, undefined>> {
    for (;;) {
      if (this.#hasConsumerLeft) return { done: true, value: undefined };
      this.#askForParts();
      const part = this.#parts.shift();
      if (part) {
        this.#room++;
        return { done: false, value: part };
      }
      if (this.#error) throw this.#error;
      if (this.#isDone) return { done: true, value: undefined };
      await this.#changed();
    }
  }

  /** Tells the worker of room for parts: at the first read, then half of it at a time. */
  #askForParts(): void {
    if (this.#isDone || (this.#isReading && this.#room < PARTS_AHEAD / 2)) return;
    this.#isReading = true;
    this.#place.send({ type: "read", id: this.#id, count: this.#room });
    this.#room = 0;
  }

  #leave(): void {
    this.#hasConsumerLeft = true;
    this.#wake();
    if (this.#isDone || this.#isResultWanted) return;
    this.abort(new AbortedError("the request was aborted: its consumer stopped iterating"));
  }

  async result(): Promise<GenerationResult> {
    if (!this.#isResultWanted && !this.#isDone) this.#place.send({ type: "result", id: this.#id });
    this.#isResultWanted = true;
    while (!this.#isDone) await this.#changed();
    if (this.#error) throw this.#error;
    if (!this.#result) throw new TypeError("a finished request has no result");
    return this.#result;
  }
}
