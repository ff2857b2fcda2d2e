/** The caller's side: an engine whose work another thread does. */
import type { StepTrace } from "../attention/observer.ts";
import { AbortedError, BackendError, type EngineError, RequestError } from "../base/errors.ts";
import type { EngineReport, LoadedEngine } from "../engine/engine-api.ts";
import { closedError, observerFailed, onLogitsFailed } from "../engine/engine-failures.ts";
import type { EngineStats } from "../engine/engine-stats.ts";
import type { Generation, GenerationRequest } from "../engine/request.ts";
import {
  checkRequest,
  checkSessionBytes,
  checkSessionOptions,
  checkSessionRequest,
} from "../engine/request-schema.ts";
import type { ScoreEachRequest, ScoreRequest, ScoreResult } from "../engine/score.ts";
import type { LoadedSession, SavedSession, SessionOptions, SessionRequest } from "../engine/session.ts";
import type { PromptToTokenize, TokenizedPrompt } from "../engine/tokenize-prompt.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import { decodeError } from "./error-transfer.ts";
import type {
  Call,
  CallName,
  Calls,
  Channel,
  FromEngine,
  OpenedEngine,
  SentRequest,
  SentScore,
  SentScoreEach,
  SentSession,
  ToEngine,
} from "./protocol.ts";
import { RemoteGeneration } from "./remote-generation.ts";
import {
  refuseConstraint,
  refusePolicy,
  sendableTokens,
  sending,
  splitObserver,
  splitScore,
} from "./sendable.ts";
import { lazyTokenizer } from "./tokenizer-transfer.ts";
import { countHandled } from "./unread-events.ts";

/** The thread of an engine, as its place starts it. */
export interface EngineThread {
  readonly channel: Channel<ToEngine, FromEngine>;
  /** Says whether somebody waits for the thread. Where that matters, only then does it keep the process alive. */
  keepAlive?(isNeeded: boolean): void;
  terminate(): unknown;
}

/** Longest wait for the engine to close before its thread is ended without. */
const CLOSE_MS = 10_000;

/** A call that returns once. */
interface PendingCall {
  readonly doing: string;
  readonly onLogits?: ((...args: readonly unknown[]) => void) | undefined;
  /** True if `onLogits` gets the index of the policy first. */
  readonly takesIndex: boolean;
  readonly onStep?: ((trace: StepTrace) => void) | undefined;
  resolve(value: Calls[CallName]["back"]): void;
  reject(error: Error): void;
}

type Receivers = Partial<Pick<PendingCall, "onLogits" | "onStep">> & { readonly signal?: AbortSignal };

/**
 * An engine in a worker. It does what the engine does, with these departures: an impossible request throws from `generate` if its own
 * values tell, and fails its generation if only the model does (tokens, context, template, settings of a policy); policies and
 * constraints that are values cannot be sent; `progress` and `stats` are at most a tenth of a second old while there is work, and `stats`
 * a second while there is none.
 */
export class RemoteEngine implements LoadedEngine {
  readonly tokenizer: Tokenizer;
  readonly chatTemplates: readonly string[];
  readonly #report: EngineReport;
  #stats: EngineStats;
  readonly #thread: EngineThread;
  readonly #unread: Int32Array | undefined;
  readonly #generations = new Map<number, RemoteGeneration>();
  readonly #calls = new Map<number, PendingCall>();
  #lastId = 0;
  #numWaiting = 0;
  /** The end of the engine in a thread that still runs. */
  #loss: Error | undefined;
  /** The end of the thread. */
  #failure: EngineError | undefined;
  #isClosed = false;
  #closing: Promise<void> | undefined;

  constructor(
    thread: EngineThread,
    { report, stats, chatTemplates, tokenizer }: OpenedEngine,
    unread: Int32Array | undefined,
  ) {
    this.#thread = thread;
    this.#report = report;
    this.#stats = stats;
    this.#unread = unread;
    this.chatTemplates = chatTemplates;
    this.tokenizer = lazyTokenizer(tokenizer);
  }

  get failure(): Error | undefined {
    return this.#isClosed ? undefined : (this.#failure ?? this.#loss);
  }

