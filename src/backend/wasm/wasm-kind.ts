import { mebibytes } from "../../base/mebibytes.ts";
import type { CacheDtype } from "../backend.ts";
import {
  ALLOWED_ERROR,
  type BackendKind,
  type BackendMemory,
  cpuCacheDtype,
  MAX_CONCURRENT,
} from "../backend-kind.ts";
import { CPU_PREFILL_ROWS } from "../layer-ops.ts";
import type { WasmHost } from "./host.ts";
import { MAX_BYTES, PAGE_BYTES, workingBytes } from "./memory-map.ts";
import { type WasmOptions, wasmFactory } from "./open-wasm.ts";
import { WASM_FORMATS } from "./weight-store.ts";

/** Bytes that a backend can address in WebAssembly. */
const USABLE_BYTES = MAX_BYTES - PAGE_BYTES;

const MEMORY: BackendMemory = {
  weightFormats: WASM_FORMATS,
  cacheDtypes: ["f32", "q8"],
  prefillRows: CPU_PREFILL_ROWS,
  maxBytes: USABLE_BYTES,
  workBytes: (model, capacity, cacheDtype) =>
    workingBytes(model, { ...capacity, maxPages: 0 }, cpuCacheDtype(cacheDtype)),
};

/** The WASM backend: every JavaScript engine has it. */
export const WASM: BackendKind<
  { readonly wasm: WasmHost },
  Pick<WasmOptions, "threads" | "tuning"> & { readonly cacheDtype?: CacheDtype }
> = {
  name: "wasm",
  device: "CPU",
  memory: MEMORY,
  probe: async ({ wasm }, { threads, tuning, cacheDtype }) => ({
    auto: { isWanted: true },
    allowedError: ALLOWED_ERROR[cpuCacheDtype(cacheDtype)],
    maxConcurrent: MAX_CONCURRENT.cpu,
    memoryLimit: ({ model, weightBytes, kept }) => {
      const most = Math.min(USABLE_BYTES, wasm.memoryBytes ?? USABLE_BYTES);
      const what = most < USABLE_BYTES ? "memory of this machine" : "32-bit WebAssembly memory";
      return {
        fits: (capacity) =>
          workingBytes(model, capacity, cpuCacheDtype(cacheDtype)) + (kept?.bytes(capacity) ?? 0) <=
          most - weightBytes,
        name: `${mebibytes(most)} of ${what}, ${mebibytes(weightBytes)} of them weights`,
      };
    },
    cacheDtype: cpuCacheDtype(cacheDtype),
    memory: MEMORY,
    prefillRows: () => CPU_PREFILL_ROWS,
    open: wasmFactory(wasm, {
      cacheDtype: cpuCacheDtype(cacheDtype),
      ...(threads !== undefined && { threads }),
      ...(tuning !== undefined && { tuning }),
    }),
  }),
};
