/** `lessismore` in Node: the public exports, and openers of folders on disk. */
import { cpus } from "node:os";
import { ModelFileError } from "../base/errors.ts";
import type { Engine } from "../engine/engine-api.ts";
import { ReopeningEngine } from "../engine/reopening-engine.ts";
import { type CheckpointReport, type InspectOptions, inspectFolder } from "../inspect.ts";
import { openCheckpoint } from "../load/checkpoint.ts";
import type { Tokenizer } from "../load/tokenizer.ts";
import {
  type ExamineOptions,
  examineMachineWith,
  type GpuToExamine,
  type MachineReport,
} from "../machine/doctor.ts";
import { fitFolder, type ModelFit } from "../model-fits.ts";
import { findGpu, type ListedGpu, listGpus, openable, openerOf } from "./gpu-list.ts";
import { hostOf, type NodeEngineOptions, named, openEngineWithHooks, openNamed } from "./open-engine.ts";
import { createWasmHost } from "./wasm-host.ts";

export * from "../index.ts";
export type { ModelFit } from "../model-fits.ts";
export { type CalibratedCheckpoint, storeCalibration } from "./calibration-store.ts";
export { openFileFolder } from "./file-folder.ts";
export { examineApart, type ListedGpu, listGpus, rerunForGpu } from "./gpu-list.ts";
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

/**
 * Fits a model into each backend of this machine from its headers; nothing else is fetched or loaded. device: the GPU, as
 * `openEngine` takes it.
 */
export async function fitCheckpoint(
  model?: string,
  {
    device,
    ...options
  }: { readonly contextLength?: number | undefined; readonly device?: number | string | undefined } = {},
): Promise<readonly ModelFit[]> {
  const gpu = device === undefined ? undefined : await findGpu(device);
  const opened = await openNamed(model, { headersOnly: true });
  return named(opened, () =>
    fitFolder({ folder: opened.folder, wasm: createWasmHost(), ...hostOf(gpu) }, options),
  );
}

/** Examines this machine: its processors, and whether they compute correctly. device: one GPU, in place of all. */
export async function examineMachine({
  device,
  ...options
}: ExamineOptions & { readonly device?: number | string | undefined } = {}): Promise<
  MachineReport & { readonly node: string; readonly platform: string; readonly cpu: string }
> {
  const gpu = device === undefined ? undefined : await findGpu(device);
  return {
    node: process.version,
    platform: `${process.platform}-${process.arch}`,
    cpu: cpus()[0]?.model.trim() ?? "unknown",
    ...(await examineMachineWith(
      { wasm: createWasmHost(), ...hostOf(gpu) },
      { ...options, listGpus: async () => (gpu ? [gpu] : examinable(await listGpus())) },
    )),
  };
}

/**
 * The listed GPUs for the doctor. Of equal cards this process opens one, and cannot tell which: `doctor` of the command line
 * examines each in a process of its own.
 */
function examinable(gpus: readonly ListedGpu[]): readonly GpuToExamine[] {
  const isAlone = ({ hide, problem }: ListedGpu) => hide === undefined && problem === undefined;
  const equal = new Set(gpus.filter((gpu) => !isAlone(gpu)).map(({ model }) => model));
  return [
    ...gpus.map((gpu) => (isAlone(gpu) ? openable(gpu) : { ...gpu, problem: gpu.problem ?? HAS_EQUALS })),
    ...[...equal].map((model) => ({ name: `${model}, one of several`, open: openerOf(model) })),
  ];
}

const HAS_EQUALS = "it has an equal, from which only a process that sees it alone can tell it (--device)";
