import { Attention } from "../attention/attend.ts";
import { bindAttention, firstNamed } from "../attention/bind-attention.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { AbortedError, BackendError, type EngineError, RequestError } from "../base/errors.ts";
import { mebibytes } from "../base/mebibytes.ts";
import { Mutex } from "../base/mutex.ts";
import { printValue } from "../base/print-value.ts";
import { yieldToEventLoop } from "../base/yield.ts";
import { CacheSizer, poolOptions } from "../kv/cache-sizer.ts";
import { PagePool } from "../kv/page-pool.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import { Decoder } from "../model/decoder.ts";
import { Admission } from "./admission.ts";
import type { Engine, EngineReport } from "./engine-api.ts";
import type { EngineComponents } from "./engine-components.ts";
import { reportEngine } from "./engine-report.ts";
import { ActiveRequest } from "./active-request.ts";
import { KernelPreparation } from "./kernel-preparation.ts";
import { OutputStream } from "./output-stream.ts";
import { PrefillPacer } from "./prefill-pacer.ts";
import type { Generation, GenerationRequest } from "./request.ts";
import { isTokenList } from "./request-schema.ts";
import { checkTokens, keyOf, resolveRequest } from "./resolve-request.ts";
import { chunkOf, isDecoding, schedule } from "./scheduler.ts";
import { type Step, StepRunner } from "./step-runner.ts";

/** Most milliseconds the engine computes on end before timers, signals and streams get a turn. */
const MAX_BUSY_MS = 8;
/** How long prefill may hold up what else runs: other requests on a device, the event loop too on the caller's thread. */
const MAX_STALL_MS = { device: 50, callersThread: 250 };

/** Decides which tokens run now: fills batches, draws tokens, ends requests. */
export class GenerationEngine implements Engine {
  readonly tokenizer: Tokenizer;
  readonly #components: EngineComponents;
  readonly #attention: Attention;
  readonly #steps: StepRunner;
  readonly #preparation: KernelPreparation;
  readonly #admission: Admission;
  readonly #sizer: CacheSizer;
  readonly #pacer: PrefillPacer;
  /** The last step, where its tokens have not been read: the next one is recorded first. */
  #inFlight: Step | undefined;
  #isPumping = false;
  /** New work arrived since the current turn started. */
  #isWanted = false;
  #isClosed = false;
  #closing: Promise<void> | undefined;
  /** Why nothing runs any more. */
  #failure: EngineError | undefined;
  #numRequests = 0;
  /** Of requests that name no attention: as it is named, and bound. */
  readonly #defaultAttention: AttentionPolicy | string;
  readonly #defaultPolicy: AttentionPolicy;
  #loadMs: number;
  /** Requests whose kernels are being compiled: admission does not know them yet. */
  readonly #preparing = new Set<ActiveRequest>();
  /** Serialises users of the backend: the pump and `logits`. */
  readonly #backendUse = new Mutex();
  readonly #turn = () => this.#step();
  #lastYield = 0;

