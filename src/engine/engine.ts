import { Attention } from "../attention/attend.ts";
import { full } from "../attention/policies/full.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { parseAttention } from "../attention/spec.ts";
import { AbortedError, RequestError } from "../base/errors.ts";
import { yieldToEventLoop } from "../base/yield.ts";
import { PageAllocator } from "../kv/page-allocator.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import { Decoder } from "../model/decoder.ts";
import type { EngineParts } from "./engine-parts.ts";
import { type GenerationPlan, RunningGeneration } from "./generation.ts";
import { planRequest } from "./plan-request.ts";
import { OutputStream } from "./reasoning.ts";
import type { Generation, GenerationRequest } from "./request.ts";
import { schedule } from "./scheduler.ts";
import { type Step, StepRunner } from "./step-runner.ts";

/** Most milliseconds the engine computes on end before timers, signals and streams get a turn. */
const MAX_BUSY_MS = 8;

/** Decides which tokens run now: queues requests, fills batches, draws tokens, ends requests. */
export class GenerationEngine {
  readonly tokenizer: Tokenizer;
  readonly #parts: EngineParts;
  readonly #attention: Attention;
  readonly #steps: StepRunner;
  readonly #pages: PageAllocator;
  readonly #policies = new Map<unknown, { policy: AttentionPolicy; uses: number }>();
  readonly #waiting: RunningGeneration[] = [];
  #running: RunningGeneration[] = [];
  /** The last step, where its tokens have not been read: the next one is recorded first. */
  #unread: Step | undefined;
  #isPumping = false;
  /** Something has come up since the last turn began. */
  #isWanted = false;
  #isClosed = false;
  /** Serialises users of the backend: the pump and `logits`. */
  #backendBusy: Promise<void> = Promise.resolve();
  #lastYield = 0;

