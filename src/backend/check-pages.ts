import { ShapeError } from "../base/errors.ts";
import type { BackendShape } from "./backend.ts";

/** @throws ShapeError where a cache cannot be resized to so many pages. */
export function checkPages(numPages: number, { numPages: most }: BackendShape): void {
  if (!Number.isSafeInteger(numPages) || numPages < 0 || numPages > most)
    throw new ShapeError(`resizing the KV cache: expected 0 to ${most} pages, got ${numPages}`);
}
