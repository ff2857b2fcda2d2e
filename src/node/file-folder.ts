import { type BigIntStats, fstatSync } from "node:fs";
import { type FileHandle, open, readdir, stat } from "node:fs/promises";
import { basename, dirname, extname, join } from "node:path";
import { ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder } from "../load/byte-source.ts";

/**
 * Opens a folder on disk, or a GGUF file within its folder. Each file opens when asked for.
 * @throws ModelFileError when there is no such folder or file.
 */
export async function openFileFolder(path: string): Promise<FileFolder> {
  const info = await statOf(path);
  if (info?.isFile() && extname(path).toLowerCase() === ".gguf")
    return { ...fileFolder(dirname(path)), weightFile: basename(path) };
  if (!info?.isDirectory())
    throw new ModelFileError(
      `opening ${path}: ${info ? "it is neither a folder nor a .gguf file" : "there is no such folder or file"}; give the ` +
        "folder of a checkpoint, or a GGUF file",
    );
  return fileFolder(path);
}

function fileFolder(path: string): FileFolder {
  return {
    name: path,
    open: async (file) => {
      const target = join(path, file);
      return (await statOf(target))?.isFile() ? openFile(target) : undefined;
    },
    list: async () => {
      try {
        return await readdir(path);
      } catch (cause) {
        throw new ModelFileError(`listing ${path}: ${String(cause)}`, { cause });
      }
    },
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
  let handle: FileHandle | undefined;
  try {
    handle = await open(name);
    const before = await handle.stat({ bigint: true });
    return fileSource(name, handle, before);
  } catch (cause) {
    await handle?.close();
    throw new ModelFileError(`opening ${name}: ${String(cause)}`, { cause });
  }
}

/** Detects a file that was overwritten. A file renamed into its place stays unseen: the handle reads the old one. */
function fileSource(name: string, handle: FileHandle, before: BigIntStats): ByteSource {
  const sizeBytes = Number(before.size);
  const fill = async (bytes: Uint8Array, offset: number) => {
    let filled = 0;
    while (filled < bytes.length) {
      const { bytesRead } = await handle.read(bytes, filled, bytes.length - filled, offset + filled);
      if (bytesRead === 0)
        throw new ModelFileError(`reading ${name}: the file became shorter while it was read; try again`);
      filled += bytesRead;
    }
    const now = fstatSync(handle.fd, { bigint: true }); // 2 µs a read; 50 through the thread pool.
    if (now.size !== before.size || now.mtimeNs !== before.mtimeNs)
      throw new ModelFileError(
        `reading ${name}: the file was written to since it was opened (${before.size} bytes then, ${now.size} now); ` +
          "try again when nothing writes to it",
      );
  };
  const readInto = async (bytes: Uint8Array, offset: number) => {
    checkRange({ name, sizeBytes }, offset, bytes.length);
    try {
      await fill(bytes, offset);
    } catch (cause) {
      if (cause instanceof ModelFileError) throw cause;
      throw new ModelFileError(`reading ${name}: ${String(cause)}`, { cause });
    }
  };
  return {
    name,
    sizeBytes,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes }, offset, length);
      const bytes = new Uint8Array(length);
      await readInto(bytes, offset);
      return bytes;
    },
    readInto,
    close: () => handle.close(),
  };
}

function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
