import { Attention } from "../attention/attend.ts";
import { bindAttention, firstNamed } from "../attention/bind-attention.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { BackendError, type EngineError, RequestError } from "../base/errors.ts";
import { Mutex } from "../base/mutex.ts";
import { yieldToEventLoop } from "../base/yield.ts";
import { CacheSizer, type Idleness, poolOptions } from "../kv/cache-sizer.ts";
import { PagePool } from "../kv/page-pool.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import { Decoder } from "../model/decoder.ts";
import { ActiveRequest, type ResolvedRequest } from "./active-request.ts";
import { Admission } from "./admission.ts";
import { ConstraintLoader } from "./deferred-constraint.ts";
import type { EngineReport, LoadedEngine } from "./engine-api.ts";
import type { EngineComponents } from "./engine-components.ts";
import { closedError, fatal, unprepared } from "./engine-failures.ts";
import { reportEngine } from "./engine-report.ts";
import { type EngineStats, statsOf } from "./engine-stats.ts";
import { ForcedSteps } from "./forced-steps.ts";
import { KernelPreparation } from "./kernel-preparation.ts";
import { OutputStream } from "./output-stream.ts";
import { type PolicyLoader, policyLoader } from "./policy-loader.ts";
import { PrefillPacer } from "./prefill-pacer.ts";
import { PrefixReuse } from "./prefix-reuse.ts";
import type { Generation, GenerationRequest } from "./request.ts";
import { RequestPreparation } from "./request-preparation.ts";
import { keyOf, resolveRequest } from "./resolve-request.ts";
import { resolveLogits, resolveScore, resolveScoreEach } from "./resolve-score.ts";
import { isDecoding, schedule } from "./scheduler.ts";
import type { ScoreEachRequest, ScoreRequest, ScoreResult } from "./score.ts";
import { Scorer } from "./scorer.ts";
import { scorerHost } from "./scorer-host.ts";
import type { LoadedSession, SavedSession, SessionOptions, SessionRequest } from "./session.ts";
import { Sessions } from "./sessions.ts";
import { type RecordedStep, StepRunner } from "./step-runner.ts";
import { type PromptToTokenize, type TokenizedPrompt, tokenizePrompt } from "./tokenize-prompt.ts";

/** Maximum milliseconds of work between turns of the event loop for timers, signals and streams. */
const MAX_BUSY_MS = 8;
/** Maximum stall by a prefill chunk: of other requests on a device, of the event loop too on the caller's thread. */
const MAX_STALL_MS = { device: 50, callersThread: 250 };

/** Runs requests: admits and schedules them, records their steps, delivers their tokens. */
export class GenerationEngine implements LoadedEngine {
  readonly tokenizer: Tokenizer;
  readonly chatTemplates: readonly string[];
  readonly #components: EngineComponents;
  readonly #attention: Attention;
  readonly #steps: StepRunner;
  readonly #preparation: KernelPreparation;
  readonly #policies: PolicyLoader;
  readonly #admission: Admission;
  readonly #pool: PagePool;
  readonly #prefix: PrefixReuse;
  readonly #sizer: CacheSizer;
  readonly #pacer: PrefillPacer;
  readonly #scorer: Scorer;
  readonly #sessions: Sessions;
  /** The last step, if the next one is to be recorded before the host reads its tokens. */
  #inFlight: RecordedStep | undefined;
  #isPumping = false;
  /** True if new work arrived since the current turn started. */
  #isWanted = false;
  #isClosed = false;
  #closing: Promise<void> | undefined;
  /** The error that ended the engine. */
  #failure: EngineError | undefined;
  #numRequests = 0;
  /** Attention of requests that name none, as named and as bound. */
  readonly #defaultAttention: AttentionPolicy | string;
  readonly #defaultPolicy: AttentionPolicy;
  #loadMs: number;
  /** Requests that admission does not have yet. */
  readonly #preparing: RequestPreparation;
  /** Serialises the users of the backend: the pump, `logits`, dry runs and `#shrink`. */
  readonly #backendUse = new Mutex();
  readonly #turn = () => this.#step();
  #lastYield = 0;

