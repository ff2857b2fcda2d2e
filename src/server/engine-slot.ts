import type { Engine } from "../engine/engine-api.ts";
import type { EngineStats } from "../engine/engine-stats.ts";
import { HttpError } from "./http-error.ts";

export interface RestartOptions {
  /** How often the engine is opened again within `RESTART_WINDOW_MS`; then it is given up. */
  readonly maxRestarts: number;
  log(line: string): void;
  /** Called once, when the engine is given up. */
  onGivenUp(reason: Error): void;
}

/** Restarts count for so long: one that fails once a day is opened again each time. */
const RESTART_WINDOW_MS = 600_000;
/** Wait before the second restart of a window; each further one waits twice as long. */
const BACKOFF_MS = 250;
const MAX_BACKOFF_MS = 10_000;

/** The engine of a server: absent while it loads, opened again after it has ended, and given up if it ends again and again. */
export class EngineSlot {
  readonly #options: RestartOptions;
  #engine: Engine | undefined;
  #failure: Error | undefined;
  /** The end of the engine that is being opened again. */
  #loss: Error | undefined;
  /** Times of the restarts within the window. */
  #restarts: number[] = [];
  #numRestarts = 0;
  #isStopped = false;
  /** Ends the wait before a restart. */
  #endWait = () => {};

  constructor(options: RestartOptions) {
    this.#options = options;
  }

  set(engine: Engine): void {
    this.#engine = engine;
  }

  /** Opens the engine no more: the server is shutting down. */
  stop(): void {
    this.#isStopped = true;
    this.#endWait();
  }

  /** The failure for which the engine was given up. */
  get failure(): Error | undefined {
    this.look();
    return this.#failure;
  }

  /** The failure after which the engine is being opened again. */
  get loss(): Error | undefined {
    this.look();
    return this.#loss;
  }

  get isReady(): boolean {
    return this.#engine !== undefined && this.failure === undefined && this.#loss === undefined;
  }

  /** Times that the engine was opened again. */
  get numRestarts(): number {
    return this.#numRestarts;
  }

  /** @throws HttpError 503 while the engine loads or is opened again, 500 after it was given up */
  get(): Engine {
    if (!this.#engine)
      throw new HttpError(503, "the model is still loading; try again soon", {
        code: "model_loading",
        retryAfterS: 1,
      });
    const { failure, loss } = this;
    if (failure)
      throw new HttpError(500, `the engine has failed, restart the server: ${failure.message}`, {
        code: "engine_failed",
        isFinal: true,
      });
    if (loss)
      throw new HttpError(
        503,
        `the engine failed and is being opened again; try again soon: ${loss.message}`,
        {
          code: "engine_restarting",
          retryAfterS: 1,
        },
      );
    return this.#engine;
  }

  stats(): EngineStats | undefined {
    return this.#engine?.stats();
  }

  /** Starts a restart if the engine has ended since the last look. Called at each request, and after each that failed. */
  look(): void {
    const loss = this.#engine?.failure;
    if (!loss || this.#loss || this.#failure || this.#isStopped) return;
    this.#loss = loss;
    void this.#restart(loss);
  }

  /** Opens the engine again, as often as the options allow. */
  async #restart(loss: Error): Promise<void> {
    let reason = loss;
    while (!this.#isStopped) {
      const { maxRestarts, log } = this.#options;
      const now = performance.now();
      this.#restarts = this.#restarts.filter((at) => now - at < RESTART_WINDOW_MS);
      const attempt = this.#restarts.length + 1;
      if (attempt > maxRestarts) return this.#giveUp(reason);
      this.#restarts.push(now);
      this.#numRestarts++;
      log(
        `the engine failed and is opened again (${attempt} of at most ${maxRestarts} times in ${RESTART_WINDOW_MS / 60_000} minutes): ${describe(reason)}`,
      );
      if (attempt > 1) await this.#wait(Math.min(MAX_BACKOFF_MS, BACKOFF_MS * 2 ** (attempt - 2)));
      if (this.#isStopped) return;
      try {
        await this.#engine?.unload();
        await this.#engine?.generate({ tokenIds: [0], maxTokens: 1, attention: "full" }).result(); // which opens it
        this.#loss = undefined;
        log(`the engine is back after ${((performance.now() - now) / 1000).toFixed(1)} s`);
        return;
      } catch (error) {
        reason = error instanceof Error ? error : new Error(String(error));
      }
    }
  }

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#endWait = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #giveUp(reason: Error): void {
    this.#failure = reason;
    this.#loss = undefined;
    this.#options.log(`the engine is given up: ${reason.message}`);
    this.#options.onGivenUp(reason);
  }
}

/** The message, and where its cause was thrown. */
function describe({ message, cause }: Error): string {
  return cause instanceof Error && cause.stack !== undefined ? `${message}\n${cause.stack}` : message;
}
