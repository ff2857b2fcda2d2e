/** Checks of the contract in backend.ts that every backend makes with the same words. */
import { ShapeError } from "../base/errors.ts";
import type { Capacity } from "./backend.ts";

/** @throws ShapeError for a pool of so many pages */
export function checkPages(numPages: number, { maxPages: most }: Capacity): void {
  if (!Number.isSafeInteger(numPages) || numPages < 0 || numPages > most)
    throw new ShapeError(`resizing the KV cache: expected 0 to ${most} pages, got ${numPages}`);
}
