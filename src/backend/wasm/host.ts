import type { TuningStore } from "../tuning-store.ts";

/** The four builds of the kernels. */
export type WasmModuleName = "simd-threads" | "simd-single" | "relaxed-threads" | "relaxed-single";

/** Data of a worker. */
export interface WorkerData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** From 1 on; the caller's thread is 0. */
  readonly index: number;
}

export interface StartedWorker {
  /** Calls back once, if the worker fails. */
  onFailure(callback: (error: unknown) => void): void;
  terminate(): Promise<void> | void;
}

/** Services of the place that the backend runs in. */
export interface WasmHost {
  readonly maxThreads: number;
  /** Memory of this machine, or of its container. Absent if nobody tells. */
  readonly memoryBytes?: number;
  loadModule(name: WasmModuleName): Promise<BufferSource>;
  /** Absent without workers. source: worker-source.ts, which documents how it gets its data. */
  startWorker?(source: string, data: WorkerData): StartedWorker;
  /** Present without workers: the reason and the remedy. */
  readonly whyOneThread?: string;
  /** Absent if nothing can be stored; every process measures then. */
  readonly tuningStore?: TuningStore;
}
