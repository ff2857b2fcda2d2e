import { BackendError, ConfigError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import type { Capacity, ModelShape, TuningReport } from "../backend.ts";
import type { CpuCacheDtype } from "../backend-kind.ts";
import { checkFeatures, DECODER_FEATURES } from "../decoder-features.ts";
import type { WasmHost, WasmModuleName } from "./host.ts";
import { DATA_BYTES, measureTuning, TUNING_CAPACITY, TUNING_MODEL } from "./measure-tuning.ts";
import { MAX_BYTES, PAGE_BYTES } from "./memory-map.ts";
import { readThreadFailure } from "./thread-failure.ts";
import {
  chooseTuning,
  DEFAULT_TUNING,
  fingerprint,
  type MeasuredTuning,
  TUNING_MODES,
  type TuningMode,
} from "./tuning.ts";
import { WasmBackend } from "./wasm-backend.ts";
import { WORKER_SOURCE } from "./worker-source.ts";

export type { StartedWorker, WasmHost, WasmModuleName, WorkerData } from "./host.ts";
export type { TuningMode } from "./tuning.ts";

export interface WasmOptions {
  /** Threads that compute, the caller's included; default: those of the host. */
  readonly threads?: number;
  /** Default "auto": relaxed if the engine has it. */
  readonly simd?: "auto" | "simd" | "relaxed";
  /**
   * Source of the tuning choices. "auto", the default: kept ones, else measured in less than half a second and
   * kept; "measure": measured and kept; "default": not measured.
   */
  readonly tuning?: TuningMode;
  /** Storage type of keys and values. Default f32. */
  readonly cacheDtype?: CpuCacheDtype;
}

/** What the kernels compute beyond the decoder that every backend has. */
/** (module (func (result v128) i32x4.splat 0, three times, then f32x4.relaxed_madd)) */
const RELAXED_PROBE = new Uint8Array([
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0],
  ...[65, 0, 253, 17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 133, 2, 11],
]);

/**
 * Opens WASM backends on a host.
 * The factory throws a BackendError when the machine lacks what was asked for, or has no room for the model.
 */
export function wasmFactory(
  host: WasmHost,
  options: WasmOptions = {},
): (model: ModelShape, capacity: Capacity) => Promise<WasmBackend> {
  return (model, capacity) => open({ model, capacity }, host, options);
}

/** Sizes that a backend is opened for. */
interface Sizes {
  readonly model: ModelShape;
  readonly capacity: Capacity;
}

async function open(sizes: Sizes, host: WasmHost, options: WasmOptions): Promise<WasmBackend> {
  const { cacheDtype = "f32" } = options;
  checkFeatures({ name: "wasm", has: DECODER_FEATURES }, sizes.model, cacheDtype);
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
  const compiled = await compile(host, name);
  const opener: Opener = {
    module: compiled.module,
    threads,
    startWorker: isThreaded ? startWorker : undefined,
  };
  const tuning = await chooseTuning({
    mode: tuningMode(options.tuning),
    build: `${name} ${compiled.fingerprint} | ${threads} threads`,
    store: host.tuningStore,
    measure: () => measureApart(opener),
  });
  const description =
    `WebAssembly, ${isRelaxed ? "relaxed SIMD" : "SIMD"}, ${threads} thread${threads > 1 ? "s" : ""}` +
    (!startWorker && options.threads === undefined ? ` (${reason})` : "");
  return start(opener, sizes, { description, tuning, cacheDtype, maxBytes: MAX_BYTES });
}

/** Module and number of threads, from which a backend is opened on a new memory. */
interface Opener {
  readonly module: WebAssembly.Module;
  readonly threads: number;
  readonly startWorker: WasmHost["startWorker"] | undefined;
}

/** A backend on a memory and threads of its own. */
async function start(
  { module, threads, startWorker }: Opener,
  { model, capacity }: Sizes,
  {
    maxBytes,
    ...about
  }: {
    readonly description: string;
    readonly tuning: TuningReport;
    readonly cacheDtype: CpuCacheDtype;
    readonly maxBytes: number;
  },
): Promise<WasmBackend> {
  const memory = createMemory(threads > 1, maxBytes);
  const kernels = await instantiate(module, memory);
  const backend = new WasmBackend(model, capacity, { memory, kernels, threads, ...about });
  try {
    for (let index = 1; startWorker && index < threads; index++)
      backend.addWorker(startWorker(WORKER_SOURCE, { module, memory, index }));
    await Promise.resolve(); // lets a worker that failed to start say so
    return backend;
  } catch (error) {
    await backend.close();
    throw error;
  }
}

function tuningMode(mode: TuningMode = "auto"): TuningMode {
  if (TUNING_MODES.includes(mode)) return mode;
  throw new ConfigError(`tuning must be one of ${TUNING_MODES.join(", ")}, got ${JSON.stringify(mode)}`);
}

/** Milliseconds that threads may take to start before the measurement goes without. */
const START_LIMIT_MS = 1000;

/** Address space of a measurement: its data, and room for everything else. */
const MEASURE_BYTES = 2 * DATA_BYTES;

/** Measures on a memory and threads that end with the measurement: linear memory cannot shrink. */
async function measureApart(opener: Opener): Promise<MeasuredTuning> {
  let bench: WasmBackend | undefined;
  try {
    const tuning = { from: "default", choices: DEFAULT_TUNING } as const;
    const sizes = { model: TUNING_MODEL, capacity: TUNING_CAPACITY };
    bench = await start(opener, sizes, {
      ...{ description: "", tuning, cacheDtype: "f32", maxBytes: MEASURE_BYTES },
    });
    if (!(await bench.resizeCache(TUNING_CAPACITY.maxPages)))
      return notMeasured(`the machine refused ${mebibytes(DATA_BYTES)} to measure in`);
    const deadline = performance.now() + START_LIMIT_MS;
    while (bench.startedThreads < opener.threads) {
      if (performance.now() > deadline) return notMeasured("its threads took too long to start");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    return await measureTuning(bench);
  } catch (cause) {
    // Memory that suffices for a model may not suffice for a measurement.
    if (cause instanceof BackendError) return notMeasured(cause.message);
    const why = (bench && readThreadFailure(bench.arena.memory)) ?? String(cause);
    throw new BackendError(
      `the wasm backend failed while it measured the processor (${why}); open it again, with threads: 1 if it stays`,
      { cause },
    );
  } finally {
    await bench?.close();
  }
}

function notMeasured(unfinished: string): MeasuredTuning {
  return { tuning: DEFAULT_TUNING, elapsedMs: 0, unfinished };
}

interface CompiledKernels {
  readonly module: WebAssembly.Module;
  readonly fingerprint: string;
}

async function instantiate(
  module: WebAssembly.Module,
  memory: WebAssembly.Memory,
): Promise<WebAssembly.Exports> {
  const now = () => performance.now();
  const abort = () => {
    throw new BackendError("a wasm kernel aborted");
  };
  const instance = await WebAssembly.instantiate(module, { env: { memory, now, abort } });
  return instance.exports;
}

function createMemory(isShared: boolean, maxBytes: number): WebAssembly.Memory {
  try {
    return new WebAssembly.Memory({ initial: 16, maximum: maxBytes / PAGE_BYTES, shared: isShared });
  } catch (cause) {
    throw new BackendError(
      `the wasm backend cannot reserve its address space (${mebibytes(maxBytes)}, untouched pages cost nothing); ` +
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
