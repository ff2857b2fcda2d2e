/** The backends of a machine, one row each. No other file of the core names a concrete backend. */
import type { BackendName, CacheDtype } from "../backend/backend.ts";
import type { BackendKind } from "../backend/backend-kind.ts";
import { REFERENCE } from "../backend/reference/reference-kind.ts";
import type { WasmHost } from "../backend/wasm/host.ts";
import type { TuningMode } from "../backend/wasm/tuning.ts";
import { WASM } from "../backend/wasm/wasm-kind.ts";
import { WEBGPU, type WebGpuHost } from "../backend/webgpu/webgpu-kind.ts";

export { createReferenceBackend } from "../backend/reference/reference-backend.ts";
export type { TuningMode } from "../backend/wasm/tuning.ts";
export { type AdapterReport, reportAdapter } from "../backend/webgpu/adapter-report.ts";
export { keepTuning, tuningKeyOf } from "../backend/webgpu/kept-tuning.ts";
export {
  adapterTraits,
  requestWebGpuDevice,
  type WebGpuOptions,
  webGpuFactory,
} from "../backend/webgpu/open-webgpu.ts";
export { choicesOf, TUNED_WORKS, type TunedWork, tunedSizesOf } from "../backend/webgpu/tuned-sizes.ts";
export { type Tuning, tuningFor } from "../backend/webgpu/tuning.ts";
export { type WebGpuHost, webGpuCandidate } from "../backend/webgpu/webgpu-kind.ts";
export { WASM };

/** Values of the option `backend`. */
export const BACKEND_CHOICES = ["auto", "webgpu", "wasm", "reference"] as const satisfies readonly (
  | "auto"
  | BackendName
)[];

/** Name of a backend, or "auto". */
export type BackendChoice = (typeof BACKEND_CHOICES)[number];

/** Where an engine computes, and the memory that it may take. */
export interface BackendOptions {
  /** Default "auto": the fastest backend this machine can run. */
  readonly backend?: BackendChoice;
  /** Threads that compute, the caller's included. Default: all cores. */
  readonly threads?: number;
  /** Longest sequence, prompt and output together. Default: the model's context, or as much of it as memory holds. */
  readonly contextLength?: number;
  /**
   * Storage type of keys and values. Default f16 on WebGPU, f32 on a CPU, where WASM keeps f16 in f32 as well. q8: int8 with a scale
   * for each token and head, half of f16; it rounds, and selections and answers may differ.
   */
  readonly cacheDtype?: CacheDtype;
  /**
   * Source of the WASM backend's tuning choices, which change no result. "auto", the default: choices
   * kept on this machine, else measured in less than half a second and kept; "measure": anew; "default": not measured.
   */
  readonly tuning?: TuningMode;
}

/** Means of a runtime environment for backends. */
export interface BackendHost extends WebGpuHost {
  readonly wasm: WasmHost;
}

/** Fastest first: "auto" takes the first that this machine has and that is wanted there. */
export const BACKENDS: readonly BackendKind<BackendHost, BackendOptions>[] = [WEBGPU, WASM, REFERENCE];
