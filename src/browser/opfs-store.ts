/**
 * Models of the hub in a page's private files (OPFS): `lessismore/models--org--name/` with a folder for each blob, whose
 * parts are files of their own, `refs/`, and a list of files for each commit. A part is there once it is closed, so a
 * download goes on after any end of the page. A blob is whole once its file WHOLE is there, after its hash was checked.
 */
import { throwIfAborted } from "../base/abort.ts";
import { ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder } from "../load/byte-source.ts";
import type { PartialFile } from "../load/hub/fetch-parts.ts";
import type { HubFile } from "../load/hub/hub-client.ts";
import type { ModelStore, ReceiveCalls, Snapshot } from "../load/hub/model-store.ts";
import { folderName } from "../load/hub/repo-id.ts";
import { Sha256 } from "../load/hub/sha256.ts";
import { findFolder, makeFolder, QUOTA_ADVICE, readFile, writeFile } from "./opfs-files.ts";

const ROOT = "lessismore";
/** What an end of the page loses of each connection. A file for each part: 5,000 of a model of 5 GB. */
const PART_BYTES = 1 << 20;
/** Looking for a file takes its time, whatever its size. */
const PARTS_AT_ONCE = 8;
/** Most bytes in memory while a blob is hashed. */
const HASH_BYTES = 8 << 20;
/** Says that all parts are there, and their size: a blob in parts of another size is fetched anew. */
const WHOLE = `whole-${PART_BYTES}`;

/** What a commit has, by path. */
interface Listing {
  /** Size of the parts of its blobs: a listing of another size counts as empty. */
  readonly partBytes: number;
  readonly files: Readonly<Record<string, { readonly etag: string; readonly sizeBytes: number }>>;
  readonly absent: readonly string[];
}

/** The page's folder of models. @throws ModelFileError where pages have no private files */
async function openRoot(): Promise<FileSystemDirectoryHandle> {
  const { storage }: { storage?: StorageManager } = globalThis.navigator;
  if (typeof storage?.getDirectory !== "function")
    throw new ModelFileError(
      "opening this browser's private files: it has none for this page; serve the page over https, and not in a private window",
    );
  return makeFolder(await storage.getDirectory(), ROOT);
}

export class OpfsStore implements ModelStore {
  readonly name = "this browser's files";
  readonly #root: FileSystemDirectoryHandle;

  private constructor(root: FileSystemDirectoryHandle) {
    this.#root = root;
  }

  static async open(): Promise<OpfsStore> {
    return new OpfsStore(await openRoot());
  }

