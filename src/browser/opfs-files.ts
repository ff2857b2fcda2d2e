/** Small steps on a browser's private files (OPFS), with typed failures. */
import { ModelFileError } from "../base/errors.ts";

/** Opens a folder by its path below another; undefined if it is not there. */
export async function findFolder(
  from: FileSystemDirectoryHandle,
  ...path: readonly string[]
): Promise<FileSystemDirectoryHandle | undefined> {
  let folder = from;
  for (const name of path) {
    const next = await orMissing(folder.getDirectoryHandle(name));
    if (!next) return undefined;
    folder = next;
  }
  return folder;
}

/** Opens a folder by its path, and makes what is missing. */
export async function makeFolder(
  from: FileSystemDirectoryHandle,
  ...path: readonly string[]
): Promise<FileSystemDirectoryHandle> {
  let folder = from;
  for (const name of path)
    folder = await typed(`making ${name}`, folder.getDirectoryHandle(name, { create: true }));
  return folder;
}

/** A file's content; undefined if it is not there. */
export async function readFile(
  folder: FileSystemDirectoryHandle | undefined,
  name: string,
): Promise<File | undefined> {
  const handle = folder && (await orMissing(folder.getFileHandle(name)));
  return handle && orMissing(handle.getFile());
}

/**
 * Writes a file whole: it has its content once it is closed, and nothing before. @throws ModelFileError when the browser's
 * space is used up, with what to do
 */
export async function writeFile(
  folder: FileSystemDirectoryHandle,
  name: string,
  content: Uint8Array | string,
): Promise<void> {
  const doing = `writing ${name} to this browser's files`;
  const handle = await typed(doing, folder.getFileHandle(name, { create: true }));
  if (typeof handle.createWritable !== "function")
    throw new ModelFileError(`${doing}: this browser cannot write them (createWritable); take a newer one`);
  const writable = await typed(doing, handle.createWritable());
  try {
    await writable.write(content as Uint8Array<ArrayBuffer>);
    await writable.close();
  } catch (cause) {
    await writable.abort().catch(() => {}); // The first failure counts.
    throw failure(doing, cause);
  }
}

export const QUOTA_ADVICE =
  "remove models (`listModels`, `removeModel`), free space on the disk, let the person grant lasting storage " +
  "(`navigator.storage.persist()`), or take a smaller model or quantisation";

async function typed<T>(doing: string, work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (cause) {
    throw failure(doing, cause);
  }
}

function failure(doing: string, cause: unknown): ModelFileError {
  const isFull = cause instanceof DOMException && cause.name === "QuotaExceededError";
  const advice = isFull ? `: the browser grants no more space: ${QUOTA_ADVICE}` : `: ${String(cause)}`;
  return new ModelFileError(`${doing}${advice}`, { cause });
}

async function orMissing<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work;
  } catch (cause) {
    if (
      cause instanceof DOMException &&
      (cause.name === "NotFoundError" || cause.name === "TypeMismatchError")
    )
      return undefined;
    throw new ModelFileError(`reading this browser's files: ${String(cause)}`, { cause });
  }
}
