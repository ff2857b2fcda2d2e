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

/** What a request needs before it runs, checked. */
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
  /** What was done otherwise than asked, or on a guess. */
  readonly notes: readonly string[];
}

/** What a generation asks of its engine. */
export interface GenerationHost {
  /** Something changed that the engine may act on: an abort, or parts that were read. */
  wake(generation: ActiveRequest): void;
  /** Who has what a waiting request needs. */
  whyWaiting(): string;
}

/** One request while it waits, runs and ends: its tokens, its pages, its output, its consumer. */
export class ActiveRequest implements Generation {
  /** For messages. */
  readonly name: string;
  resolved: ResolvedRequest;
  /** Prompt and generated tokens. */
  readonly tokens: number[];
  /** Its keys and values; undefined while it waits for pages. Its length is the one cursor of what has run. */
  cache: SequenceCache | undefined;
  /** It waits for a page for its next token, while others go on. */
  lacksPage = false;
  isDone = false;
  /** Its pages were given to others; it queues again when its consumer reads on. */
  isSuspended = false;
  /** Row of the last draw that holds the newest token, where that has not been read. */
  inFlightRow: number | undefined;
  /** Tokens drawn and not read. */
  #numInFlight = 0;
  #cachedAtEnd = 0;
  /** How often it gave its pages to older requests, since when it waits for them, and how long it has. */
  #numPreempted = 0;
  #preemptedAt: number | undefined;
  #waitedMs = 0;
  /** Rows (`CacheReads`) read and cached over all decode steps, for the attended fraction. */
  #attendedRows = 0;
  #cachedRows = 0;
  readonly #output: OutputStream;
  readonly #host: GenerationHost;
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

  constructor(name: string, resolved: ResolvedRequest, output: OutputStream, host: GenerationHost) {
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

  /** Tokens whose keys and values it may need: the last generated token is never fed back. */
  get longestCache(): number {
    return this.promptTokens + this.resolved.maxTokens - 1;
  }

  /** Tokens that it needs room for before it starts: those that are known, and the next one. */
  get firstCache(): number {
    return Math.min(this.longestCache, this.tokens.length + 1);
  }

  /** Tokens whose keys and values are cached, or recorded to be. */
  get cachedTokens(): number {
    return this.cache?.length ?? this.#cachedAtEnd;
  }

  /** Pages that it holds: none while it waits. */
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

  /** True where its next token needs no new page. */
  get hasPage(): boolean {
    return this.isFullySampled || (this.cache !== undefined && this.cache.length < this.cache.capacity);
  }

  get numPreempted(): number {
    return this.#numPreempted;
  }

  get numGenerated(): number {
    return this.tokens.length - this.resolved.prompt.length;
  }

  /** Tokens generated, those not read yet included. */
  get numSampled(): number {
    return this.numGenerated + this.#numInFlight;
  }

  /** Its last token is drawn, unless one before it turns out to end the request. */
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
    if (this.isSuspended) return { phase: "waiting", ...base, waitsFor: "its consumer, to read on" };
    if (!this.cache) return { phase: "waiting", ...base, waitsFor: this.#host.whyWaiting() };
    return { phase: cachedTokens < promptTokens ? "prefill" : "decode", ...base };
  }

  /** Adds to the notes of the result. */
  note(text: string): void {
    this.#notes.push(text);
  }

  /** Takes the pages it runs in. */
  admit(cache: SequenceCache, now: number): void {
    this.cache = cache;
    if (this.#preemptedAt !== undefined) this.#waitedMs += now - this.#preemptedAt;
    this.#preemptedAt = undefined;
  }

  /** Takes a page for its next token. False where none is free. */
  takePage(): boolean {
    return this.#held.reserve(this.cachedTokens + 1);
  }

  /** Gives its pages back; its tokens are known, so that a replay gives the same keys and values. */
  releasePages(): void {
    this.#cachedAtEnd = this.isDone ? this.cachedTokens : 0;
    this.cache?.release();
    this.cache = undefined;
    this.lacksPage = false;
  }

  /** Records that its pages were given to others until its consumer reads on. */
  suspend(): void {
    this.isSuspended = true;
  }

  /** Records that its pages were given to older requests. */
  preempt(now: number): void {
    this.#numPreempted++;
    this.#preemptedAt = now;
  }

  /** Whether it may give its pages up now: nobody reads it, and no draw of it is under way. */
  get canBeSuspended(): boolean {
    return this.isPaused && !this.isDone && this.#numInFlight === 0;
  }

  /** Called when the first rows are about to run. */
  start(now: number): void {
    if (this.#started === 0) this.#started = now;
  }

  /** Records that a draw in flight has this request's next token in its row `row`. */
  expect(row: number): void {
    this.#numInFlight++;
    this.inFlightRow = row;
  }

  /** Counts the key/value rows that a decode step read, and those that dense attention would have read. */
  count(attendedRows: number, cachedRows: number): void {
    this.#attendedRows += attendedRows;
    this.#cachedRows += cachedRows;
  }

  /** Takes the token of its oldest draw in flight. Sets isDone at an end-of-sequence token, a stop text or the last token. */
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

  /** Ends the request with an error; the consumer gets it after the parts that came before. */
  fail(error: Error): void {
    if (this.isDone) return;
    this.#error = error;
    this.#end();
  }

  /** Wakes the consumer for the last time, and lets go of a signal that may outlive many requests. */
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

  // Not a generator: `return` of one that has not begun would abort nothing.
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

  /** The consumer left its loop: the pages are free at the next step, unless somebody waits for the result. */
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
