import { BackendError } from "../../base/errors.ts";
import { mebibytes } from "../../base/mebibytes.ts";
import type { CacheDtype } from "../backend.ts";
import {
  ALLOWED_ERROR,
  type BackendCandidate,
  type BackendKind,
  type BackendMemory,
  MAX_CONCURRENT,
} from "../backend-kind.ts";
import { decoderBytes } from "../decoder-memory.ts";
import { isSoftwareAdapter } from "../software-adapter.ts";
import type { TuningStore } from "../tuning-store.ts";
import { DEFAULT_CACHE_DTYPE } from "./context.ts";
import { bindingBytes, largestBuffer } from "./device-limits.ts";
import { readKeptTuning, tuningKeyOf } from "./kept-tuning.ts";
import { adapterName, adapterTraits, webGpuFactory } from "./open-webgpu.ts";
import { proposePrefillRows, rowBytes } from "./prefill-rows.ts";
import { WEBGPU_FORMATS } from "./weight-formats.ts";

export interface WebGpuHost {
  /** Opens WebGPU in Node or the browser. @throws BackendError with the reason if it is unavailable */
  readonly openGpu: () => Promise<GPU>;
  /** The GPU that somebody named, for people: number and name. Absent: nobody did. */
  readonly gpuName?: string;
  /** Keeps the sizes of kernels that were chosen on a GPU. Absent: nothing is kept. */
  readonly gpuTunings?: TuningStore;
}

const MEMORY: BackendMemory = {
  weightFormats: WEBGPU_FORMATS,
  cacheDtypes: [DEFAULT_CACHE_DTYPE, "f32", "q8"],
  prefillRows: 1024,
  workBytes: (model, capacity) =>
    decoderBytes(model, capacity) + capacity.maxBatchRows * rowBytes({ ...model, ...capacity }),
};

/** The WebGPU backend on the first adapter for high performance. */
export const WEBGPU: BackendKind<WebGpuHost, { readonly cacheDtype?: CacheDtype }> = {
  name: "webgpu",
  device: "GPU",
  memory: MEMORY,
  probe: async ({ openGpu, gpuName, gpuTunings }, { cacheDtype }) => {
    const gpu = await openGpu();
    const adapter = await gpu.requestAdapter({ powerPreference: "high-performance" });
    if (!adapter)
      throw new BackendError(
        "opening WebGPU: it offers no adapter; check the GPU's driver, or use the wasm backend",
      );
    return webGpuCandidate(adapter, openGpu, {
      ...(cacheDtype !== undefined && { cacheDtype }),
      ...(gpuName !== undefined && { name: gpuName }),
      ...(gpuTunings && { tunings: gpuTunings }),
    });
  },
};

export interface CandidateOptions {
  readonly cacheDtype?: CacheDtype;
  /** Of the card, where it is known; WebGPU describes NVIDIA's by their driver alone. */
  readonly name?: string;
  /** Has the sizes of kernels that were chosen on this GPU, if any were. */
  readonly tunings?: TuningStore;
}

/** Creates the candidate of one adapter, which yields one device. source: the origin of the adapter. */
export function webGpuCandidate(
  adapter: GPUAdapter,
  source: object,
  { cacheDtype = DEFAULT_CACHE_DTYPE, name, tunings }: CandidateOptions = {},
): BackendCandidate {
  const { info, limits } = adapter;
  const called = name === undefined ? {} : { name: `GPU ${name}` };
  const { vendor, architecture, device, description } = info;
  const isRounded = cacheDtype === "f32" && adapterTraits(adapter).subgroupMatrix !== undefined;
  const most = bindingBytes(limits);
  return {
    auto: isSoftwareAdapter(info)
      ? { isWanted: false, why: "the only WebGPU adapter computes on the CPU" }
      : { isWanted: true, why: "a GPU is there" },
    allowedError: ALLOWED_ERROR[isRounded ? "f16" : cacheDtype],
    maxConcurrent: MAX_CONCURRENT.gpu,
    tested: {
      name: called.name ?? adapterName(info),
      source,
      key: [
        vendor,
        architecture,
        device,
        description,
        ...(name === undefined ? [] : [name]),
        cacheDtype,
      ].join("|"),
    },
    memoryLimit: ({ model, kept }) => ({
      isPartial: true,
      fits: (capacity) =>
        largestBuffer({ model, capacity, cacheDtype }).sizeBytes <= most &&
        (kept?.largestBytes(capacity) ?? 0) <= most,
      name: `${mebibytes(most)} that this GPU binds at once (maxStorageBufferBindingSize, maxBufferSize)`,
    }),
    cacheDtype,
    memory: MEMORY,
    prefillRows: ({ model, weightBytes }, maxSequenceLength) =>
      proposePrefillRows({ ...model, maxSequenceLength }, weightBytes, {
        limits,
        isSoftware: isSoftwareAdapter(info),
      }),
    open: async (model, capacity) => {
      const traits = adapterTraits(adapter);
      const tuning = await readKeptTuning(tunings, tuningKeyOf(info, traits), traits);
      return webGpuFactory(adapter, { cacheDtype, ...called, ...(tuning && { tuning }) })(model, capacity);
    },
  };
}
