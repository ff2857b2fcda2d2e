import { mkdir, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { ModelFileError } from "../../src/node/index.ts";

/** One by one: Node's `recursive` tries without end if a folder is there and takes none, as /proc. */
async function makeAll(path: string): Promise<void> {
  const above = dirname(path);
  if (above !== path && !(await isFolder(above))) await makeAll(above);
  try {
    await mkdir(path);
  } catch (cause) {
    if (!(await isFolder(path))) throw cause; // another shard may have made it meanwhile
  }
}

async function isFolder(path: string): Promise<boolean> {
  const found = await stat(path).catch(() => undefined);
  return found?.isDirectory() === true;
}

/** Makes a folder and those above it, unless it is there. @throws ModelFileError */
export async function makeFolder(path: string): Promise<void> {
  try {
    await makeAll(resolve(path));
  } catch (cause) {
    throw new ModelFileError(`making the folder ${path}: ${String(cause)}`, { cause });
  }
}
