/** Opens models wherever a page may have them: the one place that turns a text, a URL or files into a folder. */
import { ConfigError, ModelFileError } from "../base/errors.ts";
import type { FileFolder } from "../load/byte-source.ts";
import { createFileListFolder } from "../load/file-list-folder.ts";
import { HubClient } from "../load/hub/hub-client.ts";
import { type HubModel, parseModelLocation, readPath } from "../load/hub/model-location.ts";
import { type OpenedModel, type PullOptions, pullModel } from "../load/hub/pull-model.ts";
import type { RetryOptions } from "../load/hub/retry.ts";
import { openUrlModel } from "../load/hub/url-model.ts";
import { OpfsStore } from "./opfs-store.ts";

/** A folder's URL, a model of the hub, or the files that a person chose. */
export type ModelSource = string | URL | FileList | readonly File[];

export interface OpenModelOptions extends PullOptions {
  readonly hubUrl?: string | URL | undefined;
  readonly hubToken?: string | undefined;
  /** URL that relative URLs mean. Default: the place of the page, or of the worker's script. */
  readonly baseUrl?: string | undefined;
  readonly retry?: RetryOptions;
  /** What a repository of the hub is to have. Default: a model. */
  readonly contents?: HubModel["contents"];
}

/** A browser opens some six connections to a host. */
const CONNECTIONS = 6;

/** @throws ConfigError, ModelFileError, AbortedError */
export async function openModel(
  model: ModelSource | undefined,
  options: OpenModelOptions = {},
): Promise<OpenedModel> {
  if (typeof model === "string" || model instanceof URL) return openText(String(model), options);
  const files = model === undefined ? [] : [...model];
  if (files.length === 0)
    throw new ConfigError(
      "opening a model: expected the URL of a checkpoint's folder, its files (config.json, tokenizer.json, " +
        `*.safetensors) or a model of the hub (org/name), got ${model === undefined ? "nothing" : "an empty list of files"}; ` +
        "name it in `model`",
    );
  return { folder: createFileListFolder(files), notes: [] };
}

/** Opens the folder of a trained gate, or fetches it from the hub. @throws ConfigError, ModelFileError */
export async function openGate(location: string, options: OpenModelOptions): Promise<FileFolder> {
  const isFile = /\.pth$/i.test(location);
  const { folder } = isFile
    ? openUrlModel(absolute(location, options), true)
    : await openModel(location, { ...options, contents: "gate" });
  return folder;
}

async function openText(text: string, options: OpenModelOptions): Promise<OpenedModel> {
  const hubUrl = hubAddress(options.hubUrl);
  const location = parseModelLocation(text, () => hubUrl);
  if (location.kind === "url") return openUrlModel(location.url, location.isFile);
  if (location.kind === "path") return openRelative(text, options);
  const path = readPath(text);
  if (path !== undefined && (await isModelAt(path, options))) return openRelative(path, options);
  const { hubToken: token, retry } = options;
  const fetchUrl = (url: string, init: RequestInit) => globalThis.fetch(url, init);
  const client = new HubClient({ url: hubUrl, token, fetch: fetchUrl, followsRedirects: false, retry });
  try {
    const model = { ...location, contents: options.contents };
    return await pullModel({ client, store: await OpfsStore.open() }, model, {
      connections: CONNECTIONS,
      ...options,
    });
  } catch (error) {
    if (path === undefined || !(error instanceof ModelFileError)) throw error;
    const here = absolute(path, options);
    throw new ModelFileError(
      `${error.message} (${text} was taken as a model of the hub: there is no model at ${here})`,
      {
        cause: error,
      },
    );
  }
}

function hubAddress(url: string | URL = "https://huggingface.co"): string {
  try {
    return new URL(url).href.replace(/\/+$/, "");
  } catch (cause) {
    throw new ConfigError(`opening a model: hubUrl "${String(url)}" is no URL`, { cause });
  }
}

function absolute(url: string, { baseUrl = globalThis.location.href }: OpenModelOptions): string {
  return new URL(url, baseUrl).href;
}

/** Opens a URL that is relative to the page. @throws ConfigError */
function openRelative(text: string, options: OpenModelOptions): OpenedModel {
  if (/\.(gguf|safetensors)$/i.test(text)) return openUrlModel(absolute(text, options), true);
  return openUrlModel(options.baseUrl === undefined ? text : absolute(text, options), false);
}

/** True if the page's own server has a model at a relative URL. It may answer any path with a page. */
async function isModelAt(path: string, options: OpenModelOptions): Promise<boolean> {
  const { folder } = openRelative(path, options);
  const source = await folder.open(folder.weightFile ?? "config.json", options.signal).catch(() => undefined);
  await source?.close?.();
  return source !== undefined;
}
