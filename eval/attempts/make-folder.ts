import { mkdir } from "node:fs/promises";
import { ModelFileError } from "../../src/node/index.ts";

/** Makes a folder and those above it, unless it is there. @throws ModelFileError */
export async function makeFolder(path: string): Promise<void> {
  try {
    await mkdir(path, { recursive: true });
  } catch (cause) {
    throw new ModelFileError(`making the folder ${path}: ${String(cause)}`, { cause });
  }
}
