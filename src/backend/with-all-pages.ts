import { BackendError } from "../base/errors.ts";
import type { Backend, Capacity, ModelShape } from "./backend.ts";

/** The factory, with all the pages that its backends may have: for callers that drive a backend without an engine. */
export function withAllPages<Opened extends Backend>(
  open: (model: ModelShape, capacity: Capacity) => Promise<Opened>,
): (model: ModelShape, capacity: Capacity) => Promise<Opened> {
  return async (model, capacity) => {
    const backend = await open(model, capacity);
    if (await backend.resizeCache(capacity.maxPages)) return backend;
    await backend.close();
    const tokens = capacity.maxPages * capacity.pageSize;
    throw new BackendError(
      `opening the KV cache of ${tokens} tokens: there is no memory for it; use a shorter contextLength or fewer concurrent requests`,
    );
  };
}
