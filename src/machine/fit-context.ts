import type { Capacity } from "../backend/backend.ts";
import type { MemoryLimit } from "../backend/backend-kind.ts";
import { BackendError, ConfigError } from "../base/errors.ts";

/** The capacity that fits, and the reason where its context is shorter than the model's. */
export interface FittedCapacity {
  readonly capacity: Capacity;
  readonly contextNote: string | undefined;
}

/**
 * Fits the KV cache into a backend's memory. Concurrency goes first (requests then wait for pages), context only where one
 * sequence alone does not fit.
 * @throws BackendError when no context fits, ConfigError when a context that was asked for does not fit.
 */
export function fitContext(wanted: Capacity, limit: MemoryLimit, isAskedFor: boolean): FittedCapacity {
  const { pageSize, maxSequenceLength, maxPages } = wanted;
  const withContext = (length: number): Capacity => ({
    ...wanted,
    maxSequenceLength: length,
    maxPages: Math.ceil(length / pageSize),
  });
  if (limit.fits(wanted)) return { capacity: wanted, contextNote: undefined };
  if (limit.fits(withContext(maxSequenceLength))) {
    const least = Math.ceil(maxSequenceLength / pageSize);
    const pages = largest(least, maxPages, (count) => limit.fits({ ...wanted, maxPages: count }));
    return { capacity: { ...wanted, maxPages: pages }, contextNote: undefined };
  }
  const pages = largest(0, Math.ceil(maxSequenceLength / pageSize), (count) =>
    limit.fits(withContext(count * pageSize)),
  );
  if (pages === 0)
    throw new BackendError(`the model does not fit into the ${limit.name}; use a smaller model`);
  const context = pages * pageSize;
  if (isAskedFor)
    throw new ConfigError(
      `contextLength ${maxSequenceLength} does not fit into the ${limit.name}; the longest that fits is ${context}`,
    );
  return {
    capacity: withContext(context),
    contextNote: `context lowered from ${maxSequenceLength} to ${context} tokens: that is what fits into the ${limit.name}`,
  };
}

/** Finds the largest number in [least, most) that passes; assumes that `least` does. */
function largest(least: number, most: number, passes: (value: number) => boolean): number {
  let [low, high] = [least, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (passes(middle)) low = middle;
    else high = middle;
  }
  return low;
}
