/** Files that are written anew in one step. */
import { open, rename, rm, stat } from "node:fs/promises";
import { ConfigError, ModelFileError } from "../../src/node/index.ts";

type Pieces = Iterable<string | Uint8Array> | AsyncIterable<string | Uint8Array>;

/**
 * Writes a file's pieces, so that a kill or a full disk leaves the old file, whole, and no other. A pipe or a device takes them as
 * they are.
 * @throws ModelFileError; a ModelFileError or ConfigError of the pieces as it is
 */
export async function replaceFile(path: string, pieces: Pieces): Promise<void> {
  const partial = `${path}.partial`;
  try {
    const found = await stat(path).catch(() => undefined);
    if (found && !found.isFile() && !found.isDirectory()) return await writePieces(path, pieces);
    await writePieces(partial, pieces);
    await rename(partial, path);
  } catch (cause) {
    await rm(partial, { force: true }).catch(() => {});
    if (cause instanceof ModelFileError || cause instanceof ConfigError) throw cause;
    throw new ModelFileError(`writing ${path}: ${String(cause)}`, { cause });
  }
}

async function writePieces(path: string, pieces: Pieces): Promise<void> {
  const file = await open(path, "w");
  try {
    for await (const piece of pieces) await file.appendFile(piece);
    if ((await file.stat()).isFile()) await file.sync();
  } finally {
    await file.close();
  }
}

/** Replaces a file of JSON for people to read, too. @throws ModelFileError */
export function replaceJson(path: string, content: unknown): Promise<void> {
  return replaceFile(path, [`${JSON.stringify(content, null, 2)}\n`]);
}

/** One line of JSON each. */
export function* jsonLines(rows: Iterable<unknown>): Generator<string> {
  for (const row of rows) yield `${JSON.stringify(row)}\n`;
}
