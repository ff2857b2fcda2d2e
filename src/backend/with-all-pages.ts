import { BackendError } from "../base/errors.ts";
import type { Backend, Capacity, ModelShape } from "./backend.ts";

/** Opens backends of one class. */
type Open<Opened> = (model: ModelShape, capacity: Capacity) => Promise<Opened>;

/** The factory, with all the pages that its backends may have: for those who drive one without an engine. */
export function withAllPages<Opened extends Backend>(open: Open<Opened>): Open<Opened> {
  return async (model, capacity) => {
    const backend = await open(model, capacity);
    if (await backend.resizeCache(capacity.maxPages)) return backend;
    await backend.close();
    const tokens = capacity.maxPages * capacity.pageSize;
    throw new BackendError(`opening the KV cache of ${tokens} tokens: there is no memory for it`);
  };
}
