import { createHash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { throwIfAborted } from "../../base/abort.ts";
import { ModelFileError } from "../../base/errors.ts";
import type { PartialFile } from "../../load/hub/fetch-parts.ts";
import type { HubFile } from "../../load/hub/hub-client.ts";

/** What an end of the process loses of each connection. */
const PART_BYTES = 256 << 10;
const HASH_BYTES = 4 << 20;

/** The size of a blob in the making: the file, then one byte for each part. */
function layoutBytes({ sizeBytes }: HubFile): number {
  return sizeBytes + Math.ceil(sizeBytes / PART_BYTES);
}

/**
 * A blob in the making: a file of the blob's bytes, followed by one byte for each part, which is 1 once the part is there.
 * So a process that is killed at any moment leaves a file that tells what it has, and whose size is not the blob's.
 * One process at a time may have it open.
 */
export class PartialBlob implements PartialFile {
  readonly sizeBytes: number;
  readonly partBytes = PART_BYTES;
  readonly #path: string;
  readonly #file: HubFile;
  readonly #handle: FileHandle;
  readonly #parts: Uint8Array;

  private constructor(path: string, file: HubFile, handle: FileHandle, parts: Uint8Array) {
    this.sizeBytes = file.sizeBytes;
    this.#path = path;
    this.#file = file;
    this.#handle = handle;
    this.#parts = parts;
  }

  /** Opens the file that an earlier process left, or makes one. @throws ModelFileError */
  static async open(path: string, file: HubFile): Promise<PartialBlob> {
    const doing = `opening ${path}`;

    return typed(doing, async () => {
      const handle = await open(path, constants.O_RDWR | constants.O_CREAT, 0o666);
      try {
        const parts = await readParts(handle, file);
        if (parts) return new PartialBlob(path, file, handle, parts);
        await handle.truncate(0);
        await handle.truncate(layoutBytes(file));
        return new PartialBlob(path, file, handle, new Uint8Array(Math.ceil(file.sizeBytes / PART_BYTES)));
      } catch (error) {
        await handle.close();
        throw error;
      }
    });
  }

  /** Bytes that are there. */
  get doneBytes(): number {
    return doneBytes(this.#parts, this.sizeBytes);
  }

  has(part: number): boolean {
    return this.#parts[part] === 1;
  }

  async write(part: number, bytes: Uint8Array): Promise<void> {
    await typed(`writing ${this.#path}`, async () => {
      await writeAll(this.#handle, bytes, part * PART_BYTES);
      await writeAll(this.#handle, Uint8Array.of(1), this.sizeBytes + part);
    });
    this.#parts[part] = 1;
  }

  /** Forgets all parts. */
  async clear(): Promise<void> {
    await typed(`writing ${this.#path}`, async () => {
      this.#parts.fill(0);
      await writeAll(this.#handle, this.#parts, this.sizeBytes);
    });
  }

  /** True if the bytes have the file's hash. */
  async isRight(signal: AbortSignal | undefined): Promise<boolean> {
    const hash = createHash(this.#file.hash === "sha256" ? "sha256" : "sha1");
    if (this.#file.hash === "git-sha1") hash.update(`blob ${this.sizeBytes}\0`);
    const buffer = new Uint8Array(Math.min(HASH_BYTES, this.sizeBytes));
    for (let at = 0; at < this.sizeBytes; ) {
      throwIfAborted(signal, `checking ${this.#path}`);
      const length = Math.min(buffer.length, this.sizeBytes - at);
      const { bytesRead } = await typed(`reading ${this.#path}`, () =>
        this.#handle.read(buffer, 0, length, at),
      );
      if (bytesRead === 0) return false; // Something else has cut the file.
      hash.update(buffer.subarray(0, bytesRead));
      at += bytesRead;
    }
    return hash.digest("hex") === this.#file.etag;
  }

  /** Brings the bytes to the disk, then cuts off the marks: the file has the blob's bytes alone, and may get its name. */
  async finish(): Promise<void> {
    await typed(`writing ${this.#path}`, async () => {
      await this.#handle.sync();
      await this.#handle.truncate(this.sizeBytes);
    });
  }

  close(): Promise<void> {
    return this.#handle.close();
  }
}

/** Bytes of a file that an earlier process left; 0 if there is no such file. */
export async function leftBytes(path: string, file: HubFile): Promise<number> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path);
    const parts = await readParts(handle, file);
    return parts ? doneBytes(parts, file.sizeBytes) : 0;
  } catch {
    return 0; // It will be made, or the download fails with the reason.
  } finally {
    await handle?.close();
  }
}

function doneBytes(parts: Uint8Array, sizeBytes: number): number {
  let done = 0;
  for (const [part, isThere] of parts.entries())
    if (isThere === 1) done += Math.min(PART_BYTES, sizeBytes - part * PART_BYTES);
  return done;
}

/** Reads the marks at the end; undefined when the file has not the layout. */
async function readParts(handle: FileHandle, file: HubFile): Promise<Uint8Array | undefined> {
  const { size } = await handle.stat();
  const numParts = Math.ceil(file.sizeBytes / PART_BYTES);
  // `finish` was interrupted between its last step and the renaming: all parts are there.
  if (size === file.sizeBytes && size > 0) return new Uint8Array(numParts).fill(1);
  if (size !== layoutBytes(file) || size === 0) return undefined;
  const parts = new Uint8Array(numParts);
  const { bytesRead } = await handle.read(parts, 0, numParts, file.sizeBytes);
  return bytesRead === numParts ? parts : undefined;
}

async function writeAll(handle: FileHandle, bytes: Uint8Array, at: number): Promise<void> {
  for (let written = 0; written < bytes.length; ) {
    const { bytesWritten } = await handle.write(bytes, written, bytes.length - written, at + written);
    written += bytesWritten;
  }
}

/** Says what to do when a disk is full; types every other failure. */
async function typed<T>(doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    const isFull =
      cause instanceof Error && "code" in cause && ["ENOSPC", "EDQUOT", "EFBIG"].includes(String(cause.code));
    const advice = isFull
      ? "; the disk is full: free some space (`lessismore models` lists what may go), or set HF_HUB_CACHE to another disk; " +
        "the download goes on where it ended"
      : "";
    throw new ModelFileError(`${doing}: ${String(cause)}${advice}`, { cause });
  }
}
