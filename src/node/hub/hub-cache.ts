/**
 * The cache of Python's huggingface_hub, read and written as it does: `models--org--name/`, or `datasets--org--name/`, with `blobs/` named by ETag,
 * `refs/` from revisions to commits, `snapshots/` of relative links, `.no_exist/` for files that a commit lacks, and
 * `.locks/` beside the models. Source: huggingface_hub 2.4, file_download.py.
 */
import { randomUUID } from "node:crypto";
import {
  copyFile,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  statfs,
  symlink,
  writeFile,
} from "node:fs/promises";
import { dirname, join, relative, resolve } from "node:path";
import { throwIfAborted } from "../../base/abort.ts";
import { EngineError, ModelFileError } from "../../base/errors.ts";
import type { FileFolder } from "../../load/byte-source.ts";
import type { HubFile } from "../../load/hub/hub-client.ts";
import type { ModelStore, ReceiveCalls, Snapshot } from "../../load/hub/model-store.ts";
import { folderName } from "../../load/hub/repo-id.ts";
import { openFileFolder } from "../file-folder.ts";
import { takeKernelLock } from "./kernel-lock.ts";
import { leftBytes, PartialBlob } from "./partial-blob.ts";

/** The tag by which backup programs skip the folder, as Python's library writes it. */
const CACHE_TAG = "Signature: 8a477f597d28d172789f06886806bc55\n";
/** Space that a download leaves free, for the rest of the machine. */
const SPARE_BYTES = 64 << 20;

export class HubCache implements ModelStore {
  readonly name: string;
  readonly #root: string;
  readonly #usesLinks: boolean;

  constructor(root: string, { usesLinks = true }: { readonly usesLinks?: boolean } = {}) {
    this.name = `the cache ${root}`;
    this.#root = resolve(root);
    this.#usesLinks = usesLinks;
  }