  constructor(components: EngineComponents) {
    const { backend, maxStallMs } = components;
    const { model, capacity, runsAhead } = backend;
    this.#components = components;
    this.tokenizer = components.tokenizer;
    this.#attention = new Attention(components.backend, components.attentionModel);
    const decoder = new Decoder(components.backend, components.weights, this.#attention);
    this.#steps = new StepRunner(components.backend, decoder, this.#attention, components.rope);
    this.#preparation = new KernelPreparation({ backend, decoder, attention: this.#attention }, (work) =>
      this.#backendUse.run(work),
    );
    const options = { ...poolOptions(model, capacity), ...components.pool };
    const pool = new PagePool(0, capacity.pageSize);
    this.#sizer = new CacheSizer(pool, components.backend, options);
    this.#admission = new Admission(pool, this.#sizer, {
      maxRunning: capacity.maxBatchSequences,
      forget: (policy) => this.#attention.forget(policy),
    });
    const prefillRows = Math.min(backend.prefillRows, capacity.maxBatchRows);
    this.#pacer = new PrefillPacer(
      { runsAhead, prefillRows },
      maxStallMs ?? (runsAhead ? MAX_STALL_MS.device : MAX_STALL_MS.callersThread),
    );
    // An impossible default is an error now, not at the first request.
    this.#defaultAttention = firstNamed(components.attention, components.attentionDefaults);
    this.#defaultPolicy = this.#bind(this.#defaultAttention);
    this.#loadMs = performance.now() - components.origin.startedAt;
  }

  #bind(attention: AttentionPolicy | string): AttentionPolicy {
    const { attentionModel, attentionDefaults } = this.#components;
    return bindAttention(attention, attentionModel, attentionDefaults);
  }

  generate(request: GenerationRequest): Generation {
    this.#checkOpen("generate");
    const resolved = resolveRequest(request, this.#components, (attention) => this.#bind(attention));
    const output = new OutputStream(this.tokenizer, resolved.start, resolved.stops);
    const name = `request ${++this.#numRequests}`;
    this.#admission.checkFits(name, resolved.prompt.length + resolved.maxTokens - 1);
    const generation = new ActiveRequest(name, resolved, output, {
      wake: (one) => this.#wake(one),
      whyWaiting: () => this.#admission.whyWaiting(),
    });
    if (this.#failure) generation.fail(this.#failure);
    else this.#queue(generation);
    void this.#pump();
    return generation;
  }

  /** Queues a request for admission, once the kernels that it adds are compiled. A kernel that does not compile fails it alone. */
  #queue(generation: ActiveRequest): void {
    const prepared = this.#prepare(generation);
    if (!prepared) {
      this.#admission.queue(generation);
      return;
    }
    this.#preparing.add(generation);
    void prepared
      .then(
        () => this.#failure,
        (error: unknown) => this.#failure ?? fatal(error),
      )
      .then((failure) => {
        this.#preparing.delete(generation);
        const reason = this.#isClosed ? closedError() : failure;
        if (reason) generation.fail(reason);
        else this.#admission.queue(generation);
        void this.#pump();
      });
  }

  /** Compiles ahead what a request adds to those that are under way; undefined if it adds nothing. */
  #prepare(generation: ActiveRequest): Promise<void> | undefined {
    const { resolved, promptTokens, longestCache } = generation;
    if (generation.isDone) return undefined; // aborted before it began
    const { maxBatchSequences } = this.#components.backend.capacity;
    const numOthers = this.#admission.numRequests + this.#preparing.size;
    const batchSize = Math.min(1 + numOthers, maxBatchSequences);
    return this.#preparation.prepareFor(
      { ...resolved, promptTokens, longestCache, batchSize, chunkRows: this.#pacer.rows(false) },
      (policy) => this.#admission.running.some(({ resolved: { policy: own } }) => own === policy),
    );
  }

  /** Compiles ahead what a request under the engine's own policy needs. @throws BackendError */
  async prepare(): Promise<void> {
    const key = keyOf(this.#defaultAttention, this.#defaultPolicy);
    await this.#preparation.prepareDefault(this.#defaultPolicy, key);
    this.#loadMs = performance.now() - this.#components.origin.startedAt;
  }

  #checkOpen(doing: string): void {
    if (this.#isClosed) throw new RequestError(`${doing}: the engine is closed; open a new one`);
  }

  /** A generation was read on, asked for its result, or ended. */
  #wake(generation: ActiveRequest): void {
    if (generation.isSuspended && !generation.isPaused && !generation.isDone) {
      generation.isSuspended = false;
      if (this.#isClosed || this.#failure) generation.fail(this.#failure ?? closedError());
      else this.#queue(generation);
    }
    void this.#pump();
  }

  /** Takes turns while there is something to do. One at a time. */
  async #pump(): Promise<void> {
    this.#isWanted = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#sizer.busy();
    try {
      // a turn of the event loop first: the caller may still attach its consumer or abort
      await Promise.resolve();
      while (this.#isWanted && !this.#isClosed && !this.#failure) {
        this.#isWanted = false;
        if (await this.#backendUse.run(this.#turn)) this.#isWanted = true;
        if (performance.now() - this.#lastYield < MAX_BUSY_MS) continue;
        await yieldToEventLoop();
        this.#lastYield = performance.now();
      }
      this.#rest();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#isPumping = false;
    }
  }

  /** Where nothing runs or waits: checks the pool, and gives it back after a while. */
  #rest(): void {
    if (this.#isClosed || this.#failure || !this.#admission.isIdle) return;
    this.#admission.checkIntegrity();
    this.#sizer.idle(() => void this.#shrink());
  }

  async #shrink(): Promise<void> {
    try {
      await this.#backendUse.run(async () => {
        if (!this.#isClosed && !this.#failure && this.#admission.isIdle) await this.#sizer.shrink();
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** An error of no single request: nothing is known of the backend's state after it. */
  #fail(error: unknown): EngineError {
    this.#failure ??= fatal(error);
    this.#inFlight = undefined;
    this.#admission.failAll(this.#failure);
    return this.#failure;
  }

  /**
   * One turn: admit, schedule, run, postprocess. False when nothing is left to do.
   * Where the backend runs ahead, the tokens of a step are read when the next one is recorded, at most one step later, so
   * that the device has work while the host reads, detokenises and records.
   */
  async #step(): Promise<boolean> {
    this.#admission.admit();
    while (this.#admission.missingPages > 0) await this.#growPool();
    const { maxBatchRows: maxRows, maxBatchSequences: maxSequences } = this.#components.backend.capacity;
    const { running } = this.#admission;
    const maxPrefillRows = this.#pacer.rows(running.some(isDecoding));
    const runs = schedule(running, { maxRows, maxSequences, maxPrefillRows });
    const before = this.#inFlight;
    this.#inFlight = undefined;
    let step: Step | undefined;
    try {
      if (runs.length > 0) step = this.#steps.run(runs);
    } finally {
      // Also when recording failed: the previous step's tokens are still valid.
      if (before) await this.#finish(before);
    }
    if (step?.canStayInFlight) this.#inFlight = step;
    else if (step) await this.#finish(step);
    return runs.length > 0 || before !== undefined || this.#admission.relieve();
  }

  async #growPool(): Promise<void> {
    await this.#sizer.grow(this.#admission.missingPages);
    this.#admission.admit();
  }

  async #finish(step: Step): Promise<void> {
    await this.#steps.postprocess(step);
    this.#pacer.arrived(step);
  }

  async logits(tokenIds: ArrayLike<number>): Promise<Float32Array> {
    this.#checkOpen("logits");
    if (this.#failure) throw this.#failure;
    const { vocabSize } = this.#components.backend.model;
    const { maxSequenceLength } = this.#components.backend.capacity;
    if (!isTokenList(tokenIds))
      throw new RequestError(`logits: expected a list of token ids, got ${printValue(tokenIds)}`);
    const tokens = checkTokens(tokenIds, this.#components, maxSequenceLength);
    const out = allocateLogits(tokens.length, vocabSize);
    this.#admission.checkFits("logits", tokens.length);
    const reserved = this.#admission.reserve(tokens.length);
    void this.#pump();
    const { pages } = await reserved.cache;
    try {
      for (let first = 0; first < tokens.length; ) {
        if (this.#isClosed) throw closedError();
        if (this.#failure) throw this.#failure;
        const start = first;
        first += await this.#backendUse.run(() => this.#denseLogits({ tokens, pages }, start, out));
        if (first < tokens.length) await yieldToEventLoop();
      }
      return out;
    } finally {
      reserved.release();
      void this.#pump();
    }
  }

  /** Logits of the chunk from position `first` on; resolves with its rows. */
  async #denseLogits(
    sequence: { readonly tokens: readonly number[]; readonly pages: readonly number[] },
    first: number,
    out: Float32Array,
  ): Promise<number> {
    const isBeside = this.#admission.running.some(isDecoding);
    const numRows = chunkOf(sequence.tokens.length - first, this.#pacer.rows(isBeside));
    const recordedAt = performance.now();
    try {
      await this.#steps.denseLogits(sequence, { first, numRows }, out);
    } catch (error) {
      throw this.#fail(error);
    }
    const prefill = isBeside ? "beside" : "alone";
    this.#pacer.arrived({ numRows, prefill, recordedAt, arrivedAt: performance.now() });
    return numRows;
  }

  report(): EngineReport {
    const { origin, backend } = this.#components;
    return reportEngine(origin, backend, { policy: this.#defaultPolicy, loadMs: this.#loadMs });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#sizer.busy();
    this.#admission.failAll(closedError());
    for (const generation of this.#preparing) generation.fail(closedError());
    await this.#backendUse.run(async () => {
      this.#inFlight = undefined;
    });
    await this.#components.backend.close();
  }
}

/** @throws RequestError where there is no memory for so many. */
function allocateLogits(numTokens: number, vocabSize: number): Float32Array {
  try {
    return new Float32Array(numTokens * vocabSize);
  } catch (cause) {
    throw new RequestError(
      `logits: ${numTokens} tokens of a vocabulary of ${vocabSize} take ${mebibytes(4 * numTokens * vocabSize)}, for ` +
        "which there is no memory; ask for fewer tokens at a time",
      { cause },
    );
  }
}

function fatal(error: unknown): EngineError {
  if (error instanceof BackendError) return error;
  const message = error instanceof Error ? error.message : String(error);
  return new BackendError(`a step failed: ${message}; close the engine and open a new one`, { cause: error });
}

function closedError(): AbortedError {
  return new AbortedError("the request was aborted: the engine was closed");
}
