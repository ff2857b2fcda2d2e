import { BackendError, ConfigError } from "../../base/errors.ts";
import type { Capacity, ModelShape } from "../backend.ts";
import type { StartedWorker, WasmHost, WasmModuleName } from "./host.ts";
import { measureTuning, TUNING_CAPACITY, TUNING_MODEL } from "./measure-tuning.ts";
import { MAX_BYTES, PAGE_BYTES } from "./memory-map.ts";
import {
  chooseTuning,
  fingerprint,
  type MeasuredTuning,
  TUNING_MODES,
  type TuningMode,
  USUAL_TUNING,
} from "./tuning.ts";
import { WasmBackend } from "./wasm-backend.ts";
import { WORKER_SOURCE } from "./worker-source.ts";

export type { StartedWorker, TuningStore, WasmHost, WasmModuleName, WorkerData } from "./host.ts";
export type { TuningMode } from "./tuning.ts";

export interface WasmOptions {
  /** Threads that compute, the caller's included; default: as many as the host names. */
  readonly threads?: number;
  /** Default "auto": relaxed where the engine has it. */
  readonly simd?: "auto" | "simd" | "relaxed";
  /**
   * How the choices that depend on the processor are had. "auto", the default: those kept from before, else measured
   * in less than half a second and kept; "measure": measured anew and kept; "default": the usual ones.
   */
  readonly tuning?: TuningMode;
}

/** (module (func (result v128) i32x4.splat 0, three times, then f32x4.relaxed_madd)) */
const RELAXED_PROBE = new Uint8Array([
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0],
  ...[65, 0, 253, 17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 133, 2, 11],
]);

/**
 * Opens WASM backends on a host.
 * What it returns throws a BackendError when the machine lacks what was asked for, or has no room for the model.
 */
export function wasmFactory(
  host: WasmHost,
  options: WasmOptions = {},
): (model: ModelShape, capacity: Capacity) => Promise<WasmBackend> {
  return (model, capacity) => open({ model, capacity }, host, options);
}

async function open(
  { model, capacity }: { readonly model: ModelShape; readonly capacity: Capacity },
  host: WasmHost,
  options: WasmOptions,
): Promise<WasmBackend> {
  const hasRelaxed = WebAssembly.validate(RELAXED_PROBE);
  if (options.simd === "relaxed" && !hasRelaxed)
    throw new BackendError(
      'the wasm backend was asked for simd "relaxed", which this JavaScript engine lacks; ' +
        'use simd "auto", or Node 24 or later (Node 20: --experimental-wasm-relaxed-simd)',
    );
  const isRelaxed = options.simd === "simd" ? false : hasRelaxed;
  const startWorker = typeof SharedArrayBuffer === "undefined" ? undefined : host.startWorker?.bind(host);
  const reason = host.whyOneThread ?? "there is no SharedArrayBuffer here";
  if (!startWorker && (options.threads ?? 1) > 1)
    throw new BackendError(
      `the wasm backend was asked for ${options.threads} threads and can have one: ${reason}`,
    );
  const threads = startWorker ? Math.max(1, Math.floor(options.threads ?? host.maxThreads)) : 1;
  const isThreaded = threads > 1 && startWorker !== undefined;
  const name: WasmModuleName = `${isRelaxed ? "relaxed" : "simd"}-${isThreaded ? "threads" : "single"}`;
  const opened = { ...(await compile(host, name)), memory: createMemory(isThreaded), threads };
  const kernels = await instantiate(opened);
  const workers: StartedWorker[] = [];
  const start = () => {
    if (startWorker && workers.length === 0)
      for (let index = 1; index < threads; index++)
        workers.push(
          remembering(startWorker(WORKER_SOURCE, { module: opened.module, memory: opened.memory, index })),
        );
    return workers;
  };
  try {
    const tuning = await chooseTuning({
      mode: tuningMode(options.tuning),
      build: `${name} ${opened.fingerprint} | ${threads} threads`,
      store: host.tuningStore,
      measure: () => measureOn(opened.memory, kernels, threads, start),
    });
    const description =
      `WebAssembly, ${isRelaxed ? "relaxed SIMD" : "SIMD"}, ${threads} thread${threads > 1 ? "s" : ""}` +
      (!startWorker && options.threads === undefined ? ` (${reason})` : "");
    const backend = new WasmBackend(model, capacity, {
      ...{ memory: opened.memory, kernels, threads, description, tuning },
    });
    for (const worker of start()) backend.addWorker(worker);
    await Promise.resolve(); // a worker that has failed says so
    return backend;
  } catch (error) {
    await Promise.all(workers.map((worker) => worker.terminate()));
    throw error;
  }
}

