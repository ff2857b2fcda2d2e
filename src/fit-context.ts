import type { BackendShape } from "./backend/backend.ts";
import { BackendError, ConfigError } from "./base/errors.ts";

/** What a backend can hold. */
export interface MemoryLimit {
  readonly sizeBytes: number;
  /** Who sets the limit, for messages. */
  readonly name: string;
  /** Bytes of everything but the weights. */
  workingBytes(shape: BackendShape): number;
}

/** A shape that fits, and why its context is shorter than the model's, where it is. */
export interface FittedShape {
  readonly shape: BackendShape;
  readonly contextNote: string | undefined;
}

/**
 * Fits the KV cache into what the weights leave of the memory. Gives up room for concurrent requests first (they wait for
 * pages then), and context only where one sequence alone does not fit.
 * @throws BackendError when the weights leave no room, ConfigError when the context was asked for and does not fit.
 */
export function fitContext(
  wanted: BackendShape,
  weightBytes: number,
  limit: MemoryLimit,
  isAskedFor: boolean,
): FittedShape {
  const room = limit.sizeBytes - weightBytes;
  const { pageSize, maxSequenceLength, numPages } = wanted;
  const fits = (shape: BackendShape) => limit.workingBytes(shape) <= room;
  const withContext = (length: number): BackendShape => ({
    ...wanted,
    maxSequenceLength: length,
    numPages: Math.ceil(length / pageSize),
  });
  if (fits(wanted)) return { shape: wanted, contextNote: undefined };
  if (fits(withContext(maxSequenceLength))) {
    const least = Math.ceil(maxSequenceLength / pageSize);
    const pages = largest(least, numPages, (count) => fits({ ...wanted, numPages: count }));
    return { shape: { ...wanted, numPages: pages }, contextNote: undefined };
  }
  const pages = largest(0, Math.ceil(maxSequenceLength / pageSize), (count) =>
    fits(withContext(count * pageSize)),
  );
  const held = `${megabytes(limit.sizeBytes)} of ${limit.name}, ${megabytes(weightBytes)} of them weights`;
  if (pages === 0) throw new BackendError(`the model does not fit into the ${held}; use a smaller model`);
  const context = pages * pageSize;
  if (isAskedFor)
    throw new ConfigError(
      `contextLength ${maxSequenceLength} does not fit into the ${held}; the longest that fits is ${context}`,
    );
  return {
    shape: withContext(context),
    contextNote: `context lowered from ${maxSequenceLength} to ${context} tokens: that is what fits into the ${held}`,
  };
}

/** The largest number in [least, most) that passes; `least` is taken to pass. */
function largest(least: number, most: number, passes: (value: number) => boolean): number {
  let [low, high] = [least, most];
  while (high - low > 1) {
    const middle = Math.floor((low + high) / 2);
    if (passes(middle)) low = middle;
    else high = middle;
  }
  return low;
}

function megabytes(sizeBytes: number): string {
  return `${Math.ceil(sizeBytes / 2 ** 20)} MiB`;
}
