import { mebibytes } from "../../base/mebibytes.ts";
import type { CacheDtype } from "../backend.ts";
import { ALLOWED_ERROR, type BackendKind, type BackendMemory, MAX_CONCURRENT } from "../backend-kind.ts";
import { decoderBytes } from "../decoder-memory.ts";
import { CPU_PREFILL_ROWS } from "../layer-ops.ts";
import { cacheBytes, MAX_CACHE_BYTES } from "./memory.ts";
import { createReferenceBackend } from "./reference-backend.ts";
import { REFERENCE_FORMATS } from "./refs.ts";

const MEMORY: BackendMemory = {
  weightFormats: REFERENCE_FORMATS,
  cacheDtypes: ["f32", "f16", "q8"],
  prefillRows: CPU_PREFILL_ROWS,
  workBytes: decoderBytes,
};

/** The reference backend: everywhere, and too slow to be chosen. */
export const REFERENCE: BackendKind<unknown, { readonly cacheDtype?: CacheDtype }> = {
  name: "reference",
  device: "CPU",
  memory: MEMORY,
  probe: async (_, { cacheDtype = "f32" }) => ({
    auto: { isWanted: false, why: "the reference backend is too slow" },
    allowedError: ALLOWED_ERROR[cacheDtype],
    maxConcurrent: MAX_CONCURRENT.cpu,
    memoryLimit: ({ model, kept }) => ({
      fits: (capacity) => cacheBytes(model, capacity) + (kept?.bytes(capacity) ?? 0) <= MAX_CACHE_BYTES,
      name: `${mebibytes(MAX_CACHE_BYTES)} of keys, values and data of policies that the reference backend may hold`,
    }),
    cacheDtype,
    memory: MEMORY,
    prefillRows: () => CPU_PREFILL_ROWS,
    open: (model, capacity) => createReferenceBackend(model, capacity, cacheDtype),
  }),
};
