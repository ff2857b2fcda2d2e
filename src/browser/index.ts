/** `lessismore` in browsers: the public exports, and openers of checkpoints behind URLs or in chosen files. */
import type { Engine } from "../engine/engine-api.ts";
import { ReopeningEngine } from "../engine/reopening-engine.ts";
import { type BrowserEngineOptions, openEngineWithHooks } from "./open-engine.ts";

export * from "../index.ts";

export type { BrowserEngineOptions } from "./open-engine.ts";
export type { ModelSource } from "./open-model.ts";
export { listModels, removeModel, type StoredModel } from "./opfs-store.ts";

/**
 * Opens a model, and fetches it first where it must be.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export function openEngine(options: BrowserEngineOptions): Promise<Engine> {
  return ReopeningEngine.start(options, (given) => openEngineWithHooks(given, {}));
}
