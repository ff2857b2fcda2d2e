import { BackendError, EngineError, ShapeError } from "../../base/errors.ts";
import type { WasmExports } from "./exports.ts";
import type { StartedWorker } from "./host.ts";
import { readThreadFailure } from "./thread-failure.ts";

/** Kernels that run between `beginStep` and the next. */
type StepKernel = Exclude<
  keyof WasmExports,
  "threadScratch" | "startMain" | "stop" | "packRows" | "packedBytes" | "decodeVector" | "readAll" | "matmul"
>;

/** Kernels with the workers that share their jobs. After a trap or a lost worker every call throws a BackendError. */
export class KernelRunner {
  readonly kernels: WasmExports;
  readonly #workers: StartedWorker[] = [];
  #hasBegun = false;
  #isClosed = false;
  readonly #memory: WebAssembly.Memory;
  #failure: unknown;

  constructor(kernels: WasmExports, memory: WebAssembly.Memory) {
    this.kernels = kernels;
    this.#memory = memory;
  }

  get numWorkers(): number {
    return this.#workers.length;
  }

  addWorker(worker: StartedWorker): void {
    worker.onFailure((error) => {
      this.#failure ??= error;
    });
    this.#workers.push(worker);
  }

  /** Kernels of a step may run from now on. */
  begin(): void {
    this.#hasBegun = true;
  }

  /**
   * Runs a kernel of the current step. Takes the arguments one by one: a closure around the call would be garbage in every
   * layer of every step.
   */
  run<K extends StepKernel>(kernel: K, ...args: Parameters<WasmExports[K]>): void {
    if (!this.#hasBegun) throw new ShapeError(`${kernel} was recorded before beginStep`);
    this.checkOpen(kernel);
    try {
      (this.kernels[kernel] as (...args: readonly number[]) => void)(...args);
    } catch (error) {
      this.#failure = error;
      this.checkOpen(kernel);
    }
  }

  /** Runs `work` outside a step; its own errors pass, a trap is a failure of the backend. */
  guard(what: string, work: (kernels: WasmExports) => void): void {
    this.checkOpen(what);
    try {
      work(this.kernels);
    } catch (error) {
      if (error instanceof EngineError) throw error;
      this.#failure = error;
      this.checkOpen(what);
    }
  }

  /** @throws BackendError when the backend is closed or has failed */
  checkOpen(what: string): void {
    if (this.#isClosed) throw new BackendError(`${what}: the wasm backend is closed; open a new one`);
    if (this.#failure === undefined) return;
    const why = readThreadFailure(this.#memory) ?? String(this.#failure);
    throw new BackendError(
      `${what}: the wasm backend failed (${why}); open it again, with threads: 1 if it stays`,
      { cause: this.#failure },
    );
  }

  /** Ends the workers. Calling it twice is allowed. */
  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.kernels.stop();
    await Promise.all(this.#workers.splice(0).map((worker) => worker.terminate()));
  }
}
