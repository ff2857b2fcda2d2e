import { EngineError, ModelFileError } from "../../base/errors.ts";
import type { FileFolder } from "../byte-source.ts";
import { readJsonObject } from "../json-file.ts";
import { type ChosenFiles, chooseFiles, shardsOf, TEXT_FILES } from "./choose-files.ts";
import type { HubClient } from "./hub-client.ts";
import { formatHubModel, type HubModel } from "./model-location.ts";
import type { ModelStore, Snapshot } from "./model-store.ts";
import type { RetryOptions } from "./retry.ts";
import { Transfer, type TransferOptions } from "./transfer.ts";

/** A model whose files can be read. */
export interface OpenedModel {
  readonly folder: FileFolder;
  /** True if the files are read over the network, each byte when it is asked for. */
  readonly isRemote?: boolean;
  /** Which of two readings of the text was taken; completes messages about the files. */
  readonly takenAs?: string;
  /** For people: what was done differently than expected. */
  readonly notes: readonly string[];
}

/** What to fetch of a model, and how. */
export interface PullOptions extends TransferOptions {
  /** Compare every file's size with the hub's list, even if the store is known to have the commit. */
  readonly isThorough?: boolean | undefined;
  /** How often the hub is asked for the model's commit. Default: the client's. */
  readonly commitRetry?: RetryOptions | undefined;
}

/** A hub, and the place that keeps its models. `client` undefined: offline. */
export interface HubPlace {
  readonly client: HubClient | undefined;
  readonly store: ModelStore;
  /** Why there is no client, such as "HF_HUB_OFFLINE is set". */
  readonly offlineReason?: string;
}

const COMMIT = /^[0-9a-f]{40}$/;

/** A hub that does not answer for so long is taken as unreachable if the model is in the store. */
const PATIENCE_MS = 10_000;

/**
 * Brings a model of the hub into the store, unless it is there, and opens it. A hub that refuses or cannot be reached is an
 * error only if the store lacks the model.
 * @throws ModelFileError, AbortedError
 */
export async function pullModel(
  place: HubPlace,
  model: HubModel,
  options: PullOptions = {},
): Promise<OpenedModel> {
  const { client, store, offlineReason = "offline" } = place;
  if (!client) return (await findStored(store, model, offlineReason)).opened;
  const found = await findCommit(client, store, model, options);
  return typeof found === "string" ? fetchModel({ client, store }, model, found, options) : found;
}

/**
 * Opens a model of the hub as far as its headers need: from the store if it is there whole, else by ranges over HTTP, in
 * which case nothing is kept and `isRemote` is set.
 * @throws ModelFileError, AbortedError
 */
export async function openHeaders(
  place: HubPlace,
  model: HubModel,
  options: Pick<PullOptions, "signal" | "commitRetry"> = {},
): Promise<OpenedModel> {
  const { client, store, offlineReason = "offline" } = place;
  if (!client) return (await findStored(store, model, offlineReason)).opened;
  const commit = await findCommit(client, store, model, options);
  if (typeof commit !== "string") return commit;
  const files = await client.filesOf(model.repo, commit, options.signal);
  const { file } = chooseFiles(
    model,
    files.map(({ path }) => path),
  );
  const folder = client.openFolder(model.repo, commit, files);
  return { folder: withWeightFile(folder, file), isRemote: true, notes: [] };
}

/**
 * A folder whose weight file is named; undefined: its own weights. The texts of safetensors lie beside them: of a file in a
 * folder within, that folder is presented.
 */
export function withWeightFile(folder: FileFolder, weightFile: string | undefined): FileFolder {
  if (weightFile === undefined) return folder;
  const [, inner = "", file = weightFile] = /^(.+\/)([^/]+\.safetensors)$/i.exec(weightFile) ?? [];
  if (inner === "") return { ...folder, weightFile };
  return {
    name: `${folder.name}/${inner.slice(0, -1)}`,
    weightFile: file,
    open: (path, signal) => folder.open(`${inner}${path}`, signal),
    whyMissing: (path) => folder.whyMissing?.(`${inner}${path}`),
  };
}

/** The commit to fetch; or the model, if the store has it whole, or has it and the hub does not answer. */
async function findCommit(
  client: HubClient,
  store: ModelStore,
  model: HubModel,
  { signal, isThorough = false, commitRetry }: PullOptions,
): Promise<string | OpenedModel> {
  const { repo, revision = "main" } = model;
  const stored = await findStored(store, model, "").catch(() => undefined);
  const whole = stored?.isWhole && !isThorough ? stored.opened : undefined;
  if (COMMIT.test(revision)) return whole ?? revision;
  if (!stored) return client.commitOf(repo, revision, signal, commitRetry);
  try {
    const patience = AbortSignal.timeout(PATIENCE_MS);
    const ending = signal ? AbortSignal.any([signal, patience]) : patience;
    const commit = await client.commitOf(repo, revision, ending, { attempts: 1 });
    return whole && commit === stored.commit ? whole : commit;
  } catch (error) {
    if (signal?.aborted || !(error instanceof EngineError)) throw error;
    const note = `${formatHubModel(model)} is used as ${store.name} has it, because the hub did not answer: ${error.message}`;
    return { ...stored.opened, notes: [...stored.opened.notes, note] };
  }
}

