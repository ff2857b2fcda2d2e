/** The four builds of the kernels. */
export type WasmModuleName = "simd-threads" | "simd-single" | "relaxed-threads" | "relaxed-single";

/** What a worker gets. */
export interface WorkerData {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** 1, 2, …: the caller's thread is 0. */
  readonly index: number;
}

export interface StartedWorker {
  /** Calls back once if the worker fails. */
  onFailure(callback: (error: unknown) => void): void;
  terminate(): Promise<void> | void;
}

/** Keeps what was measured about a machine: texts of a few hundred characters. */
export interface TuningStore {
  /** What tells this machine from others, and this JavaScript engine: processor, versions. */
  readonly machine: string;
  /** The text kept under a key, undefined where there is none. What fails counts as none. */
  read(key: string): Promise<string | undefined>;
  /** Keeps it whole or not at all. */
  write(key: string, text: string): Promise<void>;
}

/** What the place the backend runs in gives it. */
export interface WasmHost {
  readonly maxThreads: number;
  loadModule(name: WasmModuleName): Promise<BufferSource>;
  /** Left out where there are no workers. source: a script that finds its data as worker-source.ts says. */
  startWorker?(source: string, data: WorkerData): StartedWorker;
  /** Where there are no workers: the reason, and what to do about it. */
  readonly whyOneThread?: string;
  /** Left out where nothing can be kept: every process measures anew. */
  readonly tuningStore?: TuningStore;
}
