import type { SamplingParams } from "../backend/backend.ts";
import type { EngineError } from "../base/errors.ts";
import { hash32 } from "../base/random.ts";

/** Checked sampling values of a request or a checkpoint. */
export interface SamplingDefaults {
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  /** A checkpoint's invalid values, by their names in a request: each error goes to requests that rely on the value. */
  readonly problems?: ReadonlyMap<keyof OpenValues, EngineError>;
}

/** Values that a request may leave to the checkpoint. */
type OpenValues = Omit<SamplingDefaults, "problems"> & { readonly maxTokens?: number | undefined };

const SAMPLING_NAMES: ReadonlySet<string> = new Set(["temperature", "topK", "topP", "minP"]);

/**
 * Resolves a request's sampling values: its own, else the checkpoint's, else greedy.
 * @throws the checkpoint's problem with a value that the request leaves to it
 */
export function resolveSampling(
  request: OpenValues & { readonly seed?: number | undefined },
  defaults: SamplingDefaults,
): SamplingParams {
  const isGreedy = (request.temperature ?? defaults.temperature ?? 0) === 0;
  for (const [name, problem] of defaults.problems ?? []) {
    const isUsed = !isGreedy || !SAMPLING_NAMES.has(name);
    if (isUsed && request[name] === undefined) throw problem;
  }
  return {
    temperature: request.temperature ?? defaults.temperature ?? 0,
    topK: request.topK ?? defaults.topK ?? 0,
    topP: request.topP ?? defaults.topP ?? 1,
    minP: request.minP ?? defaults.minP ?? 0,
    repetitionPenalty: request.repetitionPenalty ?? defaults.repetitionPenalty ?? 1,
    seed: seedWord(request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]),
  };
}

/** Reduces a seed to the 32 bits of the kernels. Hashes larger and negative seeds, which then differ from small ones. */
function seedWord(seed: number): number {
  if (seed >= 0 && seed < 2 ** 32) return seed;
  return hash32(seed % 2 ** 32, Math.floor(seed / 2 ** 32), 0, 0);
}
