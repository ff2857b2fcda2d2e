import type { Capacity } from "../backend/backend.ts";
import type { MemoryLimit } from "../backend/backend-kind.ts";
import { BackendError, ConfigError } from "../base/errors.ts";

/** The capacity that fits, and the reason if its context is shorter than the model's. */
export interface FittedCapacity {
  readonly capacity: Capacity;
  readonly contextNote: string | undefined;
}

/** Sizes that a person named: they are kept as they are, or refused. */
export interface AskedFor {
  readonly context: boolean;
  readonly concurrency: boolean;
}

/** Minimum concurrent requests: fewer are not traded for a longer context. */
export const MIN_CONCURRENT = 4;

/**
 * Fits a capacity into a backend's memory. Pages go first (requests then wait for them, or are replayed), then concurrency
 * that nobody asked for, and context only if one sequence alone does not fit.
 * @throws BackendError when no context fits, ConfigError when a context that was asked for does not fit.
 */
export function fitContext(given: Capacity, limit: MemoryLimit, askedFor: AskedFor): FittedCapacity {
  const wanted = askedFor.concurrency ? given : fewerConcurrent(given, limit);
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
  if (pages === 0) throw new BackendError(`the model does not fit into the ${limit.name}`);
  const context = pages * pageSize;
  if (askedFor.context)
    throw new ConfigError(
      `contextLength ${maxSequenceLength} does not fit into the ${limit.name}; the longest that fits is ${context}`,
    );
  return {
    capacity: withContext(context),
    contextNote: `context lowered from ${maxSequenceLength} to ${context} tokens: that is what fits into the ${limit.name}`,
  };
}

/** As many concurrent requests as leave room for one sequence of the whole context. */
function fewerConcurrent(wanted: Capacity, limit: MemoryLimit): Capacity {
  const onePages = Math.ceil(wanted.maxSequenceLength / wanted.pageSize);
  let capacity = wanted;
  while (capacity.maxBatchSequences > MIN_CONCURRENT && !limit.fits({ ...capacity, maxPages: onePages }))
    capacity = concurrent(capacity, Math.max(MIN_CONCURRENT, Math.floor(capacity.maxBatchSequences / 2)));
  return capacity;
}

/** The capacity for at most so many concurrent requests. */
export function concurrent(capacity: Capacity, most: number): Capacity {
  const { maxBatchSequences, maxSequenceLength, pageSize, maxPages } = capacity;
  if (maxBatchSequences <= most) return capacity;
  const pages = Math.ceil(maxSequenceLength / pageSize) * most;
  return { ...capacity, maxBatchSequences: most, maxPages: Math.min(maxPages, pages) };
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
