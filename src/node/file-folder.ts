import { open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { ModelFileError } from "../base/errors.ts";
import type { ByteSource, FileFolder } from "../load/byte-source.ts";

/** A folder on disk. @throws ModelFileError when there is no such folder. */
export async function openFileFolder(path: string): Promise<FileFolder> {
  const info = await stat(path).catch(() => undefined);
  if (!info?.isDirectory())
    throw new ModelFileError(`opening ${path}: there is no such folder; give the folder of a Hugging Face checkpoint`);
  return { name: basename(path) === "" ? path : path.replace(/\/+$/, ""), open: (file) => openFile(join(path, file)) };
}

async function openFile(path: string): Promise<ByteSource | undefined> {
  const info = await stat(path).catch(() => undefined);
  if (!info) return undefined;
  if (!info.isFile()) throw new ModelFileError(`opening ${path}: expected a file`);
  const handle = await open(path, "r");
  return {
    name: path,
    sizeBytes: info.size,
    async read(offset, length) {
      const bytes = new Uint8Array(length);
      let done = 0;
      while (done < length) {
        const { bytesRead } = await handle.read(bytes, done, length - done, offset + done);
        if (bytesRead === 0)
          throw new ModelFileError(`reading ${path}: expected ${length} bytes at ${offset}, the file ends after ${done}`);
        done += bytesRead;
      }
      return bytes;
    },
    close: () => handle.close(),
  };
}