  constructor(components: EngineComponents) {
    const { backend, maxStallMs } = components;
    const { model, capacity, runsAhead } = backend;
    this.#components = components;
    this.tokenizer = components.tokenizer;
    this.chatTemplates = components.chatTemplates ?? [];
    this.#attention = new Attention(components.backend, components.attentionModel);
    const decoder = new Decoder(components.backend, components.weights, this.#attention);
    this.#preparation = new KernelPreparation({ backend, decoder, attention: this.#attention }, (work) =>
      this.#backendUse.run(work),
    );
    const options = { ...poolOptions(model, capacity), ...components.pool };
    const pool = new PagePool(0, capacity.pageSize);
    const prefix = new PrefixReuse(pool);
    const { ropes } = components;
    this.#pool = pool;
    this.#prefix = prefix;
    this.#steps = new StepRunner({ backend, decoder, attention: this.#attention, ropes, prefix });
    this.#sizer = new CacheSizer(pool, components.backend, options);
    this.#policies = policyLoader(
      components,
      { attention: this.#attention, pool, sizer: this.#sizer },
      (work) => this.#backendUse.run(work),
    );
    this.#admission = new Admission(pool, this.#sizer, {
      maxRunning: capacity.maxBatchSequences,
      prefix,
      forget: (policy) => this.#attention.forget(policy),
    });
    const prefillRows = Math.min(backend.prefillRows, capacity.maxBatchRows);
    this.#pacer = new PrefillPacer(
      { runsAhead, prefillRows },
      maxStallMs ?? (runsAhead ? MAX_STALL_MS.device : MAX_STALL_MS.callersThread),
    );
    this.#preparing = new RequestPreparation({
      ...{ policies: this.#policies, kernels: this.#preparation, admission: this.#admission },
      ...{ constraints: new ConstraintLoader(components.tokenizer), pacer: this.#pacer, capacity },
    });
    const forced = new ForcedSteps(backend, decoder, this.#attention, components.ropes);
    const host = scorerHost({
      ...{
        admission: this.#admission,
        policies: this.#policies,
        preparation: this.#preparation,
        pacer: this.#pacer,
      },
      exclusively: (work) => this.#backendUse.run(work),
      checkRuns: () => {
        if (this.#isClosed) throw closedError();
        if (this.#failure) throw this.#failure;
      },
      fail: (error) => this.#fail(error),
      pump: () => void this.#pump(),
    });
    this.#scorer = new Scorer(forced, backend, host);
    const run = (request: ResolvedRequest) => this.#start(request).result();
    const bind = (attention: AttentionPolicy | string) => this.#bind(attention);
    this.#sessions = new Sessions({ components, pool, prefix, host, run, bind });
    // an impossible default fails the opening, not the first request
    this.#defaultAttention = firstNamed(components.attention, components.attentionDefaults);
    this.#defaultPolicy = this.#bind(this.#defaultAttention);
    this.#loadMs = performance.now() - components.origin.startedAt;
  }

  get failure(): Error | undefined {
    return this.#failure;
  }

  #bind(attention: AttentionPolicy | string): AttentionPolicy {
    const { attentionModel, attentionDefaults } = this.#components;
    return bindAttention(attention, attentionModel, attentionDefaults);
  }

  generate(request: GenerationRequest): Generation {
    this.#checkOpen("generate");
    return this.#start(resolveRequest(request, this.#components, (attention) => this.#bind(attention)));
  }

  #start(resolved: ResolvedRequest): ActiveRequest {
    const output = new OutputStream(this.tokenizer, resolved.start, resolved.stops, resolved.keepsMarkers);
    const name = `request ${++this.#numRequests}`;
    this.#admission.checkFits(name, resolved.prompt.length + resolved.maxTokens - 1);
    const generation: ActiveRequest = new ActiveRequest(name, resolved, output, {
      wake: (one) => this.#wake(one),
      whyWaiting: () => this.#preparing.why(generation) ?? this.#admission.whyWaiting(),
      numSteps: () => this.#steps.counts.total,
    });
    if (this.#failure) generation.fail(this.#failure);
    else this.#queue(generation);
    void this.#pump();
    return generation;
  }

  /**
   * Queues a request for admission after the weights of its policy are loaded and its kernels are compiled. If that fails, this
   * request fails alone.
   */
  #queue(request: ActiveRequest): void {
    const prepared = this.#preparing.prepare(request);
    if (!prepared) {
      this.#admission.queue(request);
      return;
    }
    void prepared
      .then(
        () => this.#failure,
        (error: unknown) => this.#failure ?? this.#whyUnprepared(request.name, error),
      )
      .then((failure) => {
        const reason = this.#isClosed ? closedError() : failure;
        if (reason) request.fail(reason);
        else this.#admission.queue(request);
        void this.#pump();
      });
  }

  /** The error of a request that could not be prepared. A backend that has failed, such as a device lost between requests, ends the engine. */
  async #whyUnprepared(name: string, error: unknown): Promise<EngineError> {
    if (error instanceof BackendError) {
      const { backend } = this.#components;
      try {
        await this.#backendUse.run(() => backend.allocate("nothing", () => {})); // throws if it has failed
      } catch (failure) {
        return this.#fail(failure);
      }
    }
    return unprepared(name, error);
  }

  /** Loads the weights of the engine's own policy and takes its memory. @throws ModelFileError, ConfigError, BackendError */
  async loadPolicy(): Promise<void> {
    await this.#policies.load(this.#defaultPolicy);
  }

  /** After `loadPolicy`, compiles the kernels of a request under the engine's own policy. @throws ModelFileError, ConfigError, BackendError */
  async prepare(): Promise<void> {
    await this.loadPolicy();
    const key = keyOf(this.#defaultAttention, this.#defaultPolicy);
    await this.#preparation.prepareDefault(this.#defaultPolicy, key);
    this.#loadMs = performance.now() - this.#components.origin.startedAt;
  }

  #checkOpen(doing: string): void {
    if (this.#isClosed) throw new RequestError(`${doing}: the engine is closed; open a new one`);
  }

  /** Checks that the engine neither closed nor failed. */
  #checkReady(doing: string): void {
    this.#checkOpen(doing);
    if (this.#failure) throw this.#failure;
  }

  /** Queues a suspended request again that is no longer paused, and starts the pump. */
  #wake(request: ActiveRequest): void {
    if (request.isSuspended && !request.isPaused && !request.isDone) {
      request.isSuspended = false;
      if (this.#isClosed || this.#failure) request.fail(this.#failure ?? closedError());
      else this.#queue(request);
    }
    void this.#pump();
  }

  /** Takes turns while there is work. One pump runs at a time. */
  async #pump(): Promise<void> {
    this.#isWanted = true;
    if (this.#isPumping) return;
    this.#isPumping = true;
    this.#sizer.busy();
    try {
      // lets the caller attach its consumer or abort first
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

  /** If nothing runs or waits, checks the pool and starts its idle delay. */
  #rest(): void {
    if (this.#isClosed || this.#failure || !this.#admission.isIdle) return;
    this.#admission.checkIntegrity();
    this.#sizer.idle((idleness) => void this.#shrink(idleness));
  }

  async #shrink(idleness: Idleness): Promise<void> {
    try {
      await this.#backendUse.run(async () => {
        if (this.#isClosed || this.#failure || !this.#admission.isIdle) return;
        if (idleness === "long") this.#prefix.clear();
        await this.#sizer.shrink();
      });
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Ends the engine after an error of no single request, which leaves the backend in an unknown state. */
  #fail(error: unknown): EngineError {
    this.#failure ??= fatal(error);
    this.#inFlight = undefined;
    this.#admission.failAll(this.#failure);
    return this.#failure;
  }

  /**
   * Takes one turn: admit, schedule, run, postprocess. Returns false if there is no work.
   * If the backend runs ahead, the turn reads the tokens of the previous step after it recorded the next one, so that the device
   * has work while the host reads, detokenises and records.
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
    let step: RecordedStep | undefined;
    try {
      if (runs.length > 0) step = this.#steps.run(runs);
    } finally {
      // even if recording failed, since the previous step's tokens are valid
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

  async #finish(step: RecordedStep): Promise<void> {
    await this.#steps.postprocess(step);
    this.#pacer.arrived(step);
  }

  async logits(tokenIds: ArrayLike<number>): Promise<Float32Array> {
    this.#checkReady("logits");
    const { tokens, out } = resolveLogits(tokenIds, this.#components);
    this.#admission.checkFits("logits", tokens.length);
    await this.#scorer.logits(tokens, out);
    return out;
  }

  async score(request: ScoreRequest): Promise<ScoreResult> {
    this.#checkReady("score");
    const call = resolveScore(request, this.#components, (attention) => this.#bind(attention));
    const [result] = await this.#scorer.score(call);
    return result as ScoreResult;
  }

  async scoreEach(request: ScoreEachRequest): Promise<readonly ScoreResult[]> {
    this.#checkReady("scoreEach");
    const call = resolveScoreEach(request, this.#components, (attention) => this.#bind(attention));
    return this.#scorer.score(call);
  }

  async saveSession(request: SessionRequest): Promise<SavedSession> {
    this.#checkReady("saveSession");
    return this.#sessions.save(request);
  }

  async loadSession(bytes: Uint8Array, options: SessionOptions = {}): Promise<LoadedSession> {
    this.#checkReady("loadSession");
    return this.#sessions.load(bytes, options);
  }

  async tokenizePrompt(prompt: PromptToTokenize): Promise<TokenizedPrompt> {
    this.#checkOpen("tokenizePrompt");
    return tokenizePrompt(prompt, this.#components);
  }

  stats(): EngineStats {
    const waiting = this.#admission.waiting.length + this.#preparing.size;
    const steps = this.#steps.counts;
    return statsOf({ admission: this.#admission, pool: this.#pool, prefix: this.#prefix, waiting, steps });
  }

  report(): EngineReport {
    const { origin, backend, attentionModel } = this.#components;
    const { defaultSelectionLayersOf: published } = attentionModel;
    return reportEngine(origin, backend, { policy: this.#defaultPolicy, published, loadMs: this.#loadMs });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    this.#isClosed = true;
    this.#sizer.busy();
    this.#admission.failAll(closedError());
    for (const request of this.#preparing) request.fail(closedError());
    await this.#backendUse.run(async () => {
      this.#inFlight = undefined;
    });
    await this.#components.backend.close();
  }
}