  constructor(parts: EngineParts) {
    const { shape } = parts.backend;
    this.#parts = parts;
    this.tokenizer = parts.tokenizer;
    this.#attention = new Attention(parts.backend, parts.attentionModel);
    const decoder = new Decoder(parts.backend, parts.weights, this.#attention);
    this.#steps = new StepRunner(parts.backend, decoder, parts.rope);
    this.#pages = new PageAllocator(shape.numPages, shape.pageSize);
    this.policyOf(parts.attention); // an impossible default is an error now, not at the first request
  }

  /** The bound policy of a request or of the engine. @throws ConfigError when it cannot be. */
  policyOf(attention: AttentionPolicy | string | undefined): AttentionPolicy {
    const given = attention ?? this.#parts.attention;
    const policy = typeof given === "string" ? parseAttention(given, this.#parts.attentionDefaults) : given;
    return policy.forModel?.(this.#parts.attentionModel) ?? policy;
  }

  /**
   * Queues a request. What cannot run is an error here, not later.
   * @throws RequestError, ConfigError
   */
  generate(request: GenerationRequest): Generation {
    if (this.#isClosed) throw new RequestError("generate: the engine is closed; open a new one");
    const plan = this.#plan(request);
    const output = new OutputStream(this.tokenizer, plan.prompt, plan.stops);
    const generation = new RunningGeneration(plan, output, () => void this.#pump());
    this.#waiting.push(generation);
    void this.#pump();
    return generation;
  }

  #plan(request: GenerationRequest): GenerationPlan {
    return planRequest(request, this.#parts, (attention) => this.policyOf(attention));
  }

  /** Takes turns while there is something to do. One at a time. */
  async #pump(): Promise<void> {
    this.#isWanted = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      // a turn of the event loop first: the caller may still attach its consumer or abort
      await Promise.resolve();
      while (this.#isWanted && !this.#isClosed) {
        this.#isWanted = false;
        if (await this.#exclusively(() => this.#step())) this.#isWanted = true;
        if (performance.now() - this.#lastYield < MAX_BUSY_MS) continue;
        await yieldToEventLoop();
        this.#lastYield = performance.now();
      }
    } catch (error) {
      const failure = error instanceof Error ? error : new Error(String(error));
      for (const generation of [...this.#running, ...this.#waiting]) generation.fail(failure);
      this.#sweep();
    } finally {
      this.#isPumping = false;
    }
  }

  async #exclusively<T>(work: () => Promise<T>): Promise<T> {
    const before = this.#backendBusy;
    let release = () => {};
    this.#backendBusy = new Promise((resolve) => {
      release = resolve;
    });
    await before;
    try {
      return await work();
    } finally {
      release();
    }
  }

  /**
   * One turn: schedule, run, postprocess. False when nothing is left to do.
   * Where the backend runs ahead, the tokens of a step are read when the next one is recorded, at most one step later, so
   * that the device has work while the host reads, detokenises and records.
   */
  async #step(): Promise<boolean> {
    this.#sweep();
    this.#admit();
    const { maxBatchRows: maxRows, maxBatchSequences: maxSequences } = this.#parts.backend.shape;
    const runs = schedule(this.#running, { maxRows, maxSequences });
    const before = this.#unread;
    this.#unread = undefined;
    let step: Step | undefined;
    try {
      if (runs.length > 0) step = this.#steps.run(this.#running, runs);
    } finally {
      // where the step failed, too: what was drawn before it is right
      if (before) await this.#steps.postprocess(before);
    }
    if (step?.canStayUnread) this.#unread = step;
    else if (step) await this.#steps.postprocess(step);
    return step !== undefined || before !== undefined;
  }

  /** Moves waiting requests in while their pages fit; first come, first served. */
  #admit(): void {
    while (this.#running.length < this.#parts.backend.shape.maxBatchSequences) {
      const next = this.#waiting[0];
      if (!next) return;
      // the last generated token is never fed back, so it needs no slot
      const needed = this.#pages.pagesFor(next.promptTokens + next.plan.maxTokens - 1);
      if (needed > this.#pages.numFree) return;
      this.#waiting.shift();
      next.pages = this.#pages.allocate(needed);
      this.#running.push(next);
      this.#usePolicy(next);
    }
  }

  /** Requests with the same spec, or the same policy value, share one bound policy, so that they run in one group. */
  #usePolicy(generation: RunningGeneration): void {
    const { policy, policyKey: key } = generation.plan;
    const known = this.#policies.get(key);
    if (known) known.uses++;
    else this.#policies.set(key, { policy, uses: 1 });
    Object.assign(generation.plan, { policy: known?.policy ?? policy });
  }

  /** Frees what ended requests held. */
  #sweep(): void {
    if (this.#waiting.some((generation) => generation.isDone))
      this.#waiting.splice(
        0,
        this.#waiting.length,
        ...this.#waiting.filter((generation) => !generation.isDone),
      );
    if (!this.#running.some((generation) => generation.isDone)) return;
    for (const generation of this.#running.filter((one) => one.isDone)) {
      this.#pages.release(generation.pages);
      generation.pages = [];
      const key = generation.plan.policyKey;
      const use = this.#policies.get(key);
      if (use && --use.uses === 0) {
        this.#policies.delete(key);
        this.#attention.forget(use.policy);
      }
    }
    this.#running = this.#running.filter((generation) => !generation.isDone);
  }

  /** Dense logits of every position: f32 [tokenIds.length, vocabSize]. Waits for its turn between steps. */
  async logits(tokenIds: ArrayLike<number>): Promise<Float32Array> {
    if (this.#isClosed) throw new RequestError("logits: the engine is closed; open a new one");
    const { prompt } = this.#plan({ tokenIds, maxTokens: 1, attention: full() });
    return this.#exclusively(async () => {
      const pages = this.#pages.allocate(this.#pages.pagesFor(prompt.length));
      try {
        return await this.#steps.denseLogits(prompt, pages);
      } finally {
        this.#pages.release(pages);
      }
    });
  }

  /** Aborts what runs, then frees everything. Calling it twice is allowed. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const generation of [...this.#running, ...this.#waiting])
      generation.fail(new AbortedError("the request was aborted: the engine was closed"));
    await this.#exclusively(async () => this.#sweep());
    this.#unread = undefined;
    await this.#parts.backend.close();
  }
}
