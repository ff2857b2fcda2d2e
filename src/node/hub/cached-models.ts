/** Lists and removes the models of the cache, those that Python's library fetched too. */
import { randomUUID } from "node:crypto";
import { readdir, realpath, rename, rm, stat } from "node:fs/promises";
import { join, sep } from "node:path";
import { ModelFileError } from "../../base/errors.ts";
import { nearNames } from "../../load/hub/hub-refusal.ts";
import { folderName } from "../../load/hub/repo-id.ts";
import { readCommit } from "./hub-cache.ts";

/** A model in the cache. */
export interface CachedModel {
  /** `org/name`. */
  readonly name: string;
  /** Its folder. */
  readonly path: string;
  /** On disk, each blob once, downloads that have not ended included. */
  readonly sizeBytes: number;
  /** Of that, what downloads left that have not ended. */
  readonly partialBytes: number;
  readonly revisions: readonly CachedRevision[];
}

/** One commit of a model in the cache. */
export interface CachedRevision {
  readonly commit: string;
  /** Branches and tags that named the commit when they were last asked for. */
  readonly refs: readonly string[];
  readonly files: readonly string[];
  readonly sizeBytes: number;
  /** Time of its newest file, in milliseconds since 1970. */
  readonly modifiedAt: number;
}

/** Models in a cache folder by name; none if there is no such folder. */
export async function listCache(root: string): Promise<readonly CachedModel[]> {
  const folders = await readdir(root, { withFileTypes: true }).catch(() => []);
  const models = folders
    .filter((entry) => entry.isDirectory() && /^models--./.test(entry.name))
    .map((entry) => describeModel(root, entry.name));
  return (await Promise.all(models)).sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function describeModel(root: string, folder: string): Promise<CachedModel> {
  const path = join(root, folder);
  const refs = await readRefs(join(path, "refs"));
  const commits = (await readdir(join(path, "snapshots"), { withFileTypes: true }).catch(() => []))
    .filter((entry) => entry.isDirectory())
    .map((entry) => entry.name);
  const sizes = new Map<string, number>(); // By the file that a link leads to.
  const revisions: CachedRevision[] = [];
  for (const commit of commits.sort())
    revisions.push(await describeRevision(path, commit, refs.get(commit) ?? [], sizes));
  let partialBytes = 0;
  for (const entry of await readdir(join(path, "blobs")).catch(() => [])) {
    const info = await stat(join(path, "blobs", entry)).catch(() => undefined);
    if (!info?.isFile()) continue;
    // A file in the making has holes: count its blocks.
    if (entry.endsWith(".incomplete")) partialBytes += Math.min(info.size, info.blocks * 512);
    else sizes.set(await realpath(join(path, "blobs", entry)), info.size);
  }
  const sizeBytes = [...sizes.values()].reduce((a, b) => a + b, partialBytes);
  return {
    name: folder.slice("models--".length).replaceAll("--", "/"),
    path,
    sizeBytes,
    partialBytes,
    revisions,
  };
}

async function describeRevision(
  path: string,
  commit: string,
  refs: readonly string[],
  sizes: Map<string, number>,
): Promise<CachedRevision> {
  const folder = join(path, "snapshots", commit);
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files: string[] = [];
  let [sizeBytes, modifiedAt] = [0, 0];
  for (const entry of entries) {
    const file = join(entry.parentPath, entry.name);
    const info = await stat(file).catch(() => undefined); // A link whose blob is gone counts as missing.
    if (!info?.isFile()) continue;
    files.push(file.slice(folder.length + 1).replaceAll(sep, "/"));
    sizes.set(await realpath(file), info.size);
    sizeBytes += info.size;
    modifiedAt = Math.max(modifiedAt, info.mtimeMs);
  }
  return { commit, refs: [...refs].sort(), files: files.sort(), sizeBytes, modifiedAt };
}

/** Revisions by the commit that they name. */
async function readRefs(folder: string): Promise<ReadonlyMap<string, readonly string[]>> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const refs = new Map<string, string[]>();
  for (const entry of entries) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const commit = await readCommit(path);
    if (commit !== undefined)
      refs.set(commit, [...(refs.get(commit) ?? []), path.slice(folder.length + 1).replaceAll(sep, "/")]);
  }
  return refs;
}

