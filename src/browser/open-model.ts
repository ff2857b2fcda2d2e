/** Opens models wherever a page may have them: the one place that turns a text, a URL or files into a folder. */
import { ConfigError, ModelFileError } from "../base/errors.ts";
import { createFileListFolder } from "../load/file-list-folder.ts";
import { HubClient } from "../load/hub/hub-client.ts";
import { parseModelLocation, readPath } from "../load/hub/model-location.ts";
import { type OpenedModel, type PullOptions, pullModel } from "../load/hub/pull-model.ts";
import type { RetryOptions } from "../load/hub/retry.ts";
import { openUrlModel } from "../load/hub/url-model.ts";
import { OpfsStore } from "./opfs-store.ts";

export type ModelSource = string | URL | FileList | readonly File[];

export interface OpenModelOptions extends PullOptions {
  readonly hubUrl?: string | URL | undefined;
  readonly hubToken?: string | undefined;
  readonly retry?: RetryOptions;
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

async function openText(text: string, options: OpenModelOptions): Promise<OpenedModel> {
  const hubUrl = hubAddress(options.hubUrl);
  const location = parseModelLocation(text, () => hubUrl);
  if (location.kind === "url") return openUrlModel(location.url, location.isFile);
  if (location.kind === "path") return openRelative(text);
  const path = readPath(text);
  if (path !== undefined && (await isModelAt(path, options.signal))) return openRelative(path);
  const { hubToken: token, retry } = options;
  const fetchUrl = (url: string, init: RequestInit) => globalThis.fetch(url, init);
  const client = new HubClient({ url: hubUrl, token, fetch: fetchUrl, followsRedirects: false, retry });
  try {
    return await pullModel({ client, store: await OpfsStore.open() }, location, {
      connections: CONNECTIONS,
      ...options,
    });
  } catch (error) {
    if (path === undefined || !(error instanceof ModelFileError)) throw error;
    const here = new URL(path, globalThis.location.href).href;
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

/** Opens a URL that is relative to the page. @throws ConfigError */
function openRelative(text: string): OpenedModel {
  const { folder, ...rest } = openUrlModel(text, false);
  if (!/\.(gguf|safetensors)$/i.test(text)) return { folder, ...rest };
  return openUrlModel(new URL(text, globalThis.location.href).href, true);
}

/** True if the page's own server has a model at a relative URL. It may answer any path with a page. */
async function isModelAt(path: string, signal: AbortSignal | undefined): Promise<boolean> {
  const { folder } = openRelative(path);
  const source = await folder.open(folder.weightFile ?? "config.json", signal).catch(() => undefined);
  await source?.close?.();
  return source !== undefined;
}
