import { BackendError } from "../base/errors.ts";
import type { Backend } from "./backend.ts";

/** Gives a backend all the pages that it may have: for those who drive it without an engine. @throws BackendError where there is no memory for them */
export async function withAllPages<Opened extends Backend>(backend: Opened): Promise<Opened> {
  const { numPages, pageSize } = backend.shape;
  if (await backend.resizeCache(numPages)) return backend;
  await backend.close();
  throw new BackendError(`opening the KV cache of ${numPages * pageSize} tokens: there is no memory for it`);
}
