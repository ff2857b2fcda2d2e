import { BackendError } from "../../base/errors.ts";
import type { Backend, BackendShape } from "../backend.ts";
import type { WasmHost, WasmModuleName } from "./host.ts";
import { MAX_BYTES, PAGE_BYTES } from "./memory-map.ts";
import { WasmBackend } from "./wasm-backend.ts";
import { WORKER_SOURCE } from "./worker-source.ts";

export type { StartedWorker, WasmHost, WasmModuleName, WorkerData } from "./host.ts";

export interface WasmOptions {
  /** Threads that compute, the caller's included; default: as many as the host names. */
  readonly threads?: number;
  /** Default "auto": relaxed where the engine has it. */
  readonly simd?: "auto" | "simd" | "relaxed";
}

/** (module (func (result v128) i32x4.splat 0, three times, then f32x4.relaxed_madd)) */
const RELAXED_PROBE = new Uint8Array([
  ...[0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 19, 1, 17, 0],
  ...[65, 0, 253, 17, 65, 0, 253, 17, 65, 0, 253, 17, 253, 133, 2, 11],
]);

/**
 * Opens the WASM backend.
 * @throws BackendError when the machine lacks what was asked for, or has no room for the shape.
 */
export async function openWasmBackend(
  shape: BackendShape,
  host: WasmHost,
  options: WasmOptions = {},
): Promise<Backend> {
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
  const memory = createMemory(isThreaded);
  const module = await compile(host, name);
  const instance = await WebAssembly.instantiate(module, {
    env: {
      memory,
      now: () => performance.now(),
      abort: () => {
        throw new BackendError("a wasm kernel aborted");
      },
    },
  });
  const backend = new WasmBackend(shape, memory, instance.exports, {
    threads,
    description:
      `WebAssembly, ${isRelaxed ? "relaxed SIMD" : "SIMD"}, ${threads} thread${threads > 1 ? "s" : ""}` +
      (!startWorker && options.threads === undefined ? ` (${reason})` : ""),
  });
  if (startWorker)
    for (let index = 1; index < threads; index++)
      backend.addWorker(startWorker(WORKER_SOURCE, { module, memory, index }));
  return backend;
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

async function compile(host: WasmHost, name: WasmModuleName): Promise<WebAssembly.Module> {
  try {
    return await WebAssembly.compile(await host.loadModule(name));
  } catch (cause) {
    if (cause instanceof BackendError) throw cause;
    throw new BackendError(`the wasm backend cannot compile ${name}.wasm: ${String(cause)}`, { cause });
  }
}
