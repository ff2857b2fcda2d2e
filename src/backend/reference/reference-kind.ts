import { mebibytes } from "../../base/mebibytes.ts";
import { ALLOWED_ERROR, type BackendKind, MAX_CONCURRENT } from "../backend-kind.ts";
import { decoderBytes } from "../decoder-memory.ts";
import { CPU_PREFILL_ROWS } from "../layer-ops.ts";
import { cacheBytes, MAX_CACHE_BYTES } from "./memory.ts";
import { createReferenceBackend, REFERENCE_FORMATS } from "./reference-backend.ts";

/** The reference backend: everywhere, and too slow to be chosen. */
export const REFERENCE: BackendKind<unknown, unknown> = {
  name: "reference",
  device: "CPU",
  probe: async () => ({
    auto: { isWanted: false, why: "the reference backend is too slow" },
    allowedError: ALLOWED_ERROR.f32,
    maxConcurrent: MAX_CONCURRENT.cpu,
    memoryLimit: ({ model }) => ({
      fits: (capacity) => cacheBytes(model, capacity) <= MAX_CACHE_BYTES,
      name: `${mebibytes(MAX_CACHE_BYTES)} of keys and values that the reference backend may hold`,
    }),
    cacheDtype: "f32",
    weightFormats: REFERENCE_FORMATS,
    workBytes: decoderBytes,
    prefillRows: () => CPU_PREFILL_ROWS,
    open: createReferenceBackend,
  }),
};
