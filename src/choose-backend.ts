/** Chooses and opens a backend. The only place that names concrete ones. */
import type { Backend, BackendShape } from "./backend/backend.ts";
import { createReferenceBackend } from "./backend/reference/reference-backend.ts";
import { isSoftwareAdapter } from "./backend/software-adapter.ts";
import { MAX_BYTES, PAGE_BYTES, workingBytes } from "./backend/wasm/memory-map.ts";
import { openWasmBackend, type WasmHost } from "./backend/wasm/open-wasm.ts";
import type { CacheDtype } from "./backend/webgpu/context.ts";
import { bindingBytes, largestBuffer } from "./backend/webgpu/device-limits.ts";
import { openWebGpuBackend } from "./backend/webgpu/open-webgpu.ts";
import { BackendError, ConfigError } from "./base/errors.ts";
import { mebibytes } from "./base/mebibytes.ts";
import { fitContext } from "./fit-context.ts";

export type BackendChoice = "auto" | "webgpu" | "wasm" | "reference";

export interface BackendOptions {
  /** Default "auto": the fastest backend this machine can run. */
  readonly backend?: BackendChoice;
  /** Threads that compute, the caller's included; default: all cores. */
  readonly threads?: number;
  /** Longest sequence, prompt and output together; default: what the model was made for, or what fits in memory. */
  readonly contextLength?: number;
  /** How the WebGPU backend stores keys and values. Default f16. */
  readonly cacheDtype?: CacheDtype;
}

/** What the place the engine runs in gives to backends. */
export interface BackendHost {
  readonly wasm: WasmHost;
  /** WebGPU of this place. @throws BackendError where there is none, with the reason. */
  readonly openGpu: () => Promise<GPU>;
}

/** What the model asks of a backend. */
export interface BackendPlan {
  readonly shape: BackendShape;
  readonly weightBytes: number;
}

export interface ChosenBackend {
  readonly backend: Backend;
  /** Why this one. */
  readonly why: string;
  /** Why the context is shorter than the plan's, where it is. */
  readonly contextNote?: string | undefined;
}

/** More than any machine this runs on has; each takes memory of its own. */
const MAX_THREADS = 256;

/** @throws ConfigError on options that cannot be, BackendError when the backend cannot be opened. */
export async function chooseBackend(
  host: BackendHost,
  options: BackendOptions,
  plan: BackendPlan,
): Promise<ChosenBackend> {
  const { threads } = options;
  if (threads !== undefined && !(Number.isSafeInteger(threads) && threads >= 1 && threads <= MAX_THREADS))
    throw new ConfigError(`threads must be a whole number from 1 to ${MAX_THREADS}, got ${threads}`);
  const choice = options.backend ?? "auto";
  switch (choice) {
    case "reference":
      return { backend: await createReferenceBackend(plan.shape), why: "asked for" };
    case "webgpu":
      return openGpuBackend(await requestAdapter(host), options, plan, "asked for");
    case "wasm":
      return openCpuBackend(host, options, plan, "asked for");
    case "auto": {
      const adapter = await findGpu(host);
      return typeof adapter === "string"
        ? openCpuBackend(host, options, plan, `auto: ${adapter}`)
        : openGpuBackend(adapter, options, plan, "auto: a GPU is there");
    }
    default:
      throw new ConfigError(
        `unknown backend "${String(choice satisfies never)}"; known are auto, webgpu, wasm, reference`,
      );
  }
}

/** The adapter of a real GPU, or why there is none. */
export async function findGpu(host: BackendHost): Promise<GPUAdapter | string> {
  try {
    const adapter = await requestAdapter(host);
    return isSoftwareAdapter(adapter.info) ? "the only WebGPU adapter computes on the CPU" : adapter;
  } catch (error) {
    if (error instanceof BackendError) return `no GPU (${error.message})`;
    throw error;
  }
}

async function requestAdapter(host: BackendHost): Promise<GPUAdapter> {
  const gpu = await host.openGpu();
  const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
  if (!adapter)
    throw new BackendError(
      "opening WebGPU: it offers no adapter; check the GPU's driver, or use the wasm backend",
    );
  return adapter;
}

/** The WebGPU backend with as much context as one binding reaches. Whether all of it fits the GPU shows when it is made. */
async function openGpuBackend(
  adapter: GPUAdapter,
  options: BackendOptions,
  plan: BackendPlan,
  why: string,
): Promise<ChosenBackend> {
  const cacheDtype = options.cacheDtype ?? "f16";
  const most = bindingBytes(adapter.limits);
  const limit = {
    fits: (shape: BackendShape) => largestBuffer(shape, cacheDtype).sizeBytes <= most,
    name: `${mebibytes(most)} that this GPU binds at once (maxStorageBufferBindingSize, maxBufferSize)`,
  };
  const { shape, contextNote } = fitContext(plan.shape, limit, options.contextLength !== undefined);
  return { backend: await openWebGpuBackend(shape, adapter, { cacheDtype }), why, contextNote };
}

/** The WASM backend with as much context as 32-bit memory holds. */
async function openCpuBackend(
  host: BackendHost,
  options: BackendOptions,
  plan: BackendPlan,
  why: string,
): Promise<ChosenBackend> {
  const sizeBytes = MAX_BYTES - PAGE_BYTES;
  const limit = {
    fits: (shape: BackendShape) => workingBytes(shape) <= sizeBytes - plan.weightBytes,
    name: `${mebibytes(sizeBytes)} of 32-bit WebAssembly memory, ${mebibytes(plan.weightBytes)} of them weights`,
  };
  const { shape, contextNote } = fitContext(plan.shape, limit, options.contextLength !== undefined);
  const threads = options.threads === undefined ? {} : { threads: options.threads };
  return { backend: await openWasmBackend(shape, host.wasm, threads), why, contextNote };
}
