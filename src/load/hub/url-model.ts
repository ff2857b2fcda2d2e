import { createUrlFolder } from "../url-folder.ts";
import { decodePath } from "./model-location.ts";
import { type OpenedModel, withWeightFile } from "./pull-model.ts";

/** Opens a folder behind a URL, or a weight file in its folder. They are read by ranges and not kept. @throws ConfigError */
export function openUrlModel(url: string, isFile: boolean): OpenedModel {
  if (!isFile) return { folder: createUrlFolder(url), isRemote: true, notes: [] };
  const target = new URL(url);
  const folder = new URL(".", target);
  folder.search = target.search;
  const file = decodePath(target.pathname.split("/").at(-1) ?? "");
  return { folder: withWeightFile(createUrlFolder(folder), file), isRemote: true, notes: [] };
}
