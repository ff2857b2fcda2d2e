import * as v from "valibot";
import type { AttentionPolicy } from "./attention/policy.ts";
import { CACHE_DTYPES } from "./base/cache-dtype.ts";
import { abortSignal, checkOptions, numberThat, oneOf, wholeNumberFrom } from "./base/check-options.ts";
import { ConfigError } from "./base/errors.ts";
import { attentionChoice } from "./engine/request-schema.ts";
import { BACKEND_CHOICES, type BackendOptions } from "./machine/backends.ts";
import { DTYPE_CHOICES, type DtypeChoice } from "./machine/fit-model.ts";

/** Options of every way to open an engine. Unknown keys are errors. */
export interface EngineOptions extends BackendOptions {
  /**
   * Precision of the weights. "auto", the default: the checkpoint's own while it fits, else q8. "own": never another. "q8", "q4":
   * matrices in blocks of 32 with a scale each, made on load from 16- or 32-bit weights.
   */
  readonly dtype?: DtypeChoice;
  /** The policy of requests that name none, a value or a spec. Default: the checkpoint's own, else full. */
  readonly attention?: AttentionPolicy | string;
  /**
   * Maximum concurrent requests. Default: 16 on a CPU and 32 on a GPU, fewer if the context needs their memory.
   */
  readonly maxConcurrent?: number;
  /**
   * Tokens that the KV caches of all requests hold together, at least those of one context. Requests wait for pages, or are replayed, where
   * they need more. Default: a whole context for each concurrent request, as far as memory allows.
   */
  readonly cacheTokens?: number;
  /**
   * Milliseconds for which the prompts of others may hold up a request that decodes, about; on a backend that computes on the
   * caller's thread also how long a prefill step holds up the event loop. Default 50 on a GPU, 250 on the CPU.
   */
  readonly maxStallMs?: number;
  /** Tokens of a page of the KV cache: a power of two, at least 4. Default 16. */
  readonly pageSize?: number;
  /** Aborts the opening, which then rejects with an AbortedError. */
  readonly signal?: AbortSignal;
}

/** More threads than any machine has; each takes memory of its own. */
const MAX_THREADS = 256;
/** No backend is made for batches of more rows. */
const MAX_CONCURRENT = 4096;

const isPageSize = (size: number) => Number.isSafeInteger(size) && size >= 4 && Math.log2(size) % 1 === 0;

export const ENGINE_OPTIONS = {
  backend: oneOf(BACKEND_CHOICES),
  threads: wholeNumberFrom(1, MAX_THREADS),
  contextLength: wholeNumberFrom(2),
  cacheDtype: oneOf(CACHE_DTYPES),
  dtype: oneOf(DTYPE_CHOICES),
  tuning: oneOf(["auto", "measure", "default"]),
  attention: attentionChoice(),
  maxConcurrent: wholeNumberFrom(1, MAX_CONCURRENT),
  cacheTokens: wholeNumberFrom(2),
  maxStallMs: numberThat("a number of milliseconds above 0", (ms) => ms > 0 && Number.isFinite(ms)),
  pageSize: numberThat("a power of two of at least 4", isPageSize),
  signal: abortSignal(),
} satisfies { readonly [Key in keyof EngineOptions]-?: unknown };

/**
 * Checks the options of an engine and those that a place adds. Returns a copy, since the caller's object may change while
 * files are read.
 * @throws ConfigError on unknown keys and impossible values.
 */
export function checkEngineOptions<Place extends object>(
  options: EngineOptions & Place,
  place: { readonly [Key in keyof Place]-?: v.GenericSchema<unknown, Place[Key]> },
): EngineOptions & Place {
  const schema = v.object({ ...ENGINE_OPTIONS, ...place });
  return checkOptions(schema, options, "openEngine", ConfigError) as EngineOptions & Place;
}
