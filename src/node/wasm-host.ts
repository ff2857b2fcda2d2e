import { readFile } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { Worker } from "node:worker_threads";
import type { WasmHost, WasmModuleName } from "../backend/wasm/open-wasm.ts";
import { BackendError } from "../base/errors.ts";
import { createTuningStore } from "./tuning-store.ts";

/** The WASM backend's host in Node: files of the package, and worker threads. */
export function createWasmHost(): WasmHost {
  return {
    maxThreads: availableParallelism(),
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
    loadModule,
    tuningStore: createTuningStore(),
    startWorker: (source, data) => {
      const worker = new Worker(source, { eval: true, workerData: data });
      // An open backend alone does not keep a process alive.
      worker.unref();
      return {
        onFailure: (callback) => {
          worker.once("error", callback);
        },
        terminate: async () => {
          await worker.terminate();
        },
      };
    },
  };
}

/** Reads wasm/NAME.wasm of the checkout, or dist/wasm/NAME.wasm from the compiled files. */
async function loadModule(name: WasmModuleName): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(new URL(`../../wasm/${name}.wasm`, import.meta.url)));
  } catch (cause) {
    throw new BackendError(`the kernels wasm/${name}.wasm are missing; run \`npm run setup\``, { cause });
  }
}
