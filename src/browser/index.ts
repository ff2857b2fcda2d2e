/** `lessismore` in browsers: the public exports, and openers of checkpoints behind URLs or in chosen files. */
import * as v from "valibot";
import { ConfigError } from "../base/errors.ts";
import type { Engine } from "../engine/engine-api.ts";
import type { FileFolder } from "../load/byte-source.ts";
import { createFileListFolder } from "../load/file-list-folder.ts";
import { createUrlFolder } from "../load/url-folder.ts";
import { openEngineWith } from "../open.ts";
import { checkEngineOptions, type EngineOptions } from "../open-options.ts";
import { openNavigatorGpu } from "./gpu.ts";
import { createWasmHost } from "./wasm-host.ts";

export * from "../index.ts";

export interface BrowserEngineOptions extends EngineOptions {
  /** The checkpoint: the URL of its folder, or its files, as a person chose or dropped them. */
  readonly model: string | URL | FileList | readonly File[];
  /**
   * The URL of the folder with the four .wasm files of the package (dist/wasm). Default: beside the package's modules;
   * name it where a bundler does not follow `new URL("…", import.meta.url)`.
   */
  readonly wasmFolder?: string | URL;
}

const isPath = (value: unknown) => typeof value === "string" || value instanceof URL;
const isFileList = (value: unknown) =>
  typeof value === "object" &&
  value !== null &&
  Symbol.iterator in value &&
  [...(value as Iterable<unknown>)].every((file) => file instanceof File);

/** The options of browsers, `model` optional: `folderOf` reports a missing one. */
interface Place {
  readonly model?: BrowserEngineOptions["model"] | undefined;
  readonly wasmFolder?: string | URL | undefined;
}

const PLACE = {
  model: v.optional(
    v.custom<BrowserEngineOptions["model"]>(
      (value) => isPath(value) || isFileList(value),
      "the URL of a checkpoint's folder, or its files",
    ),
  ),
  wasmFolder: v.optional(v.custom<string | URL>(isPath, "the URL of a folder")),
};

/** Opens the checkpoint behind a URL or in files. @throws ConfigError, ModelFileError, BackendError, AbortedError */
export async function openEngine(options: BrowserEngineOptions): Promise<Engine> {
  const { model, wasmFolder, ...rest } = checkEngineOptions<Place>(options, PLACE);
  const wasm = createWasmHost(wasmFolder);
  return openEngineWith({ folder: folderOf(model), wasm, openGpu: openNavigatorGpu }, rest);
}

function folderOf(model: BrowserEngineOptions["model"] | undefined): FileFolder {
  if (typeof model === "string" || model instanceof URL) return createUrlFolder(model);
  const files = model === undefined ? [] : [...model];
  if (files.length === 0)
    throw new ConfigError(
      "opening a model: expected the URL of a checkpoint's folder, or its files (config.json, tokenizer.json, " +
        `*.safetensors), got ${model === undefined ? "nothing" : "an empty list of files"}; name it in \`model\``,
    );
  return createFileListFolder(files);
}
