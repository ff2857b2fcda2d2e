import { signal } from "@preact/signals";
import {
  AbortedError,
  BackendError,
  type DownloadProgress,
  type Engine,
  type EngineReport,
} from "lessismore";
import { openEngineInWorker } from "lessismore/worker";
import type { ModelChoice } from "../models/model-choice.ts";
import { attemptsFor, type BackendWish, type FailedAttempt, openFirst } from "./open-wish.ts";

/** Requests that run at once: a race has two. */
const MAX_CONCURRENT = 2;

export type EngineState =
  | { readonly phase: "closed" }
  | { readonly phase: "opening"; readonly isAgain: boolean; readonly download?: DownloadProgress | undefined }
  | {
      readonly phase: "ready";
      readonly engine: Engine;
      readonly report: EngineReport;
      readonly failed: readonly FailedAttempt[];
    }
  | { readonly phase: "failed"; readonly error: Error };

/** What the page wants to have open. */
export interface Wanted {
  readonly model: ModelChoice;
  readonly backend: BackendWish;
}

/** The one engine of the page: opened in a worker, and again if it has ended by itself. */
export class EngineHost {
  readonly state = signal<EngineState>({ phase: "closed" });
  #wanted: Wanted | undefined;
  #engine: Promise<Engine> | undefined;
  #opening = new AbortController();

  get wanted(): Wanted | undefined {
    return this.#wanted;
  }

  /** Opens what is wanted, and closes what was open. The state tells how it goes; `ready` gives the engine. */
  async open(wanted: Wanted): Promise<void> {
    await this.close();
    this.#wanted = wanted;
    this.#start(false);
  }

  /** Gives up an engine that has ended, and opens another like it. */
  async reopen(): Promise<void> {
    await this.#giveUp();
    this.#start(true);
  }

  /** The engine, once it is open. @throws what its opening threw */
  async ready(): Promise<Engine> {
    if (!this.#engine && this.#wanted) this.#start(this.state.value.phase === "failed");
    if (!this.#engine) throw new RangeError("the page has no model to open");
    return this.#engine;
  }

  async close(): Promise<void> {
    this.#wanted = undefined;
    await this.#giveUp();
    this.state.value = { phase: "closed" };
  }

  async #giveUp(): Promise<void> {
    this.#opening.abort();
    const engine = await this.#engine?.catch(() => undefined);
    this.#engine = undefined;
    await engine?.close().catch(() => {}); // an engine that has failed may fail to close
  }

  #start(isAgain: boolean): void {
    this.#opening = new AbortController();
    const { signal: aborted } = this.#opening;
    this.state.value = { phase: "opening", isAgain };
    const opening = this.#openWanted(aborted);
    opening.then(
      ({ opened, failed }) => {
        if (!aborted.aborted)
          this.state.value = { phase: "ready", engine: opened, report: opened.report(), failed };
      },
      (error: unknown) => {
        if (aborted.aborted) return;
        this.#engine = undefined; // the next request tries again
        const told = error instanceof Error ? error : new Error(String(error));
        this.state.value = { phase: "failed", error: told };
      },
    );
    this.#engine = opening.then(({ opened }) => opened);
    this.#engine.catch(() => {}); // whoever awaits it gets the error
  }

  async #openWanted(aborted: AbortSignal) {
    if (!this.#wanted) throw new RangeError("the page has no model to open");
    const { model, backend } = this.#wanted;
    const onDownload = (download: DownloadProgress) => {
      const { value } = this.state;
      if (value.phase === "opening" && !aborted.aborted) this.state.value = { ...value, download };
    };
    const { source, options } = model;
    const common = { ...options, model: source, maxConcurrent: MAX_CONCURRENT, onDownload, signal: aborted };
    const found = await openFirst(
      attemptsFor(backend),
      (attempt) => openEngineInWorker({ ...common, ...attempt }),
      (error) => error instanceof BackendError,
    );
    if (!aborted.aborted) return found;
    await found.opened.close();
    throw new AbortedError("another model was chosen");
  }
}
