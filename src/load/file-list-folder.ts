import { ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder } from "./byte-source.ts";

/**
 * Presents files that a person chose or dropped in a browser as one folder. A file's path is its path below the chosen
 * folder (`webkitRelativePath` without its first part), else its name.
 * @throws ModelFileError when two files have the same path.
 */
export function createFileListFolder(files: readonly File[], name = "the chosen files"): FileFolder {
  const byPath = new Map<string, File>();
  for (const file of files) {
    const path = pathOf(file);
    if (byPath.has(path))
      throw new ModelFileError(
        `opening ${name}: two of them are called ${path}; choose the files of one checkpoint`,
      );
    byPath.set(path, file);
  }
  return {
    name,
    open: async (path) => {
      const file = byPath.get(path);
      return file && fileSource(file, `${name}/${path}`);
    },
    list: async () => [...byPath.keys()],
  };
}

function pathOf(file: File): string {
  const relative = file.webkitRelativePath || file.name; // "" for files chosen one by one
  return relative === file.name ? file.name : relative.slice(relative.indexOf("/") + 1);
}

/** Reads a chosen file. A browser refuses to read a file that changed after it was chosen. */
function fileSource(file: File, name: string): ByteSource {
  const { size: sizeBytes } = file;
  return {
    name,
    sizeBytes,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes }, offset, length);
      let bytes: Uint8Array;
      try {
        bytes = new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new ModelFileError(`reading ${name}: ${String(cause)}; choose the file again`, { cause });
      }
      if (bytes.length !== length)
        throw new ModelFileError(
          `reading ${name}: expected ${length} bytes from ${offset}, got ${bytes.length}; choose the file again`,
        );
      return bytes;
    },
  };
}
