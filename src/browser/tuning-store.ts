/** Where browsers keep what was measured about the machine: the page's Cache API, in workers too. */
import type { TuningStore } from "../backend/wasm/open-wasm.ts";

const CACHE = "lessismore";

/** A store, where the page has one: on secure pages whose origin may keep data. */
export function createTuningStore(): TuningStore | undefined {
  const { caches }: { caches?: CacheStorage } = globalThis;
  if (!caches) return undefined;
  const { hardwareConcurrency, userAgent } = globalThis.navigator;
  // never fetched: a cache asks for addresses as names
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
