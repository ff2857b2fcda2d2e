import { ModelFileError } from "../base/errors.ts";
import { type ByteSource, checkRange, type FileFolder } from "./byte-source.ts";

/**
 * The files a person chose or dropped in a browser, as one folder. A file is found by its path below the chosen folder
 * (`webkitRelativePath` without its first part), else by its name.
 */
export function createFileListFolder(files: readonly File[], name = "the chosen files"): FileFolder {
  const byPath = new Map<string, File>();
  for (const file of files) byPath.set(pathOf(file), file);
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
  const relative = file.webkitRelativePath || file.name; // "" when chosen one by one
  return relative === file.name ? file.name : relative.slice(relative.indexOf("/") + 1);
}

function fileSource(file: File, name: string): ByteSource {
  return {
    name,
    sizeBytes: file.size,
    read: async (offset, length) => {
      checkRange({ name, sizeBytes: file.size }, offset, length);
      try {
        return new Uint8Array(await file.slice(offset, offset + length).arrayBuffer());
      } catch (cause) {
        throw new ModelFileError(`reading ${name}: ${String(cause)}; choose the file again`, { cause });
      }
    },
  };
}
