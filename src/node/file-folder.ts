import { open, readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder } from "../load/byte-source.ts";

/**
 * A folder on disk. Files are opened when they are asked for.
 * @throws ModelFileError when there is no such folder.
 */
export async function openFileFolder(path: string): Promise<FileFolder> {
  const info = await statOf(path);
  if (!info?.isDirectory())
    throw new ModelFileError(
      `opening ${path}: ${info ? "it is no folder" : "there is no such folder"}; give the folder of a checkpoint`,
    );
  return {
    name: path,
    open: async (file) => {
      const target = join(path, file);
      return (await statOf(target))?.isFile() ? openFile(target) : undefined;
    },
    list: () => readdir(path),
  };
}

async function statOf(path: string) {
  try {
    return await stat(path);
  } catch (cause) {
    if (isCode(cause, "ENOENT") || isCode(cause, "ENOTDIR")) return undefined;
    throw new ModelFileError(`opening ${path}: ${String(cause)}`, { cause });
  }
}

async function openFile(name: string): Promise<ByteSource> {
  let handle: Awaited<ReturnType<typeof open>>;
  try {
    handle = await open(name);
  } catch (cause) {
    throw new ModelFileError(`opening ${name}: ${String(cause)}`, { cause });
  }
  const { size: sizeBytes } = await handle.stat();
  return {
    name,
    sizeBytes,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes }, offset, length);
      const bytes = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        const { bytesRead } = await handle.read(bytes, filled, length - filled, offset + filled);
        if (bytesRead === 0)
          throw new ModelFileError(`reading ${name}: the file became shorter while it was read; try again`);
        filled += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
