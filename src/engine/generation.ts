import type { AttentionPolicy } from "../attention/policy.ts";
import type { SamplingParams } from "../backend/backend.ts";
import { AbortedError } from "../base/errors.ts";
import type { OutputStream } from "./reasoning.ts";
import type { FinishReason, Generation, GenerationPart, GenerationResult } from "./request.ts";

/** Parts a consumer may be behind before its request pauses. */
const MAX_WAITING_PARTS = 64;

/** What a request needs before it runs, checked. */
export interface GenerationPlan {
  readonly prompt: readonly number[];
  readonly maxTokens: number;
  readonly policy: AttentionPolicy;
  /** Equal for requests that may share one policy value. */
  readonly policyKey: unknown;
  readonly sampling: SamplingParams;
  readonly eosTokenIds: readonly number[];
  readonly stops: readonly string[];
  readonly signal: AbortSignal | undefined;
}

/** One request while it waits, runs and ends: its tokens, its pages, its output, its consumer. */
export class RunningGeneration implements Generation {
  readonly plan: GenerationPlan;
  /** Prompt and generated tokens. */
  readonly tokens: number[];
  pages: number[] = [];
  cachedTokens = 0;
  isDone = false;
  /** Row of the last draw that holds the newest token, where that has not been read. */
  unreadRow: number | undefined;
  /** Tokens drawn and not read. */
  #numUnread = 0;
  /** Key/value rows read and cached over all decode steps, for the attended fraction. */
  #attendedRows = 0;
  #cachedRows = 0;
  readonly #output: OutputStream;
  readonly #wakeEngine: () => void;
  readonly #parts: GenerationPart[] = [];
  #isDraining = false;
  #error: Error | undefined;
  #result: GenerationResult | undefined;
  #wakeConsumer: (() => void) | undefined;
  #started = 0;
  #firstTokenAt = 0;
  #prefillMs = 0;
  readonly #onAbort = (): void => {
    const cause: unknown = this.plan.signal?.reason;
    this.fail(new AbortedError("the request was aborted by its signal", { cause }));
    this.#wakeEngine();
  };

  constructor(plan: GenerationPlan, output: OutputStream, wakeEngine: () => void) {
    this.plan = plan;
    this.tokens = [...plan.prompt];
    this.#output = output;
    this.#wakeEngine = wakeEngine;
    plan.signal?.addEventListener("abort", this.#onAbort);
    if (plan.signal?.aborted) this.#onAbort();
  }

  get promptTokens(): number {
    return this.plan.prompt.length;
  }

  get numGenerated(): number {
    return this.tokens.length - this.plan.prompt.length;
  }

  /** Tokens generated, those not read yet included. */
  get numDrawn(): number {
    return this.numGenerated + this.#numUnread;
  }

  /** Its last token is drawn, unless one before it turns out to end the request. */
  get isFullyDrawn(): boolean {
    return this.numDrawn >= this.plan.maxTokens;
  }

  /** True while the consumer is too far behind. */
  get isPaused(): boolean {
    return !this.#isDraining && this.#parts.length >= MAX_WAITING_PARTS;
  }

  /** Called when the first rows are about to run. */
  start(now: number): void {
    if (this.#started === 0) this.#started = now;
  }

  /** Takes note that a draw under way has a token for it. */
  expect(row: number): void {
    this.#numUnread++;
    this.unreadRow = row;
  }

  /** Counts the key/value rows that a decode step read, and those that dense attention would have read. */
  count(attendedRows: number, cachedRows: number): void {
    this.#attendedRows += attendedRows;
    this.#cachedRows += cachedRows;
  }

  /** Takes the token of the oldest draw under way. Sets isDone at an end-of-sequence token, a stop text or the last token. */
  accept(tokenId: number, now: number): void {
    this.tokens.push(tokenId);
    if (--this.#numUnread === 0) this.unreadRow = undefined;
    if (this.numGenerated === 1) {
      this.#firstTokenAt = now;
      this.#prefillMs = now - this.#started;
    }
    if (this.plan.eosTokenIds.includes(tokenId)) {
      this.#finish("stop", now);
      return;
    }
    this.#give(this.#output.push(tokenId));
    if (this.#output.isStopped) this.#finish("stop", now);
    else if (this.numGenerated >= this.plan.maxTokens) this.#finish("length", now);
  }

  /** Ends the request with an error; the consumer gets it at its next turn. */
  fail(error: Error): void {
    if (this.isDone) return;
    this.#error = error;
    this.#end();
  }

  /** Wakes the consumer for the last time, and lets go of a signal that may outlive many requests. */
  #end(): void {
    this.isDone = true;
    this.plan.signal?.removeEventListener("abort", this.#onAbort);
    this.#wake();
  }

  #finish(finishReason: FinishReason, now: number): void {
    this.#give(this.#output.finish());
    const { policy } = this.plan;
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
        attendedFraction: this.#cachedRows === 0 ? 1 : this.#attendedRows / this.#cachedRows,
      },
    };
    this.#end();
  }

  #give(part: GenerationPart | undefined): void {
    if (!part || this.#isDraining) return;
    this.#parts.push(part);
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

  async *[Symbol.asyncIterator](): AsyncGenerator<GenerationPart, void, void> {
    try {
      for (;;) {
        const part = this.#parts.shift();
        if (part) {
          if (this.#parts.length === MAX_WAITING_PARTS - 1) this.#wakeEngine();
          yield part;
        } else if (this.#error) throw this.#error;
        else if (this.isDone) return;
        else await this.#changed();
      }
    } finally {
      // the consumer left early: free the pages at the next step
      if (!this.isDone) {
        this.fail(new AbortedError("the request was aborted: its consumer stopped iterating"));
        this.#wakeEngine();
      }
    }
  }

  async result(): Promise<GenerationResult> {
    this.#isDraining = true;
    this.#wakeEngine();
    while (!this.isDone) await this.#changed();
    if (this.#error) throw this.#error;
    if (!this.#result) throw new TypeError("a finished request has no result");
    return this.#result;
  }
}
