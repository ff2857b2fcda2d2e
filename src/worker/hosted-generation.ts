import type { Generation, GenerationPart, GenerationProgress } from "../engine/request.ts";
import { encodeError } from "./error-transfer.ts";
import type { FromEngine } from "./protocol.ts";

/** What a generation needs of its engine's host. */
export interface GenerationPlace {
  send(message: FromEngine): void;
  /** Called once, when nothing more will be sent. */
  forget(id: number): void;
}

/**
 * A generation in the worker. It sends parts as far as the proxy has room, so that the engine pauses a request whose consumer is too
 * far behind. Once the generation has ended it sends the rest, at most a full queue, so that nothing is kept for a proxy that never asks.
 */
export class HostedGeneration {
  readonly #id: number;
  readonly #started: Promise<Generation>;
  readonly #place: GenerationPlace;
  readonly #controller: AbortController;
  #generation: Generation | undefined;
  #iterator: AsyncIterator<GenerationPart> | undefined;
  #room = 0;
  #isSending = false;
  #isForgotten = false;
  #lastSent: GenerationProgress | undefined;

  /** started: rejects if the engine refuses the request; `controller` aborts it */
  constructor(id: number, started: Promise<Generation>, controller: AbortController, place: GenerationPlace) {
    this.#id = id;
    this.#started = started;
    this.#controller = controller;
    this.#place = place;
    started.then(
      (generation) => {
        this.#generation = generation;
      },
      () => this.#sendRest(), // which finds the error
    );
  }

  /** The consumer has room for more parts. */
  read(count: number): void {
    this.#room += count;
    void this.#send();
  }

  /** Somebody waits for the result, so that the generation goes on however many parts are unread. */
  async wantResult(): Promise<void> {
    // its error comes again from the iterator
    await this.#started.then((generation) => generation.result()).catch(() => {});
    this.#sendRest();
  }

  /** Nobody waits for it any more. */
  abort(): void {
    this.#forget();
    this.#controller.abort();
  }

  /** Returns the progress if it has changed since the last call; sends the rest of a generation that has ended by itself. */
  changedProgress(): GenerationProgress | undefined {
    const now = this.#generation?.progress;
    if (!now || (this.#lastSent && isSame(now, this.#lastSent))) return undefined;
    this.#lastSent = now;
    if (now.phase === "done") this.#sendRest();
    return now;
  }

  #sendRest(): void {
    this.#room = Number.POSITIVE_INFINITY;
    void this.#send();
  }

  /** Sends parts while there is room, and the end. One loop runs at a time. */
  async #send(): Promise<void> {
    if (this.#isSending) return;
    this.#isSending = true;
    try {
      const generation = await this.#started;
      this.#iterator ??= generation[Symbol.asyncIterator]();
      for (; this.#room > 0 && !this.#isForgotten; this.#room--) {
        const next = await this.#iterator.next();
        if (this.#isForgotten) return;
        if (next.done) {
          const result = await generation.result();
          this.#end({ type: "finished", id: this.#id, result, progress: generation.progress });
          return;
        }
        const { progress } = generation;
        this.#place.send({ type: "part", id: this.#id, part: next.value, progress });
      }
    } catch (error) {
      const progress = this.#generation?.progress;
      this.#end({ type: "failed", id: this.#id, error: encodeError(error), progress });
    } finally {
      this.#isSending = false;
    }
  }

  #end(message: FromEngine): void {
    if (this.#isForgotten) return;
    this.#place.send(message); // may throw for a result, never for an error
    this.#forget();
  }

  #forget(): void {
    if (this.#isForgotten) return;
    this.#isForgotten = true;
    this.#place.forget(this.#id);
  }
}

function isSame(a: GenerationProgress, b: GenerationProgress): boolean {
  return (
    a.phase === b.phase &&
    a.promptTokens === b.promptTokens &&
    a.cachedTokens === b.cachedTokens &&
    a.generatedTokens === b.generatedTokens &&
    a.waitsFor === b.waitsFor
  );
}