  async commitOf(repo: string, revision: string): Promise<string | undefined> {
    const refs = await findFolder(this.#root, folderName(repo), "refs");
    return (await readFile(refs, encodeURIComponent(revision)))?.text();
  }

  async keepCommit({ repo, commit }: Snapshot, revision: string): Promise<void> {
    await writeFile(
      await makeFolder(this.#root, folderName(repo), "refs"),
      encodeURIComponent(revision),
      commit,
    );
  }

  async list(snapshot: Snapshot): Promise<readonly string[]> {
    return Object.keys((await this.#listing(snapshot)).files).sort();
  }

  async has(snapshot: Snapshot, file: HubFile): Promise<boolean> {
    const { files } = await this.#listing(snapshot);
    const listed = Object.hasOwn(files, file.path) ? files[file.path] : undefined;
    return listed?.etag === file.etag && (await this.#isWhole(snapshot, file.etag));
  }

  async partlyHere(snapshot: Snapshot, file: HubFile): Promise<number> {
    const folder = await findFolder(this.#root, folderName(snapshot.repo), "blobs", file.etag);
    return folder ? (await OpfsBlob.open(folder, file)).doneBytes : 0;
  }

  async checkSpace(sizeBytes: number): Promise<void> {
    const { quota, usage = 0 } = await navigator.storage.estimate();
    if (quota === undefined || sizeBytes <= quota - usage) return;
    throw new ModelFileError(
      `fetching a model to this browser's files: it takes ${gigabytes(sizeBytes)}, and the browser grants this page ` +
        `${gigabytes(Math.max(0, quota - usage))} more: ${QUOTA_ADVICE}`,
    );
  }

  async receive(snapshot: Snapshot, file: HubFile, calls: ReceiveCalls): Promise<void> {
    await withLock(`lessismore ${file.etag}`, calls, async () => {
      if (!(await this.#isWhole(snapshot, file.etag))) await this.#fetchBlob(snapshot, file, calls);
      await this.#list(snapshot, (listing) => ({
        ...listing,
        files: { ...listing.files, [file.path]: { etag: file.etag, sizeBytes: file.sizeBytes } },
      }));
    });
  }

  async keepAbsent(snapshot: Snapshot, paths: readonly string[]): Promise<void> {
    await this.#list(snapshot, (listing) => ({
      ...listing,
      absent: [...new Set([...listing.absent, ...paths])],
    }));
  }

  async isAbsent(snapshot: Snapshot, path: string): Promise<boolean> {
    return (await this.#listing(snapshot)).absent.includes(path);
  }

  async openFolder(snapshot: Snapshot): Promise<FileFolder> {
    const { files } = await this.#listing(snapshot);
    const name = `${snapshot.repo}@${snapshot.commit.slice(0, 8)} in ${this.name}`;
    return {
      name,
      open: async (path) => {
        const file = Object.hasOwn(files, path) ? files[path] : undefined;
        const folder = file && (await findFolder(this.#root, folderName(snapshot.repo), "blobs", file.etag));
        return file && folder && partsSource(folder, file.sizeBytes, `${name}/${path}`);
      },
      list: async () => Object.keys(files).sort(),
    };
  }

  async #fetchBlob(snapshot: Snapshot, file: HubFile, calls: ReceiveCalls): Promise<void> {
    const folder = await makeFolder(this.#root, folderName(snapshot.repo), "blobs", file.etag);
    const blob = await OpfsBlob.open(folder, file);
    if (blob.doneBytes < file.sizeBytes) await calls.fill(blob);
    throwIfAborted(calls.signal, `fetching ${file.path}`);
    calls.onCheck();
    const source = partsSource(folder, file.sizeBytes, file.path);
    if ((await hashOf(source, file, calls.signal)) === file.etag)
      return writeFile(folder, WHOLE, String(file.sizeBytes));
    const blobs = await makeFolder(this.#root, folderName(snapshot.repo), "blobs");
    await blobs.removeEntry(file.etag, { recursive: true });
    throw new ModelFileError(
      `fetching ${snapshot.repo}/${file.path}: the bytes that came have not the ${file.hash} ${file.etag} that the hub ` +
        "lists; they are not kept: try again, and look for a proxy or a mirror that changes files",
    );
  }

  async #isWhole({ repo }: Snapshot, etag: string): Promise<boolean> {
    return (
      (await readFile(await findFolder(this.#root, folderName(repo), "blobs", etag), WHOLE)) !== undefined
    );
  }

  async #listing({ repo, commit }: Snapshot): Promise<Listing> {
    const text = await (
      await readFile(await findFolder(this.#root, folderName(repo), "snapshots"), commit)
    )?.text();
    const listing: Partial<Listing> = JSON.parse(text ?? "{}"); // Only this class writes it.
    const { partBytes, files = {}, absent = [] } = listing;
    return { partBytes: PART_BYTES, files: partBytes === PART_BYTES ? files : {}, absent };
  }

  async #list(snapshot: Snapshot, change: (listing: Listing) => Listing): Promise<void> {
    await navigator.locks.request(`lessismore ${snapshot.repo} ${snapshot.commit}`, async () => {
      const folder = await makeFolder(this.#root, folderName(snapshot.repo), "snapshots");
      await writeFile(folder, snapshot.commit, JSON.stringify(change(await this.#listing(snapshot))));
    });
  }
}

/** A blob in the making: a file for each part. */
class OpfsBlob implements PartialFile {
  readonly sizeBytes: number;
  readonly partBytes = PART_BYTES;
  readonly #folder: FileSystemDirectoryHandle;
  readonly #parts: Set<number>;

  private constructor(folder: FileSystemDirectoryHandle, file: HubFile, parts: Set<number>) {
    this.sizeBytes = file.sizeBytes;
    this.#folder = folder;
    this.#parts = parts;
  }

  static async open(folder: FileSystemDirectoryHandle, file: HubFile): Promise<OpfsBlob> {
    const parts = new Set<number>();
    await eachPart(0, Math.ceil(file.sizeBytes / PART_BYTES), async (part) => {
      if ((await readFile(folder, String(part)))?.size === partLength(part, file.sizeBytes)) parts.add(part);
    });
    return new OpfsBlob(folder, file, parts);
  }

  get doneBytes(): number {
    return [...this.#parts].reduce((sum, part) => sum + partLength(part, this.sizeBytes), 0);
  }

  has(part: number): boolean {
    return this.#parts.has(part);
  }

  async write(part: number, bytes: Uint8Array): Promise<void> {
    await writeFile(this.#folder, String(part), bytes);
    this.#parts.add(part);
  }
}

function partLength(part: number, sizeBytes: number): number {
  return Math.min(PART_BYTES, sizeBytes - part * PART_BYTES);
}

/** Runs `work` for parts from `first` to before `end`, several at once. */
async function eachPart(first: number, end: number, work: (part: number) => Promise<void>): Promise<void> {
  for (let part = first; part < end; part += PARTS_AT_ONCE)
    await Promise.all(Array.from({ length: Math.min(PARTS_AT_ONCE, end - part) }, (_, i) => work(part + i)));
}

/** Reads a blob over its parts. */
function partsSource(folder: FileSystemDirectoryHandle, sizeBytes: number, name: string): ByteSource {
  return {
    name,
    sizeBytes,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes }, offset, length);
      const bytes = new Uint8Array(length);
      const readPart = async (part: number) => {
        const start = Math.max(0, offset - part * PART_BYTES);
        const end = Math.min(partLength(part, sizeBytes), offset + length - part * PART_BYTES);
        const file = await readFile(folder, String(part));
        const slice = file && new Uint8Array(await file.slice(start, end).arrayBuffer());
        if (slice?.length !== end - start)
          throw new ModelFileError(
            `reading ${name}: part ${part} is gone from this browser's files, which it may clear when space is short; fetch the model again`,
          );
        bytes.set(slice, part * PART_BYTES + start - offset);
      };
      await eachPart(Math.floor(offset / PART_BYTES), Math.ceil((offset + length) / PART_BYTES), readPart);
      return bytes;
    },
  };
}

async function hashOf(source: ByteSource, file: HubFile, signal: AbortSignal | undefined): Promise<string> {
  if (file.hash === "git-sha1") {
    const head = new TextEncoder().encode(`blob ${file.sizeBytes}\0`); // Small: large files have a SHA-256.
    const bytes = new Uint8Array(head.length + file.sizeBytes);
    bytes.set(head);
    bytes.set(await source.read(0, file.sizeBytes), head.length);
    const hash = new Uint8Array(await crypto.subtle.digest("SHA-1", bytes));
    return [...hash].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  }
  const hash = new Sha256();
  for (let at = 0; at < file.sizeBytes; at += HASH_BYTES) {
    throwIfAborted(signal, `checking ${source.name}`);
    hash.update(await source.read(at, Math.min(HASH_BYTES, file.sizeBytes - at)));
  }
  return hash.digest();
}

/** Runs `work` under a lock that other tabs share. The browser frees it when the tab ends. */
async function withLock(
  name: string,
  { signal, onWait }: Pick<ReceiveCalls, "signal" | "onWait">,
  work: () => Promise<void>,
): Promise<void> {
  const isDone = await navigator.locks.request(name, { ifAvailable: true }, async (lock) => {
    if (lock) await work();
    return lock !== null;
  });
  if (isDone) return;
  onWait();
  try {
    await navigator.locks.request(name, signal ? { signal } : {}, work);
  } catch (error) {
    throwIfAborted(signal, `waiting for ${name}`);
    throw error;
  }
}

function gigabytes(sizeBytes: number): string {
  return `${(sizeBytes / 1e9).toFixed(2)} GB`;
}

/** A model in the browser's files. */
export interface StoredModel {
  /** `org/name`. */
  readonly name: string;
  readonly sizeBytes: number;
}

/** Lists the models in the browser's files, downloads that have not ended included. */
export async function listModels(): Promise<readonly StoredModel[]> {
  const models: StoredModel[] = [];
  for await (const [name, folder] of (await openRoot()).entries())
    if (folder.kind === "directory" && name.startsWith("models--"))
      models.push({
        name: name.slice("models--".length).replaceAll("--", "/"),
        sizeBytes: await bytesIn(folder as FileSystemDirectoryHandle),
      });
  return models.sort((a, b) => (a.name < b.name ? -1 : 1));
}

async function bytesIn(folder: FileSystemDirectoryHandle): Promise<number> {
  let bytes = 0;
  for await (const [, entry] of folder.entries())
    bytes +=
      entry.kind === "directory"
        ? await bytesIn(entry as FileSystemDirectoryHandle)
        : (await (entry as FileSystemFileHandle).getFile()).size;
  return bytes;
}

/** Removes a model, `org/name`, from the browser's files. @throws ModelFileError when it is not there */
export async function removeModel(name: string): Promise<void> {
  try {
    await (await openRoot()).removeEntry(folderName(name), { recursive: true });
  } catch (cause) {
    throw new ModelFileError(
      `removing ${name}: it is not in this browser's files, or in use (${String(cause)})`,
      { cause },
    );
  }
}
