import type { SamplingParams } from "../backend/backend.ts";
import { type EngineError, RequestError } from "../base/errors.ts";
import { hash32 } from "../base/random.ts";
import type { GenerationRequest } from "./request.ts";

/** Sampling values a checkpoint recommends. */
export interface SamplingDefaults {
  readonly temperature?: number | undefined;
  readonly topK?: number | undefined;
  readonly topP?: number | undefined;
  readonly minP?: number | undefined;
  readonly repetitionPenalty?: number | undefined;
  /** Recommended values that cannot be, by their names in a request, each as the error for a request that leaves it open. */
  readonly problems?: ReadonlyMap<keyof GenerationRequest, EngineError>;
}

/**
 * The values of one request: the request's own, then the checkpoint's, then greedy.
 * @throws RequestError on a value that cannot be, ModelFileError where it is the checkpoint's.
 */
export function resolveSampling(request: GenerationRequest, defaults: SamplingDefaults): SamplingParams {
  for (const [name, problem] of defaults.problems ?? []) {
    const isUsed = request.temperature !== 0 || name === "repetitionPenalty" || name === "maxTokens";
    if (isUsed && request[name] === undefined) throw problem;
  }
  const params = {
    temperature: request.temperature ?? defaults.temperature ?? 0,
    topK: request.topK ?? defaults.topK ?? 0,
    topP: request.topP ?? defaults.topP ?? 1,
    minP: request.minP ?? defaults.minP ?? 0,
    repetitionPenalty: request.repetitionPenalty ?? defaults.repetitionPenalty ?? 1,
    seed: request.seed ?? crypto.getRandomValues(new Uint32Array(1))[0] ?? 0,
  };
  check("temperature", params.temperature, (t) => t >= 0 && t < Number.POSITIVE_INFINITY, "0 or more");
  check("topK", params.topK, (k) => Number.isSafeInteger(k) && k >= 0, "a whole number, 0 for all");
  check("topP", params.topP, (p) => p > 0 && p <= 1, "in (0, 1]");
  check("minP", params.minP, (p) => p >= 0 && p <= 1, "in [0, 1]");
  check(
    "repetitionPenalty",
    params.repetitionPenalty,
    (r) => r > 0 && r < Number.POSITIVE_INFINITY,
    "above 0",
  );
  check("seed", params.seed, Number.isSafeInteger, "a whole number");
  return { ...params, seed: wordOf(params.seed) };
}

/** The 32 bits that kernels draw from; seeds past 32 bits and negative ones are hashed, so that they do not collide with small ones. */
function wordOf(seed: number): number {
  if (seed >= 0 && seed < 2 ** 32) return seed;
  return hash32(seed % 2 ** 32, Math.floor(seed / 2 ** 32), 0, 0);
}

function check(name: string, value: number, isValid: (value: number) => boolean, expected: string): void {
  if (typeof value !== "number" || !isValid(value))
    throw new RequestError(`${name} must be ${expected}, got ${String(value)}`);
}