/** A worker that tells of its failure whenever it is asked: one that failed while it was measured is no worker later. */
function remembering(worker: StartedWorker): StartedWorker {
  const failed = new Promise<unknown>((resolve) => {
    worker.onFailure((error) => resolve(error));
  });
  return {
    onFailure: (callback) => void failed.then(callback),
    terminate: () => worker.terminate(),
  };
}

function tuningMode(mode: TuningMode = "auto"): TuningMode {
  if (TUNING_MODES.includes(mode)) return mode;
  throw new ConfigError(`tuning must be one of ${TUNING_MODES.join(", ")}, got ${JSON.stringify(mode)}`);
}

/** Milliseconds that threads may take to start before the measurement goes without. */
const START_LIMIT_MS = 1000;

/** Measures on the memory and threads that the backend will have, and leaves both as they were. */
async function measureOn(
  memory: WebAssembly.Memory,
  kernels: WebAssembly.Exports,
  threads: number,
  start: () => readonly StartedWorker[],
): Promise<MeasuredTuning> {
  let bench: WasmBackend | undefined;
  try {
    const tuning = { from: "default", choices: USUAL_TUNING } as const;
    bench = new WasmBackend(TUNING_MODEL, TUNING_CAPACITY, {
      memory,
      kernels,
      threads,
      description: "",
      tuning,
    });
    for (const worker of start()) bench.addWorker(worker);
    const deadline = performance.now() + START_LIMIT_MS;
    while (bench.startedThreads < threads) {
      if (performance.now() > deadline) return notMeasured("its threads took too long to start");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return await measureTuning(bench);
  } catch (cause) {
    // a backend that has room for its model may have none to measure in
    if (cause instanceof BackendError) return notMeasured(cause.message);
    throw new BackendError(
      `the wasm backend failed while it measured the processor (${String(cause)}); open it again, with threads: 1 if it stays`,
      { cause },
    );
  } finally {
    bench?.vacate();
  }
}

function notMeasured(unfinished: string): MeasuredTuning {
  return { tuning: USUAL_TUNING, elapsedMs: 0, unfinished };
}

interface CompiledKernels {
  readonly module: WebAssembly.Module;
  readonly fingerprint: string;
}

async function instantiate({
  module,
  memory,
}: {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
}): Promise<WebAssembly.Exports> {
  const instance = await WebAssembly.instantiate(module, {
    env: {
      memory,
      now: () => performance.now(),
      abort: () => {
        throw new BackendError("a wasm kernel aborted");
      },
    },
  });
  return instance.exports;
}

function createMemory(isShared: boolean): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: 16, maximum: MAX_BYTES / PAGE_BYTES, shared: isShared });
  } catch (cause) {
    throw new BackendError(
      "the wasm backend cannot reserve its address space (4 GiB, untouched pages cost nothing); " +
        "raise the limit on virtual memory (ulimit -v)",
      { cause },
    );
  }
}

async function compile(host: WasmHost, name: WasmModuleName): Promise<CompiledKernels> {
  try {
    const source = await host.loadModule(name);
    const bytes = ArrayBuffer.isView(source)
      ? new Uint8Array(source.buffer, source.byteOffset, source.byteLength)
      : new Uint8Array(source);
    return { module: await WebAssembly.compile(source), fingerprint: fingerprint(bytes) };
  } catch (cause) {
    if (cause instanceof BackendError) throw cause;
    throw new BackendError(`the wasm backend cannot compile ${name}.wasm: ${String(cause)}`, { cause });
  }
}
