/** Chooses and opens a backend. The only place that names concrete ones. */
import type {
  Backend,
  BackendFactory,
  CacheDtype,
  Capacity,
  ModelShape,
  TuningReport,
} from "./backend/backend.ts";
import { cacheBytes, MAX_CACHE_BYTES } from "./backend/reference/memory.ts";
import { createReferenceBackend } from "./backend/reference/reference-backend.ts";
import { isSoftwareAdapter } from "./backend/software-adapter.ts";
import { MAX_BYTES, PAGE_BYTES, workingBytes } from "./backend/wasm/memory-map.ts";
import { type TuningMode, type WasmHost, wasmFactory } from "./backend/wasm/open-wasm.ts";
import { bindingBytes, largestBuffer } from "./backend/webgpu/device-limits.ts";
import { adapterName, adapterTraits, webGpuFactory } from "./backend/webgpu/open-webgpu.ts";
import { proposePrefillRows } from "./backend/webgpu/prefill-rows.ts";
import { BackendError, ConfigError } from "./base/errors.ts";
import { mebibytes } from "./base/mebibytes.ts";
import { fitContext } from "./fit-context.ts";
import {
  ALLOWED_ERROR,
  runSelfTest,
  SELF_TEST_CAPACITY,
  SELF_TEST_MODEL,
  type SelfTest,
} from "./self-test.ts";

export type { TuningMode } from "./backend/wasm/open-wasm.ts";
export { type AdapterReport, reportAdapter } from "./backend/webgpu/adapter-report.ts";

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
  /**
   * How the WASM backend has its choices for the processor, none of which changes a result. "auto", the default: those kept
   * on this machine, else measured in less than half a second and kept; "measure": anew; "default": not measured.
   */
  readonly tuning?: TuningMode;
}

/** What the place the engine runs in gives to backends. */
export interface BackendHost {
  readonly wasm: WasmHost;
  /** WebGPU of this place. @throws BackendError where there is none, with the reason. */
  readonly openGpu: () => Promise<GPU>;
}

/** What the model asks of a backend. */
export interface BackendPlan {
  readonly model: ModelShape;
  readonly capacity: Capacity;
  readonly weightBytes: number;
}

export interface ChosenBackend {
  readonly backend: Backend;
  /** Why this one. */
  readonly why: string;
  /** Why the context is shorter than the plan's, where it is. */
  readonly contextNote?: string | undefined;
  /** What the self-test of the GPU took, when it was run: once in a process. */
  readonly selfTestMs?: number;
}

/** @throws ConfigError on options that cannot be, BackendError when the backend cannot be opened. */
export async function chooseBackend(
  host: BackendHost,
  options: BackendOptions,
  plan: BackendPlan,
): Promise<ChosenBackend> {
  const choice = options.backend ?? "auto";
  const openGpu = (adapter: GPUAdapter, why: string) => openGpuBackend(host, adapter, options, plan, why);
  switch (choice) {
    case "reference":
      return openReference(options, plan);
    case "webgpu":
      return openGpu(await requestAdapter(host), "asked for");
    case "wasm":
      return openCpuBackend(host, options, plan, "asked for");
    case "auto": {
      const { adapter, why } = await chooseForMachine(host);
      return adapter ? openGpu(adapter, why) : openCpuBackend(host, options, plan, why);
    }
    default:
      throw new ConfigError(
        `unknown backend "${String(choice satisfies never)}"; known are auto, webgpu, wasm, reference`,
      );
  }
}

