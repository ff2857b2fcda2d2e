/** Opens an engine in Node: files of the disk and of the hub's cache, threads, Dawn. */
import { existsSync } from "node:fs";
import { availableParallelism } from "node:os";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { ConfigError, ModelFileError } from "../base/errors.ts";
import type { LoadedEngine } from "../engine/engine-api.ts";
import type { OpenedModel } from "../load/hub/pull-model.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import type { BackendChoice, WebGpuHost } from "../machine/backends.ts";
import { type EngineHost, openEngineWith } from "../open.ts";
import { checkEngineOptions, type EngineOptions } from "../open-options.ts";
import { withStoredCalibration } from "./calibration-store.ts";
import { lacksDriver, openDawn } from "./dawn.ts";
import { openFileFolder } from "./file-folder.ts";
import { type FoundGpu, findGpu } from "./gpu-list.ts";
import { openGate } from "./hub/open-gate.ts";
import { type OpenModelOptions, openModel } from "./hub/open-model.ts";
import { createTuningStore } from "./tuning-store.ts";
import { createWasmHost } from "./wasm-host.ts";

export interface NodeEngineOptions extends EngineOptions {
  /**
   * The model: a folder, a .gguf or .safetensors file, a URL, or a model of the Hugging Face hub, which is fetched into the
   * cache of Python's huggingface_hub first: `org/name`, `org/name@revision`, `org/name/file.gguf`, `hf:org/name:Q4_K_M`.
   * Default: the bundled model.
   */
  readonly model?: string;
  /** Receives the progress of a download, some ten times a second. */
  readonly onDownload?: (progress: DownloadProgress) => void;
  /**
   * The GPU to compute on: its number, its name or a part of it, as `examineMachine` and `lessismore doctor` list them. It makes
   * the backend webgpu. Default: the first for high performance.
   */
  readonly device?: number | string;
}

/** Options that Node adds. */
export interface NodePlace {
  readonly model?: string | undefined;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
  readonly device?: number | string | undefined;
}

export const NODE_OPTIONS = {
  model: v.optional(v.string("a folder, a file, a URL, or a model of the hub (org/name)")),
  onDownload: v.optional(
    v.custom<(progress: DownloadProgress) => void>((value) => typeof value === "function", "a function"),
  ),
  device: v.optional(v.union([v.number(), v.string()], "the number or the name of a GPU")),
};

/** What a worker and benchmarks ask beside the options. */
export type OpeningHooks = Pick<EngineHost, "onTokenizer" | "onComponents">;

/**
 * Opens a model, and fetches it first where it must be; the bundled model if none is named.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export async function openEngineWithHooks(
  options: NodeEngineOptions,
  hooks: OpeningHooks,
): Promise<LoadedEngine> {
  const { model, onDownload, device, ...place } = checkEngineOptions<NodePlace>(options, NODE_OPTIONS);
  const gpu = device === undefined ? undefined : await gpuFor(device, place.backend);
  const rest = gpu ? { ...place, backend: "webgpu" as const } : place;
  const opened = await openNamed(model, { onDownload, signal: rest.signal });
  const { folder, notes } = opened;
  const { backend = "auto", threads = availableParallelism() } = rest;
  const isOnCpu = backend === "wasm" || (backend === "auto" && lacksDriver());
  const wasm = createWasmHost({ workersAhead: isOnCpu ? threads - 1 : 0 });
  try {
    return await named(opened, () =>
      openEngineWith({ ...hooks, folder, openGate, notes, wasm, ...hostOf(gpu) }, rest),
    );
  } finally {
    wasm.dismiss();
  }
}

/** The GPU that an option names. @throws ConfigError, BackendError */
export async function gpuFor(device: number | string, backend: BackendChoice = "auto"): Promise<FoundGpu> {
  if (backend === "auto" || backend === "webgpu") return findGpu(device);
  throw new ConfigError(
    `openEngine: device names a GPU (${JSON.stringify(device)}), and backend asks for ${backend}, which computes on the CPU; leave one of them out`,
  );
}

/** How WebGPU is opened: on the GPU that was named, or as Dawn chooses. */
export function hostOf(gpu: FoundGpu | undefined): WebGpuHost {
  const gpuTunings = createTuningStore();
  return gpu ? { openGpu: gpu.open, gpuName: gpu.label, gpuTunings } : { openGpu: openDawn, gpuTunings };
}

/** Opens the folder of a model by its name; of the bundled model if none is named. */
export async function openNamed(model: string | undefined, options: OpenModelOptions): Promise<OpenedModel> {
  if (model !== undefined) return withStoredCalibration(await openModel(model, options));
  return withStoredCalibration({ folder: await openFileFolder(bundledModelFolder()), notes: [] });
}

/** Adds to an error about a model's files which of two readings of its name was taken. */
export async function named<T>({ takenAs }: OpenedModel, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (takenAs === undefined || !(error instanceof ModelFileError)) throw error;
    throw new ModelFileError(`${error.message} (${takenAs})`, { cause: error });
  }
}

/** The folder of the model that comes with the package. */
export function bundledModelFolder(): string {
  // The package's root is two levels above src/node/, three above dist/src/node/.
  for (const up of ["../../", "../../../"]) {
    const path = fileURLToPath(new URL(`${up}models/pico-reasoner`, import.meta.url));
    if (existsSync(path)) return path;
  }
  throw new ModelFileError(
    "the bundled model models/pico-reasoner is not beside this installation; name a model folder",
  );
}
