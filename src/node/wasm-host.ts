import { readFile } from "node:fs/promises";
import { availableParallelism, totalmem } from "node:os";
import { Worker } from "node:worker_threads";
import type { StartedWorker, WasmHost, WasmModuleName, WorkerData } from "../backend/wasm/host.ts";
import { WORKER_SOURCE } from "../backend/wasm/worker-source.ts";
import { BackendError } from "../base/errors.ts";
import { createTuningStore } from "./tuning-store.ts";

/** The WASM backend's host, and threads of it that wait for a backend. */
export interface NodeWasmHost extends WasmHost {
  /** Ends the threads that no backend took. */
  dismiss(): void;
}

/**
 * The WASM backend's host in Node: files of the package, and worker threads.
 * workersAhead: threads that start at once, beside the reading of a model; a thread takes some 40 ms to start.
 */
export function createWasmHost({ workersAhead = 0 }: { readonly workersAhead?: number } = {}): NodeWasmHost {
  const maxThreads = availableParallelism();
  const waiting: IdleWorker[] = [];
  while (waiting.length < Math.min(workersAhead, maxThreads - 1)) waiting.push(new IdleWorker(WORKER_SOURCE));
  return {
    maxThreads,
    memoryBytes: Math.min(totalmem(), process.constrainedMemory() || Number.POSITIVE_INFINITY),
    loadModule,
    tuningStore: createTuningStore(),
    startWorker: (source, data) =>
      ((source === WORKER_SOURCE ? waiting.pop() : undefined) ?? new IdleWorker(source)).start(data),
    dismiss: () => {
      for (const worker of waiting.splice(0)) void worker.terminate();
    },
  };
}

/** A thread that waits for its data. */
class IdleWorker implements StartedWorker {
  readonly #worker: Worker;
  readonly #failed: Promise<unknown>;

  constructor(source: string) {
    this.#worker = new Worker(source, { eval: true });
    // An open backend alone does not keep a process alive.
    this.#worker.unref();
    this.#failed = new Promise((resolve) => this.#worker.once("error", resolve));
  }

  start(data: WorkerData): StartedWorker {
    this.#worker.postMessage(data);
    return this;
  }

  onFailure(callback: (error: unknown) => void): void {
    void this.#failed.then(callback);
  }

  async terminate(): Promise<void> {
    await this.#worker.terminate();
  }
}

/** Reads wasm/NAME.wasm of the checkout, or dist/wasm/NAME.wasm from the compiled files. */
async function loadModule(name: WasmModuleName): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(new URL(`../../wasm/${name}.wasm`, import.meta.url)));
  } catch (cause) {
    throw new BackendError(
      `the kernels wasm/${name}.wasm are missing; install the package anew, or run \`npm run setup\` in a checkout`,
      { cause },
    );
  }
}
