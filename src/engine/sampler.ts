import type { SamplingParams } from "../backend/backend.ts";
import type { EngineError } from "../base/errors.ts";
import { hash32 } from "../base/random.ts";

/** Sampling values as a request or a checkpoint gives them, checked. */
export interface SamplingDefaults {
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  /** A checkpoint's values that cannot be, by their names in a request, each as the error for a request that leaves it open. */
  readonly problems?: ReadonlyMap<keyof OpenValues, EngineError>;
}

/** What a request may leave to the checkpoint. */
type OpenValues = Omit<SamplingDefaults, "problems"> & { readonly maxTokens?: number | undefined };

const OF_SAMPLING: ReadonlySet<string> = new Set(["temperature", "topK", "topP", "minP"]);

/**
 * The values of one request: the request's own, then the checkpoint's, then greedy.
 * @throws the checkpoint's problem with a value that the request leaves to it.
 */
export function resolveSampling(
  request: OpenValues & { readonly seed?: number | undefined },
  defaults: SamplingDefaults,
): SamplingParams {
  const isGreedy = (request.temperature ?? defaults.temperature ?? 0) === 0;
  for (const [name, problem] of defaults.problems ?? []) {
    const isUsed = !isGreedy || !OF_SAMPLING.has(name);
    if (isUsed && request[name] === undefined) throw problem;
  }
  return {
    temperature: request.temperature ?? defaults.temperature ?? 0,
    topK: request.topK ?? defaults.topK ?? 0,
    topP: request.topP ?? defaults.topP ?? 1,
    minP: request.minP ?? defaults.minP ?? 0,
    repetitionPenalty: request.repetitionPenalty ?? defaults.repetitionPenalty ?? 1,
    seed: wordOf(request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0]),
  };
}

/** The 32 bits that kernels draw from; seeds past 32 bits and negative ones are hashed, so that they do not collide with small ones. */
function wordOf(seed: number): number {
  if (seed >= 0 && seed < 2 ** 32) return seed;
  return hash32(seed % 2 ** 32, Math.floor(seed / 2 ** 32), 0, 0);
}
