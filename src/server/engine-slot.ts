import { EngineError } from "../base/errors.ts";
import type { LoadedEngine } from "../engine/engine-api.ts";
import type { EngineStats } from "../engine/engine-stats.ts";
import { HttpError } from "./http-error.ts";

/** The engine of a server: absent while it loads, and given up after a failure that ends it. */
export class EngineSlot {
  #engine: LoadedEngine | undefined;
  #failure: Error | undefined;
  #isProbed = false;

  set(engine: LoadedEngine): void {
    this.#engine = engine;
  }

  /** The failure that ended the engine. */
  get failure(): Error | undefined {
    return this.#failure;
  }

  get isReady(): boolean {
    return this.#engine !== undefined && this.#failure === undefined;
  }

  /** @throws HttpError 503 while the engine loads, 500 after it failed */
  get(): LoadedEngine {
    if (!this.#engine)
      throw new HttpError(503, "the model is still loading; try again soon", {
        code: "model_loading",
        retryAfterS: 1,
      });
    if (this.#failure)
      throw new HttpError(500, `the engine has failed, restart the server: ${this.#failure.message}`, {
        code: "engine_failed",
        isFinal: true,
      });
    return this.#engine;
  }

  stats(): EngineStats | undefined {
    return this.#engine?.stats();
  }

  /** Tells the failure of a request from that of the engine: after an error of the backend one token is asked for. */
  examine(error: unknown): void {
    if (!(error instanceof EngineError) || error.code !== "backend") return;
    if (!this.#isProbed) void this.#probe();
  }

  async #probe(): Promise<void> {
    this.#isProbed = true;
    try {
      await this.#engine?.generate({ tokenIds: [0], maxTokens: 1, attention: "full" }).result();
    } catch (error) {
      if (error instanceof EngineError && error.code === "backend") this.#failure = error;
    } finally {
      this.#isProbed = false;
    }
  }
}
