import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import type { FileFolder } from "../../load/byte-source.ts";
import { withWeightFile } from "../../load/hub/pull-model.ts";
import { openUrlModel } from "../../load/hub/url-model.ts";
import { openFileFolder } from "../file-folder.ts";
import { openModel } from "./open-model.ts";

/**
 * Opens the folder of a trained gate: a folder, a .safetensors or .pth file, a URL, or a repository of the hub, which is fetched
 * into the cache first.
 * @throws ModelFileError, ConfigError
 */
export async function openGate(location: string): Promise<FileFolder> {
  if (/^https?:\/\/[^?#]+\.pth([?#]|$)/i.test(location)) return openUrlModel(location, true).folder;
  if (/\.pth$/i.test(location) && (await isFile(location)))
    return withWeightFile(await openFileFolder(dirname(location)), basename(location));
  return (await openModel(location, { contents: "gate" })).folder;
}

async function isFile(path: string): Promise<boolean> {
  const info = await stat(path).catch(() => undefined);
  return info?.isFile() ?? false;
}
