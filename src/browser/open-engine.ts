/** Opens an engine in a browser: URLs, chosen files, and the page's own files of the hub. */
import * as v from "valibot";
import type { LoadedEngine } from "../engine/engine-api.ts";
import type { DownloadProgress } from "../load/hub/transfer-rate.ts";
import { type EngineHost, openEngineWith } from "../open.ts";
import { checkEngineOptions, type EngineOptions } from "../open-options.ts";
import { openNavigatorGpu } from "./gpu.ts";
import { type ModelSource, openGate, openModel } from "./open-model.ts";
import { createWasmHost } from "./wasm-host.ts";

export interface BrowserEngineOptions extends EngineOptions {
  /**
   * The model: the URL of a folder or a .gguf file, files that a person chose or dropped, or a model of the Hugging Face hub,
   * which is fetched into the page's private files first: `org/name`, `org/name@revision`, `org/name/file.gguf`,
   * `hf:org/name:Q4_K_M`. A relative URL behind which there is a model wins over a name of the hub.
   */
  readonly model: ModelSource;
  /** Receives the progress of a download, some ten times a second. */
  readonly onDownload?: (progress: DownloadProgress) => void;
  /** The hub's address. Default: https://huggingface.co. */
  readonly hubUrl?: string | URL;
  /** The token for gated models. It goes to the hub's own host only. */
  readonly hubToken?: string;
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

/** The options of browsers, `model` optional: `openModel` reports a missing one. */
export type BrowserPlace = {
  readonly [Key in "model" | "onDownload" | "hubUrl" | "hubToken" | "wasmFolder"]?:
    | BrowserEngineOptions[Key]
    | undefined;
};

export const BROWSER_OPTIONS = {
  model: v.optional(
    v.custom<ModelSource>(
      (value) => isPath(value) || isFileList(value),
      "the URL of a checkpoint's folder, its files, or a model of the hub (org/name)",
    ),
  ),
  onDownload: v.optional(
    v.custom<(progress: DownloadProgress) => void>((value) => typeof value === "function", "a function"),
  ),
  hubUrl: v.optional(v.custom<string | URL>(isPath, "the URL of a hub")),
  hubToken: v.optional(v.string("a token")),
  wasmFolder: v.optional(v.custom<string | URL>(isPath, "the URL of a folder")),
};

/** What a worker asks beside the options. */
export interface OpeningHooks extends Pick<EngineHost, "onTokenizer"> {
  /** URL that relative URLs mean. Default: the place of the page, or of the worker's script. */
  readonly baseUrl?: string | undefined;
}

/**
 * Opens a model, and fetches it first where it must be.
 * @throws ConfigError, ModelFileError, BackendError, AbortedError
 */
export async function openEngineWithHooks(
  options: BrowserEngineOptions,
  { baseUrl, ...hooks }: OpeningHooks,
): Promise<LoadedEngine> {
  const { model, wasmFolder, hubUrl, hubToken, onDownload, ...rest } = checkEngineOptions<BrowserPlace>(
    options,
    BROWSER_OPTIONS,
  );
  const wasm = createWasmHost(wasmFolder);
  const place = { hubUrl, hubToken, baseUrl };
  const { folder, notes } = await openModel(model, { ...place, onDownload, signal: rest.signal });
  const { tuningStore: gpuTunings } = wasm;
  return openEngineWith(
    {
      ...{ ...hooks, folder, notes, wasm, openGpu: openNavigatorGpu },
      ...(gpuTunings && { gpuTunings }),
      openGate: (location) => openGate(location, place),
    },
    rest,
  );
}
