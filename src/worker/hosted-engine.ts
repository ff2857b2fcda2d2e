import type { AttentionObserver, LayerTrace, StepTrace } from "../attention/observer.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import type { LoadedEngine } from "../engine/engine-api.ts";
import type { Generation } from "../engine/request.ts";
import type { ScoreResult } from "../engine/score.ts";
import { encodeError } from "./error-transfer.ts";
import { HostedGeneration } from "./hosted-generation.ts";
import {
  buffersOf,
  type Call,
  type Channel,
  type FromEngine,
  type SentObserver,
  type SentRequest,
  type ToEngine,
} from "./protocol.ts";
import { countSent } from "./unread-events.ts";

/** Loads the policy that an attention spec names, if it is one that the engine does not know; else returns undefined. */
export type PolicyOf = (attention: string) => Promise<AttentionPolicy> | undefined;

export interface HostOptions {
  /** The counter of unread events (`unread-events.ts`). */
  readonly unread: Int32Array | undefined;
  readonly policyOf?: PolicyOf | undefined;
}

/** Milliseconds between two looks at the progress of generations and at the engine's counts, and while the engine does nothing. */
const LOOK_MS = 100;
const IDLE_LOOK_MS = 1000;

type Attention = AttentionPolicy | string | undefined;

/** Serves an engine to its proxy on another thread. */
export class HostedEngine {
  readonly #engine: LoadedEngine;
  readonly #channel: Channel<FromEngine, ToEngine>;
  readonly #options: HostOptions;
  readonly #generations = new Map<number, HostedGeneration>();
  readonly #calls = new Map<number, AbortController>();
  #timer: ReturnType<typeof setTimeout> | undefined;
  #lastStats = "";
  #hasToldFailure = false;
  #isClosed = false;

  constructor(engine: LoadedEngine, channel: Channel<FromEngine, ToEngine>, options: HostOptions) {
    this.#engine = engine;
    this.#channel = channel;
    this.#options = options;
  }

  handle(message: Exclude<ToEngine, { readonly type: "open" }>): void {
    const { id } = message;
    switch (message.type) {
      case "generate":
        this.#generate(id, message.request);
        break;
      case "read":
        this.#generations.get(id)?.read(message.count);
        break;
      case "result":
        void this.#generations.get(id)?.wantResult();
        break;
      case "call":
        void this.#answer(id, message.call);
        break;
      case "abort":
        this.#generations.get(id)?.abort();
        this.#calls.get(id)?.abort();
    }
  }

