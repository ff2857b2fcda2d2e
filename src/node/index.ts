/** `lessismore` in Node: the public exports, and openers of folders on disk. */
import { existsSync } from "node:fs";
import { availableParallelism, cpus } from "node:os";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { ModelFileError } from "../base/errors.ts";
import type { Engine } from "../engine/engine-api.ts";
import { type CheckpointReport, type InspectOptions, inspectFolder } from "../inspect.ts";
import type { OpenedModel } from "../load/hub/pull-model.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import { type ExamineOptions, examineMachineWith, type MachineReport } from "../machine/doctor.ts";
import { fitFolder, type ModelFit } from "../model-fits.ts";
import { openEngineWith } from "../open.ts";
import { checkEngineOptions, type EngineOptions } from "../open-options.ts";
import { lacksDriver, openDawn } from "./dawn.ts";
import { openFileFolder } from "./file-folder.ts";
import { type OpenModelOptions, openModel } from "./hub/open-model.ts";
import { createWasmHost } from "./wasm-host.ts";

export * from "../index.ts";
export type { ModelFit } from "../model-fits.ts";
export { openFileFolder } from "./file-folder.ts";
export type { CachedModel, CachedRevision, Removal } from "./hub/cached-models.ts";
export { listModels, type PulledModel, pullModel, removeModel } from "./hub/models.ts";

export interface NodeEngineOptions extends EngineOptions {
  /**
   * The model: a folder, a .gguf or .safetensors file, a URL, or a model of the Hugging Face hub, which is fetched into the
   * cache of Python's huggingface_hub first: `org/name`, `org/name@revision`, `org/name/file.gguf`, `hf:org/name:Q4_K_M`.
   * Default: the bundled model.
   */
  readonly model?: string;
  /** Receives the progress of a download, some ten times a second. */
  readonly onDownload?: (progress: DownloadProgress) => void;
}

/** Options that Node adds. */
interface Place {
  readonly model?: string | undefined;
  readonly onDownload?: ((progress: DownloadProgress) => void) | undefined;
}

const PLACE = {
  model: v.optional(v.string("a folder, a file, a URL, or a model of the hub (org/name)")),
  onDownload: v.optional(
    v.custom<(progress: DownloadProgress) => void>((value) => typeof value === "function", "a function"),
  ),
};

/**
 * Opens a model, and fetches it first where it must be; the bundled model if none is named.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export async function openEngine(options: NodeEngineOptions = {}): Promise<Engine> {
  const { model, onDownload, ...rest } = checkEngineOptions<Place>(options, PLACE);
  const opened = await openNamed(model, { onDownload, signal: rest.signal });
  const { folder, notes } = opened;
  const { backend = "auto", threads = availableParallelism() } = rest;
  const isOnCpu = backend === "wasm" || (backend === "auto" && lacksDriver());
  const wasm = createWasmHost({ workersAhead: isOnCpu ? threads - 1 : 0 });
  try {
    return await named(opened, () => openEngineWith({ folder, notes, wasm, openGpu: openDawn }, rest));
  } finally {
    wasm.dismiss();
  }
}

/**
 * Reports on a model; the bundled model if none is named. Of a model of the hub that is not in the cache, and of one behind
 * a URL, it reads the headers only.
 * @throws ModelFileError, ConfigError
 */
export async function inspectCheckpoint(
  model?: string,
  options: InspectOptions = {},
): Promise<CheckpointReport> {
  const opened = await openNamed(model, { headersOnly: true });
  const isScanLeftOut = opened.isRemote === true && options.scanWeights === true;
  const scan = isScanLeftOut ? { scanWeights: false } : {};
  const report = await named(opened, () => inspectFolder(opened.folder, { ...options, ...scan }));
  const leftOut =
    "the weights are not on this machine, so they were not searched for values that are not finite";
  return { ...report, notes: [...opened.notes, ...(isScanLeftOut ? [leftOut] : []), ...report.notes] };
}

async function openNamed(model: string | undefined, options: OpenModelOptions): Promise<OpenedModel> {
  if (model !== undefined) return openModel(model, options);
  return { folder: await openFileFolder(bundledModelFolder()), notes: [] };
}

/** Adds to an error about a model's files which of two readings of its name was taken. */
async function named<T>({ takenAs }: OpenedModel, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (takenAs === undefined || !(error instanceof ModelFileError)) throw error;
    throw new ModelFileError(`${error.message} (${takenAs})`, { cause: error });
  }
}

/** Fits a model into each backend of this machine from its headers; nothing else is fetched or loaded. */
export async function fitCheckpoint(
  model?: string,
  options: { readonly contextLength?: number | undefined } = {},
): Promise<readonly ModelFit[]> {
  const opened = await openNamed(model, { headersOnly: true });
  return named(opened, () =>
    fitFolder({ folder: opened.folder, wasm: createWasmHost(), openGpu: openDawn }, options),
  );
}

/** Examines this machine: its processors, and whether they compute correctly. */
export async function examineMachine(
  options: ExamineOptions = {},
): Promise<MachineReport & { readonly node: string; readonly platform: string; readonly cpu: string }> {
  return {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    ...(await examineMachineWith({ wasm: createWasmHost(), openGpu: openDawn }, options)),
  };
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