/** What "auto" takes here: the adapter of a real GPU where there is one, the CPU otherwise. */
export async function chooseForMachine(
  host: BackendHost,
): Promise<{ readonly adapter?: GPUAdapter; readonly why: string }> {
  try {
    const adapter = await requestAdapter(host);
    return isSoftwareAdapter(adapter.info)
      ? { why: "auto: the only WebGPU adapter computes on the CPU" }
      : { adapter, why: "auto: a GPU is there" };
  } catch (error) {
    if (error instanceof BackendError) return { why: `auto: no GPU (${error.message})` };
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
  host: BackendHost,
  adapter: GPUAdapter,
  options: BackendOptions,
  plan: BackendPlan,
  why: string,
): Promise<ChosenBackend> {
  const cacheDtype = options.cacheDtype ?? "f16";
  const most = bindingBytes(adapter.limits);
  const limit = {
    fits: (capacity: Capacity) =>
      largestBuffer({ model: plan.model, capacity, cacheDtype }).sizeBytes <= most,
    name: `${mebibytes(most)} that this GPU binds at once (maxStorageBufferBindingSize, maxBufferSize)`,
  };
  const { isSoftware } = adapterTraits(adapter);
  const { maxSequenceLength } = plan.capacity;
  const proposed = proposePrefillRows({ ...plan.model, maxSequenceLength }, plan.weightBytes, {
    limits: adapter.limits,
    isSoftware,
  });
  const wanted = { ...plan.capacity, maxBatchRows: Math.max(plan.capacity.maxBatchRows, proposed) };
  const { capacity, contextNote } = fitContext(wanted, limit, options.contextLength !== undefined);
  const { rows, elapsedMs } = await selfTestGpu(host, adapter.info, cacheDtype);
  const wrong = rows.find(({ isRight }) => !isRight);
  if (wrong)
    throw new BackendError(
      `opening webgpu: the self-test of ${adapterName(adapter.info)} failed at ${wrong.step}: error ${wrong.error}, ` +
        `allowed ${wrong.allowed}; update the GPU's driver, or use the wasm backend (lessismore doctor shows all steps)`,
    );
  const backend = await webGpuFactory(adapter, { cacheDtype })(plan.model, capacity);
  return { backend, why, contextNote, selfTestMs: elapsedMs };
}

/** Self-tests of this process: a GPU does not change while it runs. */
const TESTED = new Map<string, Promise<SelfTest>>();

/** Runs the self-test on a device of its own, once for each GPU and way to store keys and values. */
async function selfTestGpu(
  host: BackendHost,
  { vendor, architecture, device, description }: GPUAdapterInfo,
  cacheDtype: CacheDtype,
): Promise<SelfTest> {
  const key = [vendor, architecture, device, description, cacheDtype].join("|");
  let test = TESTED.get(key);
  if (!test) {
    test = requestAdapter(host).then((adapter) => testAdapter(adapter, cacheDtype));
    TESTED.set(key, test);
    test.catch(() => TESTED.delete(key)); // a device that could not be had may be had the next time
  }
  return test;
}

/** Runs the self-test on an adapter, and uses that up. @throws BackendError when it gives no device. */
export async function testAdapter(adapter: GPUAdapter, cacheDtype: CacheDtype): Promise<SelfTest> {
  const isRounded = cacheDtype === "f16" || adapterTraits(adapter).hasSubgroupMatrices;
  return selfTest(webGpuFactory(adapter, { cacheDtype }), ALLOWED_ERROR[isRounded ? "f16" : "f32"]);
}

/** Runs the self-test on the WASM backend as this machine gets it. @throws BackendError when it cannot be opened. */
export async function testCpu(
  { wasm }: BackendHost,
  tuning: TuningMode = "auto",
): Promise<SelfTest & { readonly tuning?: TuningReport | undefined }> {
  let chosen: TuningReport | undefined;
  const test = await selfTest(async (model, capacity) => {
    const backend = await wasmFactory(wasm, { tuning })(model, capacity);
    chosen = backend.report().tuning;
    return backend;
  }, ALLOWED_ERROR.f32);
  return { ...test, tuning: chosen };
}

async function selfTest(open: BackendFactory, allowed: number): Promise<SelfTest> {
  const started = performance.now();
  const backend = await open(SELF_TEST_MODEL, SELF_TEST_CAPACITY);
  try {
    const reference = await createReferenceBackend(SELF_TEST_MODEL, SELF_TEST_CAPACITY);
    const rows = await runSelfTest(backend, reference, allowed);
    return { rows, elapsedMs: performance.now() - started };
  } finally {
    await backend.close();
  }
}

/** The reference backend with as much context as it may hold. */
async function openReference(options: BackendOptions, plan: BackendPlan): Promise<ChosenBackend> {
  const limit = {
    fits: (capacity: Capacity) => cacheBytes(plan.model, capacity) <= MAX_CACHE_BYTES,
    name: `${mebibytes(MAX_CACHE_BYTES)} of keys and values that the reference backend may hold`,
  };
  const { capacity, contextNote } = fitContext(plan.capacity, limit, options.contextLength !== undefined);
  return { backend: await createReferenceBackend(plan.model, capacity), why: "asked for", contextNote };
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
    fits: (capacity: Capacity) => workingBytes(plan.model, capacity) <= sizeBytes - plan.weightBytes,
    name: `${mebibytes(sizeBytes)} of 32-bit WebAssembly memory, ${mebibytes(plan.weightBytes)} of them weights`,
  };
  const { capacity, contextNote } = fitContext(plan.capacity, limit, options.contextLength !== undefined);
  const { threads, tuning } = options;
  const given = { ...(threads !== undefined && { threads }), ...(tuning !== undefined && { tuning }) };
  return { backend: await wasmFactory(host.wasm, given)(plan.model, capacity), why, contextNote };
}
