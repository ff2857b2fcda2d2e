import type { TuningReport } from "../backend.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";

/** Memory, kernels and threads of a backend. */
export interface WasmBackendOptions {
  readonly memory: WebAssembly.Memory;
  /** Exports of an instance over the memory. */
  readonly kernels: WebAssembly.Exports;
  readonly threads: number;
  readonly description: string;
  readonly tuning: TuningReport;
  readonly cacheDtype: CpuCacheDtype;
}