  /** Handles a message of the worker. */
  handle(message: FromEngine): void {
    switch (message.type) {
      case "part":
        this.#generations.get(message.id)?.receivePart(message.part, message.progress);
        break;
      case "progress":
        for (const [id, progress] of message.progress) this.#generations.get(id)?.receiveProgress(progress);
        break;
      case "stats":
        this.#stats = message.stats;
        break;
      case "lost":
        this.#loss ??= decodeError(message.error);
        break;
      case "finished":
        this.#generations.get(message.id)?.finish(message.result, message.progress);
        break;
      case "failed":
        this.#generations.get(message.id)?.fail(decodeError(message.error), message.progress);
        break;
      case "step":
      case "logits":
        this.#handleEvent(message);
        break;
      case "returned":
        this.#calls.get(message.id)?.resolve(message.value);
        break;
      case "threw":
        this.#calls.get(message.id)?.reject(decodeError(message.error));
    }
  }

  /** Gives an event of a step to its receiver, and tells the worker that it is handled. */
  #handleEvent(message: Extract<FromEngine, { readonly type: "step" | "logits" }>): void {
    try {
      const call = this.#calls.get(message.id);
      if (call) receive(call, message);
      else if (message.type === "step") this.#generations.get(message.id)?.receiveStep(message.trace);
    } finally {
      countHandled(this.#unread);
    }
  }

