import type { AttentionPolicy } from "../attention/policy.ts";
import type { SamplingParams } from "../backend/backend.ts";
import { AbortedError } from "../base/errors.ts";
import type { SequenceCache } from "../kv/sequence-cache.ts";
import type { OutputStream } from "./output-stream.ts";
import { PartQueue } from "./part-queue.ts";
import type {
  FinishReason,
  Generation,
  GenerationPart,
  GenerationProgress,
  GenerationResult,
} from "./request.ts";
import type { OutputStart } from "./thinking.ts";

/** A checked request with all values resolved. */
export interface ResolvedRequest {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly policy: AttentionPolicy;
  /** Equal for requests that may share one policy value. */
  readonly policyKey: unknown;
  readonly sampling: SamplingParams;
  readonly eosTokenIds: readonly number[];
  readonly stops: readonly string[];
  readonly start: OutputStart;
  readonly signal: AbortSignal | undefined;
  /** Deviations from the request, and guesses. */
  readonly notes: readonly string[];
}

/** Callbacks of a request to its engine. */
export interface RequestHost {
  /** Reports an abort, a read that ends a pause, or a call of `result`. */
  wake(request: ActiveRequest): void;
  /** Describes the holders of places and pages. */
  whyWaiting(): string;
}

/**
 * A request from its queue to its end: its tokens, pages, output and consumer. Its caller sees it as a `Generation`.
 *
 * Words of this folder: a *request* has one *run* per step, which is its rows in that step (`SequenceRun`); a run takes one
 * *sequence* of the batch, which is a number that differs from step to step.
 * A request *waits* for pages and a place, and *runs* while it holds pages. It is *paused* while its consumer is too far behind,
 * *suspended* if admission took the pages of a paused request, and *preempted* if, as the youngest, it released its pages to older
 * requests. A suspended or preempted request *replays* its tokens later.
 */
