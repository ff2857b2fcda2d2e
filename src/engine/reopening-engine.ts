import { abortable } from "../base/abort.ts";
import { RequestError } from "../base/errors.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import type { Engine, EngineReport, LoadedEngine } from "./engine-api.ts";
import { closedError } from "./engine-failures.ts";
import type { EngineStats } from "./engine-stats.ts";
import type { Generation, GenerationProgress, GenerationRequest, GenerationResult } from "./request.ts";
import { checkRequest } from "./request-schema.ts";
import type { ScoreEachRequest, ScoreRequest, ScoreResult } from "./score.ts";
import type { LoadedSession, SavedSession, SessionOptions, SessionRequest } from "./session.ts";
import type { PromptToTokenize, TokenizedPrompt } from "./tokenize-prompt.ts";

/** What belongs to one opening. */
interface OpeningOptions {
  readonly signal?: AbortSignal | undefined;
  readonly onDownload?: unknown;
}

const NO_PAGES = { free: 0, held: 0, cached: 0, total: 0 };

/**
 * An engine whose model can leave memory and comes back with the next request. While it is out, a request whose own values are impossible
 * throws from `generate`; what only the model can refuse fails the generation.
 */
export class ReopeningEngine implements Engine {
  readonly tokenizer: Tokenizer;
  readonly chatTemplates: readonly string[];
  readonly #open: () => Promise<LoadedEngine>;
  #loaded: LoadedEngine | undefined;
  #opening: Promise<LoadedEngine> | undefined;
  #leaving: Promise<void> | undefined;
  #report: EngineReport;
  #stats: EngineStats;
  /** Those that may still run; ended ones leave with the next look. */
  readonly #generations = new Set<Generation>();
  /** Other calls in progress. */
  #numCalls = 0;
  #isClosed = false;

  private constructor(loaded: LoadedEngine, open: () => Promise<LoadedEngine>) {
    this.#loaded = loaded;
    this.#open = open;
    this.#report = loaded.report();
    this.#stats = loaded.stats();
    this.tokenizer = loaded.tokenizer;
    this.chatTemplates = loaded.chatTemplates;
  }

  /** open: opens the model, and does it again after `unload`, without the signal and the receiver of progress of the first time */
  static async start<Options extends OpeningOptions>(
    options: Options,
    open: (options: Options) => Promise<LoadedEngine>,
  ): Promise<Engine> {
    const first = await open(options); // which checks them
    const { signal: _, onDownload: __, ...again } = options;
    return new ReopeningEngine(first, () => open(again as Options));
  }

  get failure(): Error | undefined {
    return this.#loaded?.failure;
  }

  generate(request: GenerationRequest): Generation {
    const generation = this.#loaded ? this.#loaded.generate(request) : this.#generateLater(request);
    this.#forgetEnded();
    this.#generations.add(generation);
    return generation;
  }

  #generateLater(request: GenerationRequest): Generation {
    if (this.#isClosed) throw new RequestError("generate: the engine is closed; open a new one");
    checkRequest(request);
    const started = this.#load().then((engine) => engine.generate(request));
    return new WaitingGeneration(abortable(started, request.signal, "the request"));
  }

  logits(tokenIds: ArrayLike<number>): Promise<Float32Array> {
    return this.#call((engine) => engine.logits(tokenIds));
  }

  score(request: ScoreRequest): Promise<ScoreResult> {
    return this.#call((engine) => engine.score(request));
  }

  scoreEach(request: ScoreEachRequest): Promise<readonly ScoreResult[]> {
    return this.#call((engine) => engine.scoreEach(request));
  }

  saveSession(request: SessionRequest): Promise<SavedSession> {
    return this.#call((engine) => engine.saveSession(request));
  }

  loadSession(bytes: Uint8Array, options?: SessionOptions): Promise<LoadedSession> {
    return this.#call((engine) => engine.loadSession(bytes, options));
  }

  tokenizePrompt(prompt: PromptToTokenize): Promise<TokenizedPrompt> {
    return this.#call((engine) => engine.tokenizePrompt(prompt));
  }

  async #call<T>(work: (engine: LoadedEngine) => Promise<T>): Promise<T> {
    this.#numCalls++;
    try {
      return await work(await this.#load());
    } finally {
      this.#numCalls--;
    }
  }

  #forgetEnded(): void {
    for (const generation of this.#generations)
      if (generation.progress.phase === "done") this.#generations.delete(generation);
  }

  /** Requests that run or wait. An engine behind a worker counts them a moment late; here none is missed. */
  get #numRequests(): number {
    this.#forgetEnded();
    return this.#generations.size + this.#numCalls;
  }

  report(): EngineReport {
    this.#report = this.#loaded?.report() ?? this.#report;
    return this.#report;
  }

  stats(): EngineStats {
    if (this.#loaded) return this.#loaded.stats();
    return { ...this.#stats, running: 0, waiting: this.#numRequests, waitingPreempted: 0, pages: NO_PAGES };
  }

  async unload(): Promise<void> {
    if (this.#isClosed) throw new RequestError("unload: the engine is closed");
    const engine = this.#loaded;
    if (!engine) return this.#leaving;
    const numRequests = this.#numRequests;
    if (numRequests > 0 && engine.failure === undefined)
      throw new RequestError(`unload: ${numRequests} requests run or wait; await or abort them first`);
    this.#report = engine.report();
    this.#stats = engine.stats();
    this.#loaded = undefined;
    this.#leaving = engine.close();
    await this.#leaving;
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    await this.#leaving?.catch(() => {});
    const engine = this.#loaded ?? (await this.#opening?.catch(() => undefined));
    await engine?.close();
  }

  /** The engine, loaded if it must be: once for all that wait. A failure is theirs; the next request tries again. */
  async #load(): Promise<LoadedEngine> {
    if (this.#loaded) return this.#loaded;
    if (this.#isClosed) throw closedError();
    this.#opening ??= this.#reopen();
    return this.#opening;
  }

  async #reopen(): Promise<LoadedEngine> {
    try {
      await this.#leaving?.catch(() => {}); // two copies may not fit; whoever unloaded got the error
      const engine = await this.#open();
      if (this.#isClosed) {
        await engine.close();
        throw closedError();
      }
      this.#loaded = engine;
      return engine;
    } finally {
      this.#opening = undefined;
    }
  }
}

/** A generation that starts when the model is there. */
class WaitingGeneration implements Generation {
  readonly #started: Promise<Generation>;
  #generation: Generation | undefined;
  #hasFailed = false;

  constructor(started: Promise<Generation>) {
    this.#started = started;
    started.then(
      (generation) => {
        this.#generation = generation;
      },
      () => {
        this.#hasFailed = true; // whoever reads it gets the error
      },
    );
  }

  get progress(): GenerationProgress {
    if (this.#generation) return this.#generation.progress;
    const counts = { promptTokens: 0, cachedTokens: 0, generatedTokens: 0 };
    if (this.#hasFailed) return { phase: "done", ...counts };
    return { phase: "waiting", ...counts, waitsFor: "the model to be loaded again" };
  }

  async result(): Promise<GenerationResult> {
    return (await this.#started).result();
  }

  async *[Symbol.asyncIterator]() {
    yield* await this.#started;
  }
}
