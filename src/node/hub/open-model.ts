/** Opens models wherever they are: the one place that turns a text into files. */
import { open, readdir, readlink, stat } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, dirname, join } from "node:path";
import { ConfigError, ModelFileError } from "../../base/errors.ts";
import { describeForeign, describeMagic, HEAD_BYTES } from "../../load/foreign-file.ts";
import { HubClient } from "../../load/hub/hub-client.ts";
import { nearNames } from "../../load/hub/hub-refusal.ts";
import {
  type HubModel,
  LOCATION_FORMS,
  type ModelLocation,
  parseModelLocation,
  readPath,
} from "../../load/hub/model-location.ts";
import {
  type HubPlace,
  type OpenedModel,
  openHeaders,
  type PullOptions,
  pullModel,
  withWeightFile,
} from "../../load/hub/pull-model.ts";
import type { RetryOptions } from "../../load/hub/retry.ts";
import { openUrlModel } from "../../load/hub/url-model.ts";
import { openFileFolder } from "../file-folder.ts";
import { HubCache, readCommit } from "./hub-cache.ts";
import { type Environment, readHubSettings } from "./hub-settings.ts";

export interface OpenModelOptions extends PullOptions {
  /** Read the headers of a model of the hub over HTTP, rather than fetch it. */
  readonly headersOnly?: boolean;
  /** What a repository of the hub is to have. Default: a model. */
  readonly contents?: HubModel["contents"];
  readonly environment?: Environment | undefined;
  readonly retry?: RetryOptions;
}

/**
 * Opens a model by its location; fetches a model of the hub into the cache first. A path that exists wins over a name of
 * the hub.
 * @throws ModelFileError, ConfigError, AbortedError
 */
export async function openModel(text: string, options: OpenModelOptions = {}): Promise<OpenedModel> {
  const settings = readHubSettings(options.environment);
  const parsed = parseModelLocation(text, () => settings.url);
  const location = parsed.kind === "hub" ? { ...parsed, contents: options.contents } : parsed;
  const path = location.kind === "path" ? location.path : readPath(text);
  const opened = path === undefined ? undefined : await openPath(expandHome(path));
  if (opened)
    return location.kind === "path"
      ? opened
      : {
          ...opened,
          takenAs: `${text} was taken as the path here, not as a model of the hub: hf:${text} would be that`,
        };
  if (location.kind === "path") throw nothingThere(text, location);
  if (location.kind === "url") return openUrlModel(location.url, location.isFile);
  const beside = path === undefined ? undefined : await describePlace(expandHome(path));
  // In a folder that is here, the text is most likely a mistyped path.
  const retry = beside?.isFolder ? { ...options.retry, attempts: 1 } : options.retry;
  try {
    return await (options.headersOnly ? openHeaders : pullModel)(createHubPlace(options), location, {
      ...options,
      commitRetry: retry,
    });
  } catch (error) {
    if (beside === undefined || !(error instanceof ModelFileError)) throw error;
    throw new ModelFileError(
      `opening ${text}: here, ${beside.text}; on the hub ${new URL(settings.url).host}: ${error.message}`,
      { cause: error },
    );
  }
}

/** Says that nothing is at a path, with the near names in its folder, if there is such a folder. */
async function describePlace(path: string): Promise<{ readonly isFolder: boolean; readonly text: string }> {
  const [parent, name] = [dirname(path), basename(path)];
  const isFolder = parent !== "." && ((await stat(parent).catch(() => undefined))?.isDirectory() ?? false);
  if (!isFolder) return { isFolder, text: `${path} is neither a folder nor a file` };
  const near = nearNames(name, await readdir(parent).catch((): string[] => []));
  const hint = near.length > 0 ? `; did you mean ${near.map((one) => join(parent, one)).join(" or ")}?` : "";
  return { isFolder, text: `${parent}/ is a folder without ${name}${hint}` };
}

/** The hub and the cache that the environment names. */
export function createHubPlace({
  environment,
  retry,
}: Pick<OpenModelOptions, "environment" | "retry"> = {}): HubPlace {
  const settings = readHubSettings(environment);
  const { cacheFolder, usesLinks, offlineReason } = settings;
  const fetchUrl = (target: string, init: RequestInit) => globalThis.fetch(target, init);
  return {
    store: new HubCache(cacheFolder, { usesLinks }),
    client:
      offlineReason === undefined
        ? new HubClient({
            url: settings.url,
            token: settings.token,
            stallMs: settings.stallMs,
            ...{ fetch: fetchUrl, followsRedirects: true, retry },
          })
        : undefined,
    ...(offlineReason !== undefined && { offlineReason }),
  };
}

