import { EngineError, ModelFileError } from "../../base/errors.ts";
import type { FileFolder } from "../byte-source.ts";
import type { HubClient } from "./hub-client.ts";
import type { ModelStore } from "./model-store.ts";
import type { HubPlace } from "./pull-model.ts";
import { idOf } from "./repo-id.ts";
import { Transfer, type TransferOptions } from "./transfer.ts";

/** Files of a data set of a hub. */
export interface HubDataset {
  /** `datasets/org/name` (`repo-id.ts`). */
  readonly repo: string;
  /** A branch, tag or commit; undefined: `main`. */
  readonly revision?: string | undefined;
  /** Chooses from the paths of the repository. @throws ModelFileError when what it needs is not among them */
  choose(paths: readonly string[]): readonly string[];
}

/** A data set whose files are in the store. */
export interface OpenedDataset {
  readonly folder: FileFolder;
  readonly commit: string;
  /** The chosen files, in the order of `choose`. */
  readonly paths: readonly string[];
  /** For people: what was done differently than expected. */
  readonly notes: readonly string[];
}

const COMMIT = /^[0-9a-f]{40}$/;
/** A hub that does not answer for so long is taken as unreachable if the data set is in the store. */
const PATIENCE_MS = 10_000;

/**
 * Brings the chosen files of a data set into the store, those that are not there, and opens it. A hub that refuses or cannot
 * be reached is an error only if the store lacks the data set.
 * @throws ModelFileError, AbortedError
 */
export async function pullDataset(
  { client, store, offlineReason = "offline" }: HubPlace,
  dataset: HubDataset,
  options: TransferOptions = {},
): Promise<OpenedDataset> {
  if (!client) return findStored(store, dataset, offlineReason);
  const stored = await findStored(store, dataset, "").catch(() => undefined);
  if (!stored) return fetchDataset({ client, store }, dataset, options);
  const patience = AbortSignal.timeout(PATIENCE_MS);
  const signal = options.signal ? AbortSignal.any([options.signal, patience]) : patience;
  try {
    return await fetchDataset({ client, store }, dataset, { ...options, signal }, { attempts: 1 });
  } catch (error) {
    if (options.signal?.aborted || !(error instanceof EngineError)) throw error;
    const note = `${nameOf(dataset)} is used as ${store.name} has it, because the hub did not answer: ${error.message}`;
    return { ...stored, notes: [...stored.notes, note] };
  }
}

async function fetchDataset(
  { client, store }: { readonly client: HubClient; readonly store: ModelStore },
  dataset: HubDataset,
  options: TransferOptions,
  retry?: { readonly attempts: number },
): Promise<OpenedDataset> {
  const { repo, revision = "main" } = dataset;
  const { signal } = options;
  const commit = COMMIT.test(revision) ? revision : await client.commitOf(repo, revision, signal, retry);
  const listed = await client.filesOf(repo, commit, signal);
  const files = new Map(listed.map((file) => [file.path, file]));
  const paths = dataset.choose([...files.keys()]);
  const snapshot = { repo, commit };
  const transfer = new Transfer({ client, store }, snapshot, { ...options, name: nameOf(dataset) });
  await transfer.fetchAll(paths.flatMap((path) => files.get(path) ?? []));
  // The reference comes last: it says that this commit can be used.
  if (revision !== commit) await store.keepCommit(snapshot, revision);
  return { folder: await store.openFolder(snapshot), commit, paths, notes: [] };
}

/** Opens a data set from the store alone. @throws ModelFileError when it is not there */
async function findStored(store: ModelStore, dataset: HubDataset, reason: string): Promise<OpenedDataset> {
  const { repo, revision = "main" } = dataset;
  const commit = COMMIT.test(revision) ? revision : await store.commitOf(repo, revision);
  const paths = commit === undefined ? [] : await store.list({ repo, commit });
  if (commit === undefined || paths.length === 0)
    throw new ModelFileError(
      `opening the data set ${nameOf(dataset)}: it is not in ${store.name}, and the hub is not asked (${reason}); run once ` +
        "with the hub in reach, or name a file of your own",
    );
  const snapshot = { repo, commit };
  return { folder: await store.openFolder(snapshot), commit, paths: dataset.choose(paths), notes: [] };
}

function nameOf({ repo, revision }: HubDataset): string {
  return revision === undefined ? idOf(repo) : `${idOf(repo)}@${revision}`;
}