export class ActiveRequest implements Generation {
  /** Name in messages. */
  readonly name: string;
  resolved: ResolvedRequest;
  /** Prompt and generated tokens. */
  readonly tokens: number[];
  /** Keys and values; undefined while it waits. `cache.length` counts the tokens that recorded steps have cached or will cache. */
  cache: SequenceCache | undefined;
  /** True while its next token lacks a page. Other requests continue meanwhile. */
  lacksPage = false;
  isDone = false;
  /** True from its suspension until its consumer reads on and it queues again. */
  isSuspended = false;
  /** Row of the last sample that holds its newest token; undefined if the host has that token. */
  inFlightRow: number | undefined;
  /** Tokens of samples in flight. */
  #numInFlight = 0;
  #cachedAtEnd = 0;
  /** Preemptions so far. */
  #numPreempted = 0;
  /** Time of the last preemption, while it waits. */
  #preemptedAt: number | undefined;
  /** Milliseconds spent waiting after preemptions. */
  #waitedMs = 0;
  /** Rows (`CacheReads`) read and cached over all decode steps, for the attended fraction. */
  #attendedRows = 0;
  #cachedRows = 0;
  readonly #output: OutputStream;
  readonly #host: RequestHost;
  readonly #parts = new PartQueue();
  readonly #notes: string[];
  #isResultWanted = false;
  #hasConsumerLeft = false;
  #error: Error | undefined;
  #result: GenerationResult | undefined;
  #wakeConsumer: (() => void) | undefined;
  #started = 0;
  #firstTokenAt = 0;
  #prefillMs = 0;
  readonly #onAbort = (): void => {
    const cause: unknown = this.resolved.signal?.reason;
    this.fail(new AbortedError("the request was aborted by its signal", { cause }));
    this.#host.wake(this);
  };

  constructor(name: string, resolved: ResolvedRequest, output: OutputStream, host: RequestHost) {
    this.name = name;
    this.resolved = resolved;
    this.tokens = [...resolved.prompt];
    this.#notes = [...resolved.notes];
    this.#output = output;
    this.#host = host;
    resolved.signal?.addEventListener("abort", this.#onAbort);
    if (resolved.signal?.aborted) this.#onAbort();
  }

  get promptTokens(): number {
    return this.resolved.prompt.length;
  }

  /** Maximum cached tokens. The last generated token needs no key and value. */
  get longestCache(): number {
    return this.promptTokens + this.resolved.maxTokens - 1;
  }

  /** Tokens that its first pages must hold: the known ones and the next one. */
  get firstCache(): number {
    return Math.min(this.longestCache, this.tokens.length + 1);
  }

  /** Tokens that recorded steps have cached or will cache. */
  get cachedTokens(): number {
    return this.cache?.length ?? this.#cachedAtEnd;
  }

  /** Pages that it holds; 0 while it waits. */
  get numPages(): number {
    return this.cache ? this.cache.pages.length : 0;
  }

  /** Pages that it lacks for its longest output. @throws TypeError if it does not run */
  get mayStillTake(): number {
    return this.#held.missingPages(this.longestCache);
  }

  get #held(): SequenceCache {
    if (!this.cache) throw new TypeError(`${this.name} holds no pages: it does not run`);
    return this.cache;
  }

  /** True if its next token needs no new page. */
  get hasPage(): boolean {
    return this.isFullySampled || (this.cache !== undefined && this.cache.length < this.cache.capacity);
  }

  get numPreempted(): number {
    return this.#numPreempted;
  }

  get numGenerated(): number {
    return this.tokens.length - this.resolved.prompt.length;
  }

  /** Tokens generated, those of samples in flight included. */
  get numSampled(): number {
    return this.numGenerated + this.#numInFlight;
  }

  /** True if a sample in flight or an earlier one has its last token, unless an earlier token ends it. */
  get isFullySampled(): boolean {
    return this.numSampled >= this.resolved.maxTokens;
  }

  /** True while the consumer is too far behind. */
  get isPaused(): boolean {
    return !this.#isResultWanted && this.#parts.isFull;
  }

  get progress(): GenerationProgress {
    const { promptTokens, cachedTokens, numGenerated: generatedTokens } = this;
    const base = { promptTokens, cachedTokens, generatedTokens };
    if (this.isDone) return { phase: "done", ...base };
    if (this.isSuspended) return { phase: "waiting", ...base, waitsFor: "its consumer to continue reading" };
    if (!this.cache) return { phase: "waiting", ...base, waitsFor: this.#host.whyWaiting() };
    return { phase: cachedTokens < promptTokens ? "prefill" : "decode", ...base };
  }

  /** Adds to the notes of the result. */
  note(text: string): void {
    this.#notes.push(text);
  }

  /** Starts it, or its replay, in the pages of `cache`. */
  admit(cache: SequenceCache, now: number): void {
    this.cache = cache;
    if (this.#preemptedAt !== undefined) this.#waitedMs += now - this.#preemptedAt;
    this.#preemptedAt = undefined;
  }

  /** Takes a page for its next token. Returns false if none is free. */
  takePage(): boolean {
    return this.#held.reserve(this.cachedTokens + 1);
  }

  /** Releases its pages. Its tokens are known, so a replay computes the same keys and values. */
  releasePages(): void {
    this.#cachedAtEnd = this.isDone ? this.cachedTokens : 0;
    this.cache?.release();
    this.cache = undefined;
    this.lacksPage = false;
  }

  /** Marks it suspended until its consumer reads on. */
  suspend(): void {
    this.isSuspended = true;
  }

  /** Counts a preemption. */
  preempt(now: number): void {
    this.#numPreempted++;
    this.#preemptedAt = now;
  }

  /** True if admission may take its pages: nobody reads it, and no sample of it is in flight. */
  get canBeSuspended(): boolean {
    return this.isPaused && !this.isDone && this.#numInFlight === 0;
  }

  /** Records the time of its first step. */
  start(now: number): void {
    if (this.#started === 0) this.#started = now;
  }

  /** Records that a sample in flight has its next token in row `row`. */
  expect(row: number): void {
    this.#numInFlight++;
    this.inFlightRow = row;
  }

  /** Adds the key and value rows that a decode step read, and those that dense attention would have read. */
  count(attendedRows: number, cachedRows: number): void {
    this.#attendedRows += attendedRows;
    this.#cachedRows += cachedRows;
  }

  /** Takes the token of its oldest sample in flight. Ends at an end-of-sequence token, a stop text or maxTokens. */
  accept(tokenId: number, now: number): void {
    this.tokens.push(tokenId);
    if (--this.#numInFlight === 0) this.inFlightRow = undefined;
    if (this.numGenerated === 1) {
      this.#firstTokenAt = now;
      this.#prefillMs = now - this.#started;
    }
    if (this.resolved.eosTokenIds.includes(tokenId)) {
      this.#finish("stop", now);
      return;
    }
    this.#give(this.#output.push(tokenId));
    if (this.#output.isStopped) this.#finish("stop", now);
    else if (this.numGenerated >= this.resolved.maxTokens) this.#finish("length", now);
  }

  /** Ends it with an error, which the consumer gets after the earlier parts. */
  fail(error: Error): void {
    if (this.isDone) return;
    this.#error = error;
    this.#end();
  }

  /** Wakes the consumer for the last time, and removes its listener from a signal that may outlive many requests. */
  #end(): void {
    this.isDone = true;
    this.resolved.signal?.removeEventListener("abort", this.#onAbort);
    this.#wake();
  }

  #finish(finishReason: FinishReason, now: number): void {
    this.#give(this.#output.finish());
    this.#notePreemption();
    const { policy } = this.resolved;
    const from = policy.selectionLayersFrom;
    const decodeMs = now - this.#firstTokenAt;
    this.#result = {
      text: this.#output.text,
      reasoning: this.#output.reasoning,
      answer: this.#output.answer,
      tokenIds: this.tokens.slice(this.promptTokens),
      finishReason,
      usage: { promptTokens: this.promptTokens, completionTokens: this.numGenerated },
      timings: {
        prefillMs: this.#prefillMs,
        decodeMs,
        msPerToken: decodeMs / Math.max(1, this.numGenerated - 1),
      },
      attention: {
        name: policy.name,
        settings: policy.settings,
        ...(from && { selectionLayersFrom: from }),
        attendedFraction: this.#cachedRows === 0 ? 1 : this.#attendedRows / this.#cachedRows,
      },
      notes: this.#notes,
    };
    this.#end();
  }

  #notePreemption(): void {
    if (this.#numPreempted === 0) return;
    const times = this.#numPreempted === 1 ? "once" : `${this.#numPreempted} times`;
    this.note(
      `gave its KV pages to older requests ${times}, waited ${(this.#waitedMs / 1000).toFixed(1)} s for pages and was ` +
        "replayed: the cache holds fewer tokens than all requests together have",
    );
  }

  #give(parts: readonly GenerationPart[]): void {
    if (parts.length === 0) return;
    for (const part of parts) this.#parts.push(part);
    this.#wake();
  }

  #wake(): void {
    const wake = this.#wakeConsumer;
    this.#wakeConsumer = undefined;
    wake?.();
  }

  async #changed(): Promise<void> {
    await new Promise<void>((resolve) => {
      const before = this.#wakeConsumer;
      this.#wakeConsumer = () => {
        before?.();
        resolve();
      };
    });
  }

  // no generator, since `return` of one that has not begun would abort nothing
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
      const wasPaused = this.isPaused;
      const part = this.#parts.shift();
      if (part) {
        if (wasPaused) this.#host.wake(this);
        return { done: false, value: part };
      }
      if (this.#error) throw this.#error;
      if (this.isDone) return { done: true, value: undefined };
      await this.#changed();
    }
  }

  /** Aborts it after its consumer left the loop, unless somebody waits for the result. The next step frees its pages. */
  #leave(): void {
    this.#hasConsumerLeft = true;
    this.#wake();
    if (this.isDone || this.#isResultWanted) return;
    this.fail(new AbortedError("the request was aborted: its consumer stopped iterating"));
    this.#host.wake(this);
  }

  async result(): Promise<GenerationResult> {
    this.#isResultWanted = true;
    this.#host.wake(this);
    while (!this.isDone) await this.#changed();
    if (this.#error) throw this.#error;
    if (!this.#result) throw new TypeError("a finished request has no result");
    return this.#result;
  }
}