  /** Ends the engine, after its thread has ended by itself. */
  fail(why: string, cause?: unknown): void {
    if (this.#failure) return;
    const error = new BackendError(`the engine's worker ended: ${why}; open a new engine`, { cause });
    this.#failure = error;
    this.#endAll(error);
    this.#thread.channel.close();
    void Promise.resolve(this.#thread.terminate()).catch(() => {}); // it may still run, deaf
  }

  #endAll(error: Error): void {
    for (const generation of [...this.#generations.values()]) generation.fail(error);
    for (const call of [...this.#calls.values()]) call.reject(error);
  }

  #checkOpen(doing: string): void {
    if (this.#isClosed) throw new RequestError(`${doing}: the engine is closed; open a new one`);
  }

  generate(given: GenerationRequest): Generation {
    this.#checkOpen("generate");
    checkRequest(given);
    const { signal, observer, ...request } = given;
    refusePolicy("generate", request.attention);
    refuseConstraint(request.constraint);
    const { onStep, ...observing } = splitObserver(observer, "generate");
    const id = ++this.#lastId;
    const generation = new RemoteGeneration(
      { id, signal, onStep },
      {
        send: (message) => this.#send(message),
        wait: (work) => this.#wait(work),
        forget: () => this.#generations.delete(id),
      },
    );
    if (this.#failure) generation.fail(this.#failure);
    else if (signal?.aborted)
      generation.fail(abortedBySignal("the request was aborted by its signal", signal));
    else {
      try {
        const tokens = this.#tokens(request.tokenIds);
        const sent: SentRequest = { ...request, ...tokens?.part, ...observing };
        sending("generate", () => this.#send({ type: "generate", id, request: sent }, tokens?.transfer));
      } catch (error) {
        generation.fail(error as Error); // it lets go of the signal
        throw error;
      }
      this.#generations.set(id, generation);
    }
    return generation;
  }

  #tokens(given: unknown) {
    if (given === undefined) return undefined;
    const { tokenIds, transfer } = sendableTokens(given, this.#report.model.contextLength);
    return { part: { tokenIds }, transfer };
  }

  #send(message: ToEngine, transfer?: readonly ArrayBuffer[]): void {
    if (!this.#failure) this.#thread.channel.send(message, transfer);
  }

  /** Keeps the process alive while somebody waits. */
  async #wait<T>(work: Promise<T>): Promise<T> {
    if (this.#numWaiting++ === 0) this.#thread.keepAlive?.(true);
    try {
      return await work;
    } finally {
      if (--this.#numWaiting === 0) this.#thread.keepAlive?.(false);
    }
  }

  async logits(given: ArrayLike<number>): Promise<Float32Array> {
    this.#checkOpen("logits");
    const { tokenIds, transfer } = sendableTokens(given, this.#report.model.contextLength);
    return this.#call({ name: "logits", tokenIds }, transfer, {});
  }

  async score(request: ScoreRequest): Promise<ScoreResult> {
    this.#checkOpen("score");
    const { rest, ...receivers } = splitScore(request, "score");
    const tokens = this.#tokens(rest.tokenIds);
    const sent = { ...rest, ...tokens?.part } as unknown as SentScore;
    const wantsLogits = receivers.onLogits !== undefined;
    return this.#call({ name: "score", request: sent, wantsLogits }, tokens?.transfer, receivers);
  }

  async scoreEach(request: ScoreEachRequest): Promise<readonly ScoreResult[]> {
    this.#checkOpen("scoreEach");
    const { rest, ...receivers } = splitScore(request, "scoreEach");
    const tokens = this.#tokens(rest.tokenIds);
    const sent = { ...rest, ...tokens?.part } as unknown as SentScoreEach;
    const wantsLogits = receivers.onLogits !== undefined;
    return this.#call({ name: "scoreEach", request: sent, wantsLogits }, tokens?.transfer, receivers);
  }

  async saveSession(given: SessionRequest): Promise<SavedSession> {
    this.#checkOpen("saveSession");
    checkSessionRequest(given);
    const { signal, ...request } = given;
    refusePolicy("saveSession", request.attention);
    const tokens = this.#tokens(request.tokenIds);
    const sent: SentSession = { ...request, ...tokens?.part };
    return this.#call({ name: "saveSession", request: sent }, tokens?.transfer, signal ? { signal } : {});
  }

  /** Sends a copy of the bytes, which stay the caller's. */
  async loadSession(given: Uint8Array, options: SessionOptions = {}): Promise<LoadedSession> {
    this.#checkOpen("loadSession");
    checkSessionOptions(options);
    const { signal, ...rest } = options;
    refusePolicy("loadSession", rest.attention);
    const bytes = new Uint8Array(checkSessionBytes(given));
    return this.#call(
      { name: "loadSession", bytes, options: rest },
      [bytes.buffer],
      signal ? { signal } : {},
    );
  }

  async tokenizePrompt(prompt: PromptToTokenize): Promise<TokenizedPrompt> {
    this.#checkOpen("tokenizePrompt");
    return this.#call({ name: "tokenizePrompt", prompt }, undefined, {});
  }

  /** Makes a call. @throws what the engine throws; AbortedError at once by the signal */
  #call<Name extends CallName>(
    call: Extract<Call, { readonly name: Name }>,
    transfer: readonly ArrayBuffer[] | undefined,
    { signal, ...receivers }: Receivers,
  ): Promise<Calls[Name]["back"]> {
    const { name } = call;
    if (this.#failure) throw this.#failure;
    if (signal?.aborted) throw abortedBySignal(`${name} was aborted`, signal);
    const id = ++this.#lastId;
    return this.#wait(
      new Promise<Calls[Name]["back"]>((resolve, reject) => {
        const end = () => {
          this.#calls.delete(id);
          signal?.removeEventListener("abort", abort);
        };
        const fail = (error: Error) => {
          end();
          reject(error);
        };
        const abort = () => {
          fail(abortedBySignal(`${name} was aborted`, signal));
          this.#send({ type: "abort", id });
        };
        sending(name, () => this.#send({ type: "call", id, call }, transfer));
        signal?.addEventListener("abort", abort);
        this.#calls.set(id, {
          doing: name,
          ...receivers,
          takesIndex: name === "scoreEach",
          resolve: (value) => {
            end();
            resolve(value);
          },
          reject: (error) => {
            if (!this.#calls.has(id)) return;
            fail(error);
            this.#send({ type: "abort", id });
          },
        });
      }),
    );
  }

  report(): EngineReport {
    return this.#report;
  }

  /** At most a tenth of a second old while requests run, wait or hold pages, else a second. */
  stats(): EngineStats {
    return this.#stats;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  /** Lets the engine end its own threads and free its memory, then ends its thread. */
  async #close(): Promise<void> {
    const { failure } = this;
    this.#isClosed = true;
    this.#endAll(failure ?? closedError());
    if (!this.#failure) {
      let timer: ReturnType<typeof setTimeout> | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_MS);
      });
      // an engine that has failed meanwhile is closed as well
      await Promise.race([this.#call({ name: "close" }, undefined, {}).catch(() => {}), late]);
      clearTimeout(timer);
      this.#failure ??= closedError();
      this.#endAll(this.#failure);
      this.#thread.channel.close();
    }
    await this.#thread.terminate();
  }
}

function abortedBySignal(message: string, signal: AbortSignal | undefined): AbortedError {
  return new AbortedError(message, { cause: signal?.reason });
}

/** Gives an event to the receiver of a call. A receiver that throws fails its call. */
function receive(call: PendingCall, event: Extract<FromEngine, { readonly type: "step" | "logits" }>): void {
  if (event.type === "step") {
    try {
      call.onStep?.(event.trace);
    } catch (cause) {
      call.reject(observerFailed(call.doing, cause));
    }
    return;
  }
  const { index, position, logits } = event;
  try {
    if (call.takesIndex) call.onLogits?.(index, position, logits);
    else call.onLogits?.(position, logits);
  } catch (cause) {
    call.reject(onLogitsFailed(call.doing, position, cause));
  }
}
