/** Data sets of the hub, in the cache of Python's huggingface_hub. */
import { ConfigError } from "../../base/errors.ts";
import { pullDataset as pullInto } from "../../load/hub/pull-dataset.ts";
import { datasetRepo } from "../../load/hub/repo-id.ts";
import type { TransferOptions } from "../../load/hub/transfer.ts";
import { createHubPlace, type OpenModelOptions } from "./open-model.ts";

/** What to fetch of a data set, and how. */
export interface PullDatasetOptions extends TransferOptions, Pick<OpenModelOptions, "environment" | "retry"> {
  /** A branch, tag or commit. Default `main`. */
  readonly revision?: string | undefined;
  /** Chooses the files to fetch from the paths of the repository. */
  choose(paths: readonly string[]): readonly string[];
}

/** Files of a data set in the cache. */
export interface PulledDataset {
  /** `org/name`. */
  readonly name: string;
  /** The commit that the revision names. */
  readonly commit: string;
  /** The folder of the commit's files. */
  readonly path: string;
  /** Chosen files, relative to `path`. */
  readonly files: readonly string[];
  readonly notes: readonly string[];
}

/**
 * Fetches files of a data set of the hub (`org/name`) into the cache, those that are not there. The environment of Python's
 * huggingface_hub counts: HF_ENDPOINT, HF_TOKEN, HF_HUB_CACHE, HF_HUB_OFFLINE.
 * @throws ConfigError, ModelFileError, AbortedError
 */
export async function pullDataset(name: string, options: PullDatasetOptions): Promise<PulledDataset> {
  const { revision, choose, environment, retry, ...transfer } = options;
  const repo = datasetRepo(name);
  if (repo === undefined)
    throw new ConfigError(`opening the data set "${name}": expected a data set of the hub, as org/name`);
  const place = createHubPlace({ environment, ...(retry && { retry }) });
  const { folder, commit, paths, notes } = await pullInto(place, { repo, revision, choose }, transfer);
  return { name, commit, path: folder.name, files: paths, notes };
}
