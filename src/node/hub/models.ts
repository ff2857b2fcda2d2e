/** The cache as people use it: fetch, list, remove. */

import { ConfigError, ModelFileError } from "../../base/errors.ts";
import { formatHubModel } from "../../load/hub/model-location.ts";
import { type PullOptions, pullModel as pullInto } from "../../load/hub/pull-model.ts";
import { type CachedModel, listCache, type Removal, removeFromCache } from "./cached-models.ts";
import { readHubSettings } from "./hub-settings.ts";
import { createHubPlace, readHubModel } from "./open-model.ts";

/** A model that is in the cache, whole. */
export interface PulledModel {
  readonly name: string;
  /** The folder of its files. */
  readonly path: string;
  /** The weight file in it that was named. */
  readonly file?: string;
  readonly notes: readonly string[];
}

/**
 * Fetches a model of the hub into the cache: the files that the engine needs, those that are not there yet. A cut download
 * goes on where it ended.
 * @throws ConfigError, ModelFileError, AbortedError
 */
export async function pullModel(
  model: string,
  { signal, onDownload }: Pick<PullOptions, "signal" | "onDownload"> = {},
): Promise<PulledModel> {
  const named = await readHubModel(model, "pulling");
  const place = createHubPlace();
  if (!place.client)
    throw new ModelFileError(
      `pulling ${model}: the hub is not asked, because ${place.offlineReason}; unset it`,
    );
  const { folder, notes } = await pullInto(place, named, { signal, onDownload, isThorough: true });
  const { weightFile } = folder;
  return {
    name: formatHubModel(named),
    path: folder.name,
    notes,
    ...(weightFile !== undefined && { file: weightFile }),
  };
}

/** Lists the models in the cache, those that Python's library fetched too. */
export async function listModels(): Promise<readonly CachedModel[]> {
  return listCache(readHubSettings().cacheFolder);
}

/** Removes a model from the cache, or one revision of it: `org/name`, `org/name@revision`. @throws ConfigError, ModelFileError */
export async function removeModel(model: string): Promise<Removal> {
  const { repo, revision, file, quant } = await readHubModel(model, "removing");
  if (file !== undefined || quant !== undefined)
    throw new ConfigError(
      `removing ${model}: a single file is not removed; expected ${repo} or ${repo}@revision, with all its files`,
    );
  return removeFromCache(readHubSettings().cacheFolder, repo, revision);
}