/** What a removal did. */
export interface Removal {
  readonly name: string;
  readonly freedBytes: number;
  /** Bytes that stay because Python's library shares them between models; `hf cache` frees them. */
  readonly sharedBytes: number;
}

/**
 * Removes a model from a cache, or one revision of it with the blobs that no other revision has.
 * @throws ModelFileError when the cache has no such model, with the nearest names.
 */
export async function removeFromCache(root: string, repo: string, revision?: string): Promise<Removal> {
  const models = await listCache(root);
  const model = models.find(({ name }) => name === repo);
  if (!model) {
    const near = nearNames(
      repo,
      models.map(({ name }) => name),
    );
    throw new ModelFileError(
      `removing ${repo}: it is not in the cache ${root}` +
        `${near.length > 0 ? `; did you mean ${near.join(" or ")}?` : "; `lessismore models` lists what is"}`,
    );
  }
  if (revision !== undefined) return removeRevision(model, revision);
  const sharedBytes = await bytesElsewhere(model);
  const gone = join(root, `${folderName(repo)}.${randomUUID().slice(0, 8)}.removed`);
  await rename(model.path, gone); // At once: nobody finds a model with half of its files.
  await rm(gone, { recursive: true, force: true });
  return { name: repo, freedBytes: model.sizeBytes - sharedBytes, sharedBytes };
}

async function removeRevision(model: CachedModel, revision: string): Promise<Removal> {
  const byRef = model.revisions.filter(({ refs }) => refs.includes(revision));
  const meant =
    byRef.length > 0 ? byRef : model.revisions.filter(({ commit }) => commit.startsWith(revision));
  if (meant.length > 1)
    throw new ModelFileError(
      `removing ${model.name}@${revision}: it may mean ${meant.map(({ commit }) => commit.slice(0, 12)).join(" or ")}; ` +
        "name more digits of the commit",
    );
  const [found] = meant;
  if (!found) {
    const known = model.revisions.map(({ commit, refs }) => [...refs, commit.slice(0, 8)].join(" = "));
    throw new ModelFileError(
      `removing ${model.name}@${revision}: the cache has no such revision of it; it has ${known.join(", ") || "none"}`,
    );
  }
  const others = new Set<string>();
  for (const { commit, files } of model.revisions)
    if (commit !== found.commit)
      for (const file of files) others.add(await realpath(join(model.path, "snapshots", commit, file)));
  const folder = join(model.path, "snapshots", found.commit);
  const blobs = new Map<string, number>();
  for (const file of found.files) {
    const path = await realpath(join(folder, file));
    if (!others.has(path)) blobs.set(path, (await stat(path)).size);
  }
  for (const ref of found.refs) await rm(join(model.path, "refs", ref), { force: true });
  await rm(folder, { recursive: true, force: true });
  await rm(join(model.path, ".no_exist", found.commit), { recursive: true, force: true });
  let [freedBytes, sharedBytes] = [0, 0];
  for (const [path, sizeBytes] of blobs) {
    if (await isBelow(path, model.path)) {
      await rm(path, { force: true });
      freedBytes += sizeBytes;
    } else sharedBytes += sizeBytes;
  }
  return { name: `${model.name}@${revision}`, freedBytes, sharedBytes };
}

/** Bytes of a model's files that lie outside its folder: Python's library shares blobs between models. */
async function bytesElsewhere(model: CachedModel): Promise<number> {
  let bytes = 0;
  for (const entry of await readdir(join(model.path, "blobs")).catch(() => [])) {
    const path = await realpath(join(model.path, "blobs", entry)).catch(() => undefined);
    if (path !== undefined && !(await isBelow(path, model.path))) bytes += (await stat(path)).size;
  }
  return bytes;
}

async function isBelow(path: string, folder: string): Promise<boolean> {
  return path.startsWith(`${await realpath(folder)}${sep}`);
}
