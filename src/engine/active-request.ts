import type { ResolvedObserver } from "../attention/observer.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { SamplingRow } from "../backend/backend.ts";
import { AbortedError } from "../base/errors.ts";
import type { SequenceCache } from "../kv/sequence-cache.ts";
import type { RankedLogprob } from "./logprobs.ts";
import type { OutputStream } from "./output-stream.ts";
import { PartQueue } from "./part-queue.ts";
import type {
  FinishReason,
  Generation,
  GenerationPart,
  GenerationProgress,
  GenerationResult,
} from "./request.ts";
import { type OutputPlan, RequestOutput } from "./request-output.ts";
import type { PrefixRights } from "./request-prefix.ts";
import { RequestTimes } from "./request-times.ts";
import type { OutputStart } from "./thinking.ts";

/** A checked request with all values resolved. */
export interface ResolvedRequest extends OutputPlan {
  readonly policy: AttentionPolicy;
  /** Equal for requests that may share one policy value. */
  readonly policyKey: unknown;
  readonly prefix: PrefixRights;
  readonly stops: readonly string[];
  /** True if its text is not split at reasoning markers. */
  readonly keepsMarkers?: boolean | undefined;
  readonly start: OutputStart;
  readonly observer?: ResolvedObserver | undefined;
  /** Tokens whose number chooses its RoPE, if not those that it may cache. */
  readonly ropeTokens?: number | undefined;
  /** Tokens of an earlier run, with which its output begins. */
  readonly generated?: readonly number[] | undefined;
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
  /** Steps of the engine that have ended; while a step's tokens are given out, that step is one of them. */
  numSteps(): number;
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
  readonly tokens: readonly number[];
  /** Keys and values; undefined while it waits. `cache.length` counts the tokens that recorded steps have cached or will cache. */
  cache: SequenceCache | undefined;
  /** True while its next token lacks a page. Other requests continue meanwhile. */
  lacksPage = false;
  isDone = false;
  /** True from its suspension until its consumer reads on and it queues again. */
  isSuspended = false;
  /** Row of the last sample that holds its newest token; undefined if the host has that token. */
  inFlightRow: number | undefined;
  /** Counts drops of samples in flight, whose tokens are not its own. */
  epoch = 0;
  /** The older request whose prefill computes a part of its prompt for it; it has no rows meanwhile. */
  leader: ActiveRequest | undefined;
  /** Tokens of its prompt that were cached, or computed by its leader, when it first ran. */
  reusedTokens = 0;
  /** Decode steps that the observer has seen or will not see; a replay repeats them. */
  numObserved = 0;
  /** Tokens of samples in flight. */
  #numInFlight = 0;
  #cachedAtEnd = 0;
  readonly #times: RequestTimes;
  /** Rows (`CacheReads`) read and cached over all decode steps, for the attended fraction. */
  #attendedRows = 0;
  #cachedRows = 0;
  readonly #output: RequestOutput;
  readonly #host: RequestHost;
  readonly #parts = new PartQueue();
  readonly #notes: string[];
  #isResultWanted = false;
  #hasConsumerLeft = false;
  #error: Error | undefined;
  #result: GenerationResult | undefined;
  #wakeConsumer: (() => void) | undefined;
  readonly #onAbort = (): void => {
    const cause: unknown = this.resolved.signal?.reason;
    this.fail(new AbortedError("the request was aborted by its signal", { cause }));
    this.#host.wake(this);
  };

  constructor(name: string, resolved: ResolvedRequest, output: OutputStream, host: RequestHost) {
    this.name = name;
    this.resolved = resolved;
    this.#output = new RequestOutput(resolved, output, (parts) => this.#give(parts));
    this.tokens = this.#output.tokens;
    this.#notes = [...resolved.notes];
    this.#host = host;
    this.#times = new RequestTimes(host.numSteps());
    resolved.signal?.addEventListener("abort", this.#onAbort);
    if (resolved.signal?.aborted) this.#onAbort();
    else {
      const reason = this.#output.resume(resolved.generated ?? []);
      if (reason) this.#finish(reason, performance.now());
      else if (this.#output.isOverBudget) this.#closeReasoning(performance.now());
    }
  }

  get promptTokens(): number {
    return this.resolved.prompt.length;
  }

  /** Maximum cached tokens. The last generated token needs no key and value. */
  get longestCache(): number {
    return this.promptTokens + this.resolved.maxTokens - 1;
  }

  /** Tokens whose number chooses its RoPE. */
  get ropeTokens(): number {
    return this.resolved.ropeTokens ?? this.longestCache;
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
    return this.#times.numPreempted;
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

  /** True if it ended by an error that is no abort. */
  get hasFailed(): boolean {
    return this.#error !== undefined && !(this.#error instanceof AbortedError);
  }

  /** True if each of its samples needs all earlier tokens on the host. */
  get needsTokens(): boolean {
    return this.#output.needsTokens;
  }

  get awaitsToken(): boolean {
    return this.inFlightRow !== undefined && this.needsTokens;
  }

  /** The row of its next sample. */
  samplingRow(): SamplingRow {
    return this.#output.samplingRow(this.numSampled);
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
    this.#times.admit(now);
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
    this.leader = undefined;
    this.lacksPage = false;
  }

  /** Marks it suspended until its consumer reads on. */
  suspend(): void {
    this.isSuspended = true;
  }

  /** Counts a preemption. */
  preempt(now: number): void {
    this.#times.preempt(now);
  }

  /** True if admission may take its pages: nobody reads it, and no sample of it is in flight. */
  get canBeSuspended(): boolean {
    return this.isPaused && !this.isDone && this.#numInFlight === 0;
  }

  /** Records the time of its first step. */
  start(now: number): void {
    this.#times.start(now);
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

  /** Takes the token of its oldest sample in flight. Ends at an end-of-sequence or stop token, a stop text or maxTokens. */
  accept(tokenId: number, now: number, ranked?: RankedLogprob): void {
    if (--this.#numInFlight === 0) this.inFlightRow = undefined;
    this.#times.firstToken(now, this.#host.numSteps());
    const reason = this.#output.take(tokenId, ranked);
    if (reason) this.#finish(reason, now);
    else if (this.#output.isOverBudget) this.#closeReasoning(now);
  }

  /** Writes the end of the reasoning. A sample in flight would follow other tokens, so it is dropped. */
  #closeReasoning(now: number): void {
    this.#numInFlight = 0;
    this.inFlightRow = undefined;
    this.epoch++;
    const reason = this.#output.closeReasoning();
    if (reason) this.#finish(reason, now);
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
    const output = this.#output.finish();
    const preempted = this.#times.preemptionNote;
    if (preempted !== undefined) this.note(preempted);
    const { policy } = this.resolved;
    const from = policy.selectionLayersFrom;
    this.#result = {
      ...output,
      finishReason,
      usage: {
        ...{ promptTokens: this.promptTokens, cachedTokens: this.reusedTokens },
        completionTokens: this.numGenerated,
        reasoningTokens: this.#output.reasoningTokens,
      },
      timings: this.#times.timings(now, this.numGenerated - (this.resolved.generated?.length ?? 0)),
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
