/** `lessismore` in Node: the public exports, and openers of folders on disk. */
import { existsSync } from "node:fs";
import { cpus } from "node:os";
import { fileURLToPath } from "node:url";
import * as v from "valibot";
import { ModelFileError } from "../base/errors.ts";
import type { Engine } from "../engine/engine-api.ts";
import { type CheckpointReport, type InspectOptions, inspectFolder } from "../inspect.ts";
import { type ExamineOptions, examineMachineWith, type MachineReport } from "../machine/doctor.ts";
import { openEngineWith } from "../open.ts";
import { checkEngineOptions, type EngineOptions } from "../open-options.ts";
import { openDawn } from "./dawn.ts";
import { openFileFolder } from "./file-folder.ts";
import { createWasmHost } from "./wasm-host.ts";

export * from "../index.ts";
export { openFileFolder } from "./file-folder.ts";

/**
 * Opens the checkpoint in a folder; the bundled model if none is named.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export async function openEngine(options: EngineOptions & { readonly model?: string } = {}): Promise<Engine> {
  const { model, ...rest } = checkEngineOptions<{ readonly model?: string | undefined }>(options, {
    model: v.optional(v.string("the path of a checkpoint's folder")),
  });
  const folder = await openFileFolder(model ?? bundledModelFolder());
  return openEngineWith({ folder, wasm: createWasmHost(), openGpu: openDawn }, rest);
}

/** Reports on the checkpoint in a folder; the bundled model if none is named. */
export async function inspectCheckpoint(
  model?: string,
  options: InspectOptions = {},
): Promise<CheckpointReport> {
  return inspectFolder(await openFileFolder(model ?? bundledModelFolder()), options);
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
