import { mebibytes } from "../../base/mebibytes.ts";
import { ALLOWED_ERROR, type BackendKind, MAX_CONCURRENT } from "../backend-kind.ts";
import { CPU_PREFILL_ROWS } from "../layer-ops.ts";
import type { WasmHost } from "./host.ts";
import { MAX_BYTES, PAGE_BYTES, workingBytes } from "./memory-map.ts";
import { type WasmOptions, wasmFactory } from "./open-wasm.ts";
import { WASM_FORMATS } from "./wasm-backend.ts";

/** Bytes that a backend can address in WebAssembly. */
const USABLE_BYTES = MAX_BYTES - PAGE_BYTES;

/** The WASM backend: every JavaScript engine has it. */
export const WASM: BackendKind<{ readonly wasm: WasmHost }, Pick<WasmOptions, "threads" | "tuning">> = {
  name: "wasm",
  device: "CPU",
  probe: async ({ wasm }, { threads, tuning }) => ({
    auto: { isWanted: true },
    allowedError: ALLOWED_ERROR.f32,
    maxConcurrent: MAX_CONCURRENT.cpu,
    memoryLimit: ({ model, weightBytes }) => ({
      fits: (capacity) => workingBytes(model, capacity) <= USABLE_BYTES - weightBytes,
      name: `${mebibytes(USABLE_BYTES)} of 32-bit WebAssembly memory, ${mebibytes(weightBytes)} of them weights`,
    }),
    cacheDtype: "f32",
    weightFormats: WASM_FORMATS,
    workBytes: (model, capacity) => workingBytes(model, { ...capacity, maxPages: 0 }),
    prefillRows: () => CPU_PREFILL_ROWS,
    open: wasmFactory(wasm, {
      ...(threads !== undefined && { threads }),
      ...(tuning !== undefined && { tuning }),
    }),
  }),
};