  async commitOf(repo: string, revision: string): Promise<string | undefined> {
    return readCommit(join(this.#folderOf(repo), "refs", ...revision.split("/")));
  }

  async keepCommit({ repo, commit }: Snapshot, revision: string): Promise<void> {
    const path = join(this.#folderOf(repo), "refs", ...revision.split("/"));
    if ((await readCommit(path)) === commit) return;
    const passing = `${path}.${randomUUID().slice(0, 8)}.tmp`;
    try {
      await mkdir(dirname(path), { recursive: true });
      await writeFile(passing, commit);
      await rename(passing, path);
    } catch (cause) {
      // Others may own the cache; the model is whole all the same.
      if (!isCode(cause, ["EROFS", "EACCES", "EPERM"]))
        throw new ModelFileError(`writing ${path}: ${String(cause)}`, { cause });
    }
  }

  async list(snapshot: Snapshot): Promise<readonly string[]> {
    const folder = this.#snapshotPath(snapshot);
    const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
    const paths: string[] = [];
    for (const entry of entries) {
      if (entry.isDirectory()) continue;
      const path = join(entry.parentPath, entry.name);
      if ((await sizeOf(path)) !== undefined) paths.push(relative(folder, path).replaceAll("\\", "/")); // No broken link.
    }
    return paths.sort();
  }

  async has(snapshot: Snapshot, file: HubFile): Promise<boolean> {
    return (await sizeOf(this.#snapshotPath(snapshot, file.path))) === file.sizeBytes;
  }

  partlyHere(snapshot: Snapshot, file: HubFile): Promise<number> {
    return leftBytes(this.#partialPath(snapshot, file), file);
  }

  async checkSpace(sizeBytes: number): Promise<void> {
    const { free, at } = await freeBytes(this.#root);
    if (free === undefined || sizeBytes + SPARE_BYTES <= free) return;
    throw new ModelFileError(
      `fetching a model to ${this.#root}: it takes ${gigabytes(sizeBytes)}, and ${at} has ${gigabytes(free)} free; free some ` +
        "space (`lessismore models` lists what may go), or set HF_HUB_CACHE to a folder on another disk",
    );
  }

  async receive(snapshot: Snapshot, file: HubFile, calls: ReceiveCalls): Promise<void> {
    const lockPath = join(this.#root, ".locks", folderName(snapshot.repo), `${file.etag}.lock`);
    await this.#make(dirname(lockPath));
    await this.#make(dirname(this.#blobPath(snapshot, file)));
    await this.#make(dirname(this.#snapshotPath(snapshot, file.path)));
    const tag = join(this.#root, "CACHEDIR.TAG");
    if ((await sizeOf(tag)) === undefined) await writeFile(tag, CACHE_TAG, { flag: "wx" }).catch(() => {});
    const lock = await takeKernelLock(lockPath, calls);
    try {
      if (await this.has(snapshot, file)) return; // Another process has fetched it.
      const isNew = (await sizeOf(this.#blobPath(snapshot, file))) !== file.sizeBytes;
      // Without a lock no other process may share the file in the making.
      if (isNew) await this.#fetchBlob(snapshot, file, calls, lock !== undefined);
      await this.#link(snapshot, file, isNew);
    } catch (cause) {
      if (cause instanceof EngineError) throw cause;
      throw new ModelFileError(`fetching ${snapshot.repo}/${file.path}: ${String(cause)}`, { cause });
    } finally {
      await lock?.release();
    }
  }

  async keepAbsent({ repo, commit }: Snapshot, paths: readonly string[]): Promise<void> {
    for (const path of paths) {
      const marker = join(this.#folderOf(repo), ".no_exist", commit, ...path.split("/"));
      if ((await sizeOf(marker)) !== undefined) continue;
      try {
        await mkdir(dirname(marker), { recursive: true });
        await writeFile(marker, "");
      } catch {
        return; // A marker only saves a request.
      }
    }
  }

  async isAbsent({ repo, commit }: Snapshot, path: string): Promise<boolean> {
    return (await sizeOf(join(this.#folderOf(repo), ".no_exist", commit, ...path.split("/")))) !== undefined;
  }

  openFolder(snapshot: Snapshot): Promise<FileFolder> {
    return openFileFolder(this.#snapshotPath(snapshot));
  }

  /** Fetches a blob under another name, which it leaves only with the right bytes in it. */
  async #fetchBlob(snapshot: Snapshot, file: HubFile, calls: ReceiveCalls, isLocked: boolean): Promise<void> {
    const path = this.#partialPath(snapshot, file, isLocked ? undefined : randomUUID().slice(0, 8));
    const partial = await PartialBlob.open(path, file);
    let isKept = isLocked; // Without a lock no later process would find it.
    try {
      const isResumed = partial.doneBytes > 0;
      await this.#fill(partial, file, calls);
      if (!(await partial.isRight(calls.signal))) {
        // Bytes of an earlier process may be at fault, after a crash of the machine: once more, from the first byte.
        if (isResumed) {
          await partial.clear();
          await this.#fill(partial, file, calls);
        }
        if (!isResumed || !(await partial.isRight(calls.signal))) {
          isKept = false;
          throw new ModelFileError(
            `fetching ${snapshot.repo}/${file.path}: the bytes that came have not the ${file.hash} ${file.etag} that the hub ` +
              "lists; they are not kept: try again, and look for a proxy or a mirror that changes files",
          );
        }
      }
      await partial.finish();
    } catch (error) {
      await partial.close();
      if (!isKept) await rm(path, { force: true });
      throw error;
    }
    await partial.close();
    await rename(path, this.#blobPath(snapshot, file));
  }

  async #fill(partial: PartialBlob, file: HubFile, calls: ReceiveCalls): Promise<void> {
    if (partial.doneBytes < file.sizeBytes) await calls.fill(partial);
    throwIfAborted(calls.signal, `fetching ${file.path}`);
    calls.onCheck();
  }

  /** Links a snapshot's file to its blob; where links are refused, moves or copies the blob, as Python's library does. */
  async #link(snapshot: Snapshot, file: HubFile, isNew: boolean): Promise<void> {
    const [blob, path] = [this.#blobPath(snapshot, file), this.#snapshotPath(snapshot, file.path)];
    await rm(path, { force: true });
    if (this.#usesLinks) {
      try {
        return await symlink(relative(dirname(path), blob), path);
      } catch (cause) {
        if (isCode(cause, ["EEXIST"]) && (await this.has(snapshot, file))) return; // Another process did it.
        if (!isCode(cause, ["EPERM", "EACCES", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"])) throw cause;
      }
    }
    if (isNew) return rename(blob, path);
    const passing = `${path}.${randomUUID().slice(0, 8)}.incomplete`;
    await copyFile(blob, passing);
    await rename(passing, path);
  }

  async #make(folder: string): Promise<void> {
    try {
      await mkdir(folder, { recursive: true });
    } catch (cause) {
      throw new ModelFileError(
        `making ${folder}: ${String(cause)}; set HF_HUB_CACHE to a folder that may be written to`,
        { cause },
      );
    }
  }

  #folderOf(repo: string): string {
    return join(this.#root, folderName(repo));
  }

  #snapshotPath({ repo, commit }: Snapshot, path = ""): string {
    return join(this.#folderOf(repo), "snapshots", commit, ...path.split("/"));
  }

  #blobPath({ repo }: Snapshot, { etag }: HubFile): string {
    return join(this.#folderOf(repo), "blobs", etag);
  }

  /**
   * The name differs from those of Python's library, whose older versions go on at the end of `<etag>.incomplete`: this file
   * has holes. Its ending is the one by which `hf cache` finds what may be removed.
   */
  #partialPath(snapshot: Snapshot, file: HubFile, own = ""): string {
    return `${this.#blobPath(snapshot, file)}.lessismore${own}.incomplete`;
  }
}

/** Reads a reference; undefined when there is none. */
export async function readCommit(path: string): Promise<string | undefined> {
  const text = await readFile(path, "utf8").catch(() => undefined);
  const commit = text?.trim();
  return commit !== undefined && /^[0-9a-f]{40}$/.test(commit) ? commit : undefined;
}

/** The size of a plain file, links followed; undefined if there is none. */
export async function sizeOf(path: string): Promise<number | undefined> {
  const info = await stat(path).catch(() => undefined);
  return info?.isFile() ? info.size : undefined;
}

/** Free bytes where a folder is or will be, and the folder that was asked. */
async function freeBytes(
  folder: string,
): Promise<{ readonly free: number | undefined; readonly at: string }> {
  for (let at = folder; ; at = dirname(at)) {
    const info = await statfs(at).catch(() => undefined);
    if (info) return { free: info.bavail * info.bsize, at };
    if (dirname(at) === at) return { free: undefined, at };
  }
}

function isCode(cause: unknown, codes: readonly string[]): boolean {
  return cause instanceof Error && "code" in cause && codes.includes(String(cause.code));
}

function gigabytes(sizeBytes: number): string {
  return `${(sizeBytes / 1e9).toFixed(2)} GB`;
}
