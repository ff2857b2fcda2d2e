/** `lessismore` in Node: the public exports, and openers of folders on disk. */
import { cpus } from "node:os";
import { ModelFileError } from "../base/errors.ts";
import type { Engine } from "../engine/engine-api.ts";
import { ReopeningEngine } from "../engine/reopening-engine.ts";
import { type CheckpointReport, type InspectOptions, inspectFolder } from "../inspect.ts";
import { openCheckpoint } from "../load/checkpoint.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import { type ExamineOptions, examineMachineWith, type MachineReport } from "../machine/doctor.ts";
import { fitFolder, type ModelFit } from "../model-fits.ts";
import { openDawn } from "./dawn.ts";
import { type NodeEngineOptions, named, openEngineWithHooks, openNamed } from "./open-engine.ts";
import { createWasmHost } from "./wasm-host.ts";

export * from "../index.ts";
export type { ModelFit } from "../model-fits.ts";
export { type CalibratedCheckpoint, storeCalibration } from "./calibration-store.ts";
export { openFileFolder } from "./file-folder.ts";
export type { CachedModel, CachedRevision, Removal } from "./hub/cached-models.ts";
export { type PullDatasetOptions, type PulledDataset, pullDataset } from "./hub/datasets.ts";
export { type KernelLock, type LockOptions, takeKernelLock } from "./hub/kernel-lock.ts";
export { listModels, type PulledModel, pullModel, removeModel } from "./hub/models.ts";
export { bundledModelFolder, type NodeEngineOptions } from "./open-engine.ts";
export { type LoadedPolicy, loadPolicyFile, namesPolicyFile, splitPolicyFile } from "./policy-file.ts";

/**
 * Opens a model, and fetches it first where it must be; the bundled model if none is named.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export function openEngine(options: NodeEngineOptions = {}): Promise<Engine> {
  return ReopeningEngine.start(options, (given) => openEngineWithHooks(given, {}));
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

/**
 * Opens the tokenizer of a model; of the bundled model if none is named. Of a model that is not on this machine it reads what
 * stands before the weights.
 * @throws ModelFileError, ConfigError
 */
export async function openTokenizer(model?: string): Promise<Tokenizer> {
  const opened = await openNamed(model, { headersOnly: true });
  const checkpoint = await named(opened, () => openCheckpoint(opened.folder));
  const { tokenizer } = checkpoint;
  await checkpoint.close();
  if (tokenizer !== undefined) return tokenizer;
  throw new ModelFileError(
    `opening the tokenizer of ${model ?? "the bundled model"}: it has none that can be read; name another model`,
  );
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
