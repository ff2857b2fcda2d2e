/** The browser's store for measurements of the machine: the Cache API, which workers have too. */
import type { TuningStore } from "../backend/tuning-store.ts";

const CACHE = "lessismore";

/** Makes a store, which only secure pages whose origin may keep data have. */
export function createTuningStore(): TuningStore | undefined {
  const { caches }: { caches?: CacheStorage } = globalThis;
  if (!caches) return undefined;
  const { hardwareConcurrency, userAgent } = globalThis.navigator;
  // Never fetched: a cache takes URLs as names.
  const addressOf = (key: string) => `https://lessismore.invalid/tuning/${encodeURIComponent(key)}`;
  return {
    machine: `${userAgent}, ${hardwareConcurrency} cores`,
    read: async (key) => {
      const kept = await (await caches.open(CACHE)).match(addressOf(key));
      return kept?.text();
    },
    write: async (key, text) => (await caches.open(CACHE)).put(addressOf(key), new Response(text)),
  };
}
