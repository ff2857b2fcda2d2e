import { BackendError } from "../base/errors.ts";
import type { Backend } from "./backend.ts";

/** Gives a backend all the pages that it may have: for those who drive it without an engine. @throws BackendError where there is no memory for them */
export async function withAllPages<Opened extends Backend>(backend: Opened): Promise<Opened> {
  const { maxPages, pageSize } = backend.capacity;
  if (await backend.resizeCache(maxPages)) return backend;
  await backend.close();
  throw new BackendError(`opening the KV cache of ${maxPages * pageSize} tokens: there is no memory for it`);
}