/** Reads a text as a model of the hub. @throws ConfigError when it is none, or a file or folder of that name exists. */
export async function readHubModel(
  text: string,
  doing: string,
  environment?: Environment,
): Promise<HubModel> {
  const location = parseModelLocation(text, () => readHubSettings(environment).url);
  const path = readPath(text);
  if (location.kind === "hub" && (path === undefined || !(await infoOf(expandHome(path))))) return location;
  throw new ConfigError(
    `${doing} ${text}: expected a model of the hub (org/name, org/name@revision, org/name/file.gguf, ` +
      `hf:org/name:Q4_K_M), ${location.kind === "hub" ? "and this is a file or folder here: write hf: before it" : "got another location"}`,
  );
}

/** Opens a file or folder; undefined if there is none. @throws ModelFileError when it is neither. */
async function openPath(path: string): Promise<OpenedModel | undefined> {
  const info = await infoOf(path);
  if (!info) return undefined;
  if (info.isFile()) {
    const head = /\.gguf$/i.test(path) ? undefined : await readHead(path, info.size);
    if (head !== undefined && describeMagic(head)?.startsWith("a GGUF file"))
      throw new ModelFileError(
        `opening ${path}: it is a GGUF file under another name; give it a name that ends in .gguf`,
      );
    if (head !== undefined && !/\.safetensors$/i.test(path)) {
      const foreign = describeForeign(head, info.size) ?? "a file that is neither .gguf nor .safetensors";
      throw new ModelFileError(`opening ${path}: it is ${foreign}; expected ${LOCATION_FORMS}`);
    }
    return { folder: withWeightFile(await openFileFolder(dirname(path)), basename(path)), notes: [] };
  }
  const snapshot = await snapshotIn(path);
  return { folder: await openFileFolder(snapshot ?? path), notes: [] };
}

/** The first bytes of a file, by which formats are known. */
async function readHead(path: string, sizeBytes: number): Promise<Uint8Array> {
  const head = new Uint8Array(Math.min(HEAD_BYTES, sizeBytes));
  try {
    const file = await open(path);
    try {
      const { bytesRead } = await file.read(head, 0, head.length, 0);
      return head.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw new ModelFileError(`opening ${path}: ${String(cause)}`, { cause });
  }
}

/** The snapshot of a folder in the form of the hub's cache: of `main`, else the newest. */
async function snapshotIn(path: string): Promise<string | undefined> {
  const entries = await readdir(path).catch((): string[] => []);
  if (!entries.includes("snapshots") || entries.includes("config.json")) return undefined;
  const main = await readCommit(join(path, "refs", "main"));
  if (main !== undefined && (await infoOf(join(path, "snapshots", main))))
    return join(path, "snapshots", main);
  const commits = await readdir(join(path, "snapshots")).catch((): string[] => []);
  const dated = await Promise.all(
    commits.map(async (commit) => {
      const snapshot = join(path, "snapshots", commit);
      return { snapshot, at: (await infoOf(snapshot))?.mtimeMs ?? 0 };
    }),
  );
  return dated.sort((a, b) => b.at - a.at)[0]?.snapshot;
}

function nothingThere(text: string, location: ModelLocation & { readonly kind: "path" }): ModelFileError {
  const isName = /^[\w.-]+$/.test(text) && !/\.(gguf|safetensors)$/i.test(text);
  const hint = isName ? "; a model of the hub is named with its owner, as org/name" : "";
  return new ModelFileError(
    `opening ${location.path}: there is no such folder or file (${text} was taken as a path)${hint}; expected ${LOCATION_FORMS}`,
  );
}

function expandHome(path: string): string {
  return path.replace(/^~(?=$|[\\/])/, () => homedir());
}

async function infoOf(path: string) {
  try {
    return await stat(path);
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && (cause.code === "ENOENT" || cause.code === "ENOTDIR")) {
      const target = await readlink(path).catch(() => undefined);
      if (target === undefined) return undefined;
      throw new ModelFileError(
        `opening ${path}: it is a link to ${target}, which is not there; download the file again, or give the link its target back`,
        { cause },
      );
    }
    throw new ModelFileError(`opening ${path}: ${String(cause)}`, { cause });
  }
}
