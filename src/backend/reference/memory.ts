import { BackendError, OutOfMemoryError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import type { Capacity, ModelShape } from "../backend.ts";

/** Limit of keys and values. Plain loops are of no use beyond it, and a config.json alone could ask for any size. */
export const MAX_CACHE_BYTES = 2 ** 34;

/** Elements of one array that every 64-bit JavaScript engine can allocate. */
const MAX_ELEMENTS = 2 ** 31;

/** Bytes of keys and values over all layers, stored as f32. */
export function cacheBytes(model: ModelShape, capacity: Capacity): number {
  return 2 * 4 * model.numLayers * capacity.maxPages * capacity.pageSize * model.numKvHeads * model.headDim;
}

/** @throws BackendError for a cache above the limit, before any of it is allocated */
export function checkSizes(model: ModelShape, capacity: Capacity): void {
  const { numLayers, numKvHeads, headDim } = model;
  const { maxPages, pageSize } = capacity;
  const sizeBytes = cacheBytes(model, capacity);
  if (sizeBytes <= MAX_CACHE_BYTES) return;
  throw new BackendError(
    `opening the reference backend: a cache of ${numLayers} layers, ${maxPages} pages of ${pageSize} tokens and ${numKvHeads} ` +
      `heads of ${headDim} takes ${mebibytes(sizeBytes)}, at most ${mebibytes(MAX_CACHE_BYTES)} are allowed; ` +
      "open the engine with a smaller contextLength or maxConcurrent, or use the wasm backend",
  );
}

/** An array of zeros. @throws BackendError that names its purpose, if it is too large or memory runs out */
export function allocate<T extends Float32Array | Uint32Array>(
  make: new (length: number) => T,
  shape: readonly number[],
  what: string,
): T {
  const length = shape.reduce((a, b) => a * b, 1);
  const doing = `the reference backend: making ${what} [${shape.join(", ")}]`;
  if (!(length <= MAX_ELEMENTS))
    throw new BackendError(
      `${doing}: expected at most ${MAX_ELEMENTS} elements, got ${length}; use a smaller model`,
    );
  try {
    return new make(length);
  } catch (cause) {
    throw new BackendError(
      `${doing}: there is no memory for its ${mebibytes(length * 4)} (${String(cause)}); use a smaller model or contextLength`,
      { cause },
    );
  }
}

/** `Backend.allocate`: what did not get memory is garbage. */
export function allOrNothing<T>(what: string, make: () => T): T {
  try {
    return make();
  } catch (cause) {
    if (!(cause instanceof BackendError)) throw cause;
    throw new OutOfMemoryError(`the reference backend has no memory for ${what}: ${cause.message}`, {
      cause,
    });
  }
}
