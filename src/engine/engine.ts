import { Attention, attendedRows } from "../attention/attend.ts";
import { full } from "../attention/policies/full.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { parseAttention } from "../attention/spec.ts";
import type { SamplingRow } from "../backend/backend.ts";
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
import { type SequenceRun, StepBatchBuilder } from "./step-batch.ts";

/** Most milliseconds the engine computes on end before timers, signals and streams get a turn. */
const MAX_BUSY_MS = 8;

/** Decides which tokens run now: queues requests, fills batches, draws tokens, ends requests. */
export class GenerationEngine {
  readonly tokenizer: Tokenizer;
  readonly #parts: EngineParts;
  readonly #attention: Attention;
  readonly #decoder: Decoder;
  readonly #batch: StepBatchBuilder;
  readonly #pages: PageAllocator;
  readonly #policies = new Map<unknown, { policy: AttentionPolicy; uses: number }>();
  readonly #waiting: RunningGeneration[] = [];
  #running: RunningGeneration[] = [];
  #isPumping = false;
  #isClosed = false;
  /** Serialises users of the backend: the pump and `logits`. */
  #backendBusy: Promise<void> = Promise.resolve();
  readonly #logitRows: Uint32Array;
  #lastYield = 0;

  constructor(parts: EngineParts) {
    const { shape } = parts.backend;
    this.#parts = parts;
    this.tokenizer = parts.tokenizer;
    this.#attention = new Attention(parts.backend, parts.attentionModel);
    this.#decoder = new Decoder(parts.backend, parts.weights, this.#attention);
    this.#batch = new StepBatchBuilder(shape, parts.rope);
    this.#pages = new PageAllocator(shape.numPages, shape.pageSize);
    this.#logitRows = new Uint32Array(this.#decoder.logitRows);
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

  /** Runs steps while there is something to run. One at a time. */
  async #pump(): Promise<void> {
    if (this.#isPumping) return;
    this.#isPumping = true;
    try {
      // a turn of the event loop first: the caller may still attach its consumer or abort
      await Promise.resolve();
      while (!this.#isClosed && (await this.#exclusively(() => this.#step()))) {
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

  /** One step of the engine; false when nothing can run. */
  async #step(): Promise<boolean> {
    this.#sweep();
    this.#admit();
    const { backend } = this.#parts;
    const runs = schedule(this.#running, {
      maxRows: backend.shape.maxBatchRows,
      maxSequences: backend.shape.maxBatchSequences,
    });
    if (runs.length === 0) return false;
    const now = performance.now();
    const entries = runs.flatMap(({ index, numRows, isPrefill }) => {
      const generation = this.#running[index];
      if (!generation) return [];
      generation.start(now);
      const { tokens, pages, cachedTokens, plan } = generation;
      const run = {
        tokens,
        pages,
        firstPosition: cachedTokens,
        numRows,
        isPrefill,
        policy: plan.policy,
        generation,
      };
      return [run];
    });
    const ordered = this.#batch.fill(entries) as readonly (SequenceRun & { generation: RunningGeneration })[];
    this.#decoder.forward(this.#batch, this.#batch.groups);
    await this.#draw(ordered);
    return true;
  }

  /** Draws a token for every sequence whose cache is complete after this step. */
  async #draw(runs: readonly (SequenceRun & { generation: RunningGeneration })[]): Promise<void> {
    const rows: SamplingRow[] = [];
    const drawn: RunningGeneration[] = [];
    runs.forEach(({ generation, numRows, isPrefill, policy, firstPosition }, sequence) => {
      generation.cachedTokens += numRows;
      if (!isPrefill) this.#count(generation, policy, firstPosition + 1);
      if (generation.cachedTokens < generation.tokens.length) return;
      this.#logitRows[rows.length] = (this.#batch.firstRows[sequence] ?? 0) + numRows - 1;
      rows.push({
        params: generation.plan.sampling,
        draw: generation.numGenerated,
        seenTokens: generation.tokens,
      });
      drawn.push(generation);
    });
    if (rows.length === 0) return;
    this.#decoder.computeLogits(this.#logitRows, rows.length);
    const tokens = await this.#parts.backend.sample(this.#decoder.logits, rows).tokens();
    const now = performance.now();
    drawn.forEach((generation, i) => {
      if (!generation.isDone) generation.accept(tokens[i] ?? 0, now);
    });
  }

  #count(generation: RunningGeneration, policy: AttentionPolicy, length: number): void {
    const { numLayers } = this.#parts.backend.shape;
    generation.attendedRows += attendedRows(policy, numLayers, length);
    generation.cachedRows += numLayers * length;
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
      const needed = this.#pages.pagesFor(prompt.length);
      const pages = this.#pages.allocate(needed);
      try {
        return await this.#denseLogits(prompt, pages);
      } finally {
        this.#pages.release(pages);
      }
    });
  }

  async #denseLogits(tokens: readonly number[], pages: readonly number[]): Promise<Float32Array> {
    const { backend } = this.#parts;
    const { vocabSize, maxBatchRows } = backend.shape;
    const out = new Float32Array(tokens.length * vocabSize);
    const policy = full();
    for (let first = 0; first < tokens.length; first += maxBatchRows) {
      const numRows = Math.min(maxBatchRows, tokens.length - first);
      this.#batch.fill([{ tokens, pages, firstPosition: first, numRows, isPrefill: true, policy }]);
      this.#decoder.forward(this.#batch, this.#batch.groups);
      for (let row = 0; row < numRows; row += this.#decoder.logitRows) {
        const count = Math.min(this.#decoder.logitRows, numRows - row);
        for (let i = 0; i < count; i++) this.#logitRows[i] = row + i;
        this.#decoder.computeLogits(this.#logitRows, count);
        const values = await backend.read(this.#decoder.logits);
        out.set(values.subarray(0, count * vocabSize), (first + row) * vocabSize);
      }
    }
    return out;
  }

  /** Aborts what runs, then frees everything. Calling it twice is allowed. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const generation of [...this.#running, ...this.#waiting])
      generation.fail(new AbortedError("the request was aborted: the engine was closed"));
    await this.#exclusively(async () => this.#sweep());
    await this.#parts.backend.close();
  }
}
