/** `lessismore` in browsers: the public exports, and opening of checkpoints behind URLs or in chosen files. */
import * as v from "valibot";
import { ConfigError } from "../base/errors.ts";
import type { FileFolder } from "../load/byte-source.ts";
import { createFileListFolder } from "../load/file-list-folder.ts";
import { createUrlFolder } from "../load/url-folder.ts";
import { type Engine, type EngineOptions, openEngineWith } from "../open.ts";
import { checkEngineOptions } from "../open-options.ts";
import { openNavigatorGpu } from "./gpu.ts";
import { createWasmHost } from "./wasm-host.ts";

export * from "../index.ts";
export { createFileListFolder } from "../load/file-list-folder.ts";
export { createUrlFolder } from "../load/url-folder.ts";

export interface BrowserEngineOptions extends EngineOptions {
  /** The checkpoint: the URL of its folder, or the files of it that a person chose or dropped. */
  readonly model: string | URL | FileList | readonly File[];
  /**
   * The URL of the folder with the four .wasm files of the package (dist/wasm). Default: beside the package's modules;
   * name it where a bundler does not follow `new URL("…", import.meta.url)`.
   */
  readonly wasmFolder?: string | URL;
}

/** Opens the checkpoint behind a URL or in files. @throws ConfigError, ModelFileError, BackendError, AbortedError */
export async function openEngine(options: BrowserEngineOptions): Promise<Engine> {
  // folderOf and createWasmHost judge the two places
  checkEngineOptions(options, { model: v.optional(v.any()), wasmFolder: v.optional(v.any()) });
  const { model, wasmFolder, ...rest } = options;
  const wasm = createWasmHost(wasmFolder);
  return openEngineWith({ folder: folderOf(model), wasm, openGpu: openNavigatorGpu }, rest);
}

function folderOf(model: BrowserEngineOptions["model"] | undefined): FileFolder {
  if (typeof model === "string" || model instanceof URL) return urlFolder(model);
  const files = model === undefined ? [] : [...model];
  if (files.length === 0)
    throw new ConfigError(
      "opening a model: expected the URL of a checkpoint's folder, or its files (config.json, tokenizer.json, " +
        `*.safetensors), got ${model === undefined ? "nothing" : "an empty list of files"}; name it in \`model\``,
    );
  return createFileListFolder(files);
}

function urlFolder(url: string | URL): FileFolder {
  try {
    return createUrlFolder(url);
  } catch (cause) {
    throw new ConfigError(`opening a model: "${url}" is no URL; name the URL of a checkpoint's folder`, {
      cause,
    });
  }
}