  #generate(id: number, sent: SentRequest): void {
    const controller = new AbortController();
    const generation = new HostedGeneration(id, this.#start(id, sent, controller.signal), controller, {
      send: (message) => (message.type === "part" ? this.#channel.send(message) : this.#sendEnd(message)),
      forget: () => this.#generations.delete(id),
    });
    this.#generations.set(id, generation);
    this.#lookSoon();
  }

  #lookSoon(): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(this.#look, 0);
  }

  /** Starts a request at once, in the order of the messages; one whose policy must be loaded, after that. */
  async #start(id: number, { observer, ...request }: SentRequest, signal: AbortSignal): Promise<Generation> {
    const policy = this.#policyOf(request.attention);
    const attention = policy ? await policy : request.attention;
    return this.#engine.generate({
      ...request,
      ...(attention !== undefined && { attention }),
      ...(observer && { observer: this.#observer(id, observer) }),
      signal,
    });
  }

  #policyOf(attention: Attention): Promise<AttentionPolicy> | undefined {
    return typeof attention === "string" ? this.#options.policyOf?.(attention) : undefined;
  }

  /** Sends what has changed of the engine and of its generations, and looks again: often while there is work. */
  readonly #look = (): void => {
    clearTimeout(this.#timer);
    const { running, waiting, pages } = this.#engine.stats();
    // a request returns its pages a turn after its end
    const isBusy = this.#generations.size + this.#calls.size + running + waiting + pages.held > 0;
    this.#timer = this.#isClosed ? undefined : setTimeout(this.#look, isBusy ? LOOK_MS : IDLE_LOOK_MS);
    const progress = [...this.#generations].flatMap(([id, generation]) => {
      const changed = generation.changedProgress();
      return changed ? [[id, changed] as const] : [];
    });
    if (progress.length > 0) this.#channel.send({ type: "progress", progress });
    this.#sendStats();
  };

  #sendStats(): void {
    const { failure } = this.#engine;
    if (failure && !this.#hasToldFailure) {
      this.#hasToldFailure = true;
      this.#channel.send({ type: "lost", error: encodeError(failure) });
    }
    const stats = this.#engine.stats();
    const text = JSON.stringify(stats);
    if (text === this.#lastStats) return;
    this.#lastStats = text;
    this.#channel.send({ type: "stats", stats });
  }

  /** Sends an end, behind the counts that it has changed. */
  #sendEnd(message: FromEngine, transfer?: readonly ArrayBuffer[]): void {
    this.#sendStats();
    this.#channel.send(message, transfer);
  }

  async #answer(id: number, call: Call): Promise<void> {
    const controller = new AbortController();
    this.#calls.set(id, controller);
    this.#lookSoon();
    try {
      await this.#call(id, call, controller.signal);
    } catch (error) {
      this.#sendEnd({ type: "threw", id, error: encodeError(error) });
    } finally {
      this.#calls.delete(id);
    }
  }

  async #call(id: number, call: Call, signal: AbortSignal): Promise<void> {
    switch (call.name) {
      case "logits": {
        const value = await this.#engine.logits(call.tokenIds);
        this.#sendEnd({ type: "returned", id, value }, buffersOf([value]));
        break;
      }
      case "score": {
        const value = await this.#score(id, call, signal);
        this.#sendEnd({ type: "returned", id, value }, buffersOf([value.logProbs]));
        break;
      }
      case "scoreEach": {
        const value = await this.#scoreEach(id, call, signal);
        this.#sendEnd({ type: "returned", id, value }, buffersOf(value.map((one) => one.logProbs)));
        break;
      }
      case "saveSession": {
        const request = await this.#withPolicy(call.request);
        const value = await this.#engine.saveSession({ ...request, signal });
        this.#sendEnd({ type: "returned", id, value }, buffersOf([value.bytes]));
        break;
      }
      case "loadSession": {
        const options = await this.#withPolicy(call.options);
        const value = await this.#engine.loadSession(call.bytes, { ...options, signal });
        this.#sendEnd({ type: "returned", id, value });
        break;
      }
      case "tokenizePrompt": {
        const value = await this.#engine.tokenizePrompt(call.prompt);
        this.#sendEnd({ type: "returned", id, value });
        break;
      }
      case "close":
        this.#isClosed = true;
        await this.#engine.close();
        clearTimeout(this.#timer);
        this.#channel.send({ type: "returned", id, value: undefined });
        this.#channel.close();
    }
  }

  /** With the policy of a module in place of its spec. */
  async #withPolicy<T extends { readonly attention?: AttentionPolicy | string }>(request: T): Promise<T> {
    const attention = await this.#policyOf(request.attention);
    return attention ? { ...request, attention } : request;
  }

  async #score(
    id: number,
    { request: { observer, ...request }, wantsLogits }: Extract<Call, { readonly name: "score" }>,
    signal: AbortSignal,
  ): Promise<ScoreResult> {
    const attention = (await this.#policyOf(request.attention)) ?? request.attention;
    return this.#engine.score({
      ...request,
      ...(attention !== undefined && { attention }),
      ...(observer && { observer: this.#observer(id, observer) }),
      ...(wantsLogits && { onLogits: (position, logits) => this.#sendLogits(id, 0, position, logits) }),
      signal,
    });
  }

  async #scoreEach(
    id: number,
    { request, wantsLogits }: Extract<Call, { readonly name: "scoreEach" }>,
    signal: AbortSignal,
  ): Promise<readonly ScoreResult[]> {
    const { attentions } = request;
    // whatever is no list is the engine's to refuse
    const loaded = Array.isArray(attentions)
      ? await Promise.all(attentions.map((one: Attention) => this.#policyOf(one) ?? one))
      : attentions;
    return this.#engine.scoreEach({
      ...request,
      attentions: loaded as readonly (AttentionPolicy | string)[],
      ...(wantsLogits && {
        onLogits: (index, position, logits) => this.#sendLogits(id, index, position, logits),
      }),
      signal,
    });
  }

  #sendLogits(...[id, index, position, reused]: readonly [number, number, number, Float32Array]): void {
    if (!this.#isWanted(id)) return;
    countSent(this.#options.unread);
    const logits = reused.slice();
    this.#channel.send({ type: "logits", id, index, position, logits }, buffersOf([logits]));
  }

  #observer(id: number, options: SentObserver): AttentionObserver {
    const onStep = (trace: StepTrace) => {
      if (!this.#isWanted(id)) return;
      countSent(this.#options.unread);
      this.#channel.send({ type: "step", id, trace }, buffersOf(trace.layers.flatMap(arraysOf)));
    };
    return { ...(options as unknown as AttentionObserver), onStep }; // the engine checks the options
  }

  /** False once the proxy has aborted it: the engine may be in the middle of a step. */
  #isWanted(id: number): boolean {
    return this.#generations.has(id) || this.#calls.get(id)?.signal.aborted === false;
  }
}

/** The arrays of a layer; layers that share a selection share its arrays. */
function arraysOf(layer: LayerTrace): readonly (ArrayBufferView | undefined)[] {
  return [
    ...[...(layer.selection ?? []), ...(layer.weights ?? [])],
    ...[layer.output, layer.denseOutput, layer.mergeHeads],
  ];
}