/** A model in the store. */
interface StoredModel {
  readonly opened: OpenedModel;
  readonly commit: string;
  /** True if every file of the commit that the engine reads is here; a text that is not may be on the hub otherwise. */
  readonly isWhole: boolean;
}

/** Opens a model from the store alone. @throws ModelFileError when it is not there, or lacks weights. */
async function findStored(store: ModelStore, model: HubModel, reason: string): Promise<StoredModel> {
  const { repo, revision = "main" } = model;
  const doing = `opening ${formatHubModel(model)}`;
  const advice = `fetch it with \`lessismore pull ${formatHubModel(model)}\` when the hub can be reached`;
  const commit = COMMIT.test(revision) ? revision : await store.commitOf(repo, revision);
  if (commit === undefined)
    throw new ModelFileError(
      `${doing}: it is not in ${store.name}, and the hub is not asked (${reason}); ${advice}`,
    );
  const snapshot = { repo, commit };
  const paths = await store.list(snapshot);
  const folder = await store.openFolder(snapshot);
  try {
    const chosen = chooseFiles(model, paths);
    await checkShards(folder, chosen, paths);
    const unknown = chosen.file === undefined ? await unknownTexts(store, snapshot, paths) : [];
    const notes = unknown.includes("tokenizer.json")
      ? [`${store.name} has no tokenizer.json of ${repo}, which the hub may have; ${advice}`]
      : [];
    // The only GGUF file here may be one of many there, or stand beside a checkpoint.
    const isGuess =
      chosen.file !== undefined &&
      model.file === undefined &&
      model.quant === undefined &&
      model.contents === undefined;
    if (isGuess)
      notes.push(
        `${repo} is taken as ${chosen.file}, the only model of it in ${store.name}; the hub may have others`,
      );
    return {
      opened: { folder: withWeightFile(folder, chosen.file), notes },
      commit,
      isWhole: unknown.length === 0 && !isGuess,
    };
  } catch (error) {
    if (!(error instanceof ModelFileError)) throw error;
    throw new ModelFileError(
      `${error.message}; in ${store.name} commit ${commit.slice(0, 8)} of ${repo} has ${paths.length} files, and the hub ` +
        `is not asked (${reason}): ${advice}`,
      { cause: error },
    );
  }
}

/** The texts of a checkpoint that are not in the store, and may be on the hub. */
async function unknownTexts(
  store: ModelStore,
  snapshot: Snapshot,
  paths: readonly string[],
): Promise<readonly string[]> {
  const unknown: string[] = [];
  for (const path of TEXT_FILES)
    if (!paths.includes(path) && !(await store.isAbsent(snapshot, path))) unknown.push(path);
  return unknown;
}

/** @throws ModelFileError when a shard that the index names is missing. */
async function checkShards(folder: FileFolder, chosen: ChosenFiles, paths: readonly string[]): Promise<void> {
  if (chosen.index === undefined) return;
  const index = await readJsonObject(folder, chosen.index);
  const shards = new Set(Object.values((index?.weight_map ?? {}) as Readonly<Record<string, unknown>>));
  for (const shard of shards)
    if (!paths.includes(String(shard)))
      throw new ModelFileError(
        `opening ${folder.name}: ${chosen.index} names ${String(shard)}, which is not there`,
      );
}

/** Fetches what a model needs and the store lacks, then opens it. */
async function fetchModel(
  { client, store }: { readonly client: HubClient; readonly store: ModelStore },
  model: HubModel,
  commit: string,
  options: PullOptions,
): Promise<OpenedModel> {
  const { repo, revision = "main" } = model;
  const snapshot = { repo, commit };
  const transfer = new Transfer({ client, store }, snapshot, { ...options, name: formatHubModel(model) });
  const listed = await client.filesOf(repo, commit, options.signal);
  const files = new Map(listed.map((file) => [file.path, file]));
  const paths = [...files.keys()];
  const chosen = chooseFiles(model, paths);
  const at = (path: string) => files.get(path) ?? [];
  await transfer.fetchAll(chosen.paths.flatMap(at));
  const folder = await store.openFolder(snapshot);
  if (chosen.index !== undefined) {
    const shards = shardsOf(await readJsonObject(folder, chosen.index), paths);
    await transfer.fetchAll(shards.flatMap(at));
    await checkShards(folder, chosen, shards);
  }
  await store.keepAbsent(
    snapshot,
    TEXT_FILES.filter((path) => !files.has(path)),
  );
  // The reference comes last: it says that this commit can be used.
  if (revision !== commit) await store.keepCommit(snapshot, revision);
  return { folder: withWeightFile(folder, chosen.file), notes: [] };
}
