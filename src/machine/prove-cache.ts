/** Whether keys and values fit beside weights on a device that does not tell its memory. */

import { cacheRowBytes } from "../base/cache-dtype.ts";
import { OutOfMemoryError } from "../base/errors.ts";
import { mebibytes } from "../base/mebibytes.ts";
import type { ChosenBackend } from "./choose-backend.ts";

/**
 * Allocates keys and values of the tokens that the backend's limit does not count, and frees them: the engine takes pages as it needs
 * them, and a request would be the first to learn that they are not there. The weights must be loaded.
 * @throws OutOfMemoryError with the bytes of both and what would take less
 */
export async function proveCache({ backend, dtype, unprovenTokens }: ChosenBackend): Promise<void> {
  if (unprovenTokens === undefined) return;
  const { model, capacity, cacheDtype } = backend;
  const pages = Math.min(Math.ceil(unprovenTokens / capacity.pageSize), capacity.maxPages);
  if (await backend.resizeCache(pages)) {
    await backend.resizeCache(0);
    return;
  }
  const rowBytes = 2 * model.numLayers * model.numKvHeads * cacheRowBytes(cacheDtype, model.headDim);
  const { name, weightBytes } = backend.report();
  const smaller = [
    "a shorter contextLength",
    ...(cacheDtype === "q8" ? [] : ["cacheDtype q8"]),
    ...(dtype === "own" ? ["dtype q8"] : []),
  ];
  throw new OutOfMemoryError(
    `opening ${name}: the device has no memory for keys and values of ${unprovenTokens} tokens ` +
      `(${mebibytes(pages * capacity.pageSize * rowBytes)} in ${cacheDtype}) beside weights of ${mebibytes(weightBytes)}; ` +
      `choose ${smaller.join(", ")}, or use the wasm backend`,
  );
}
