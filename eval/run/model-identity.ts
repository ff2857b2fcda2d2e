/** Names a model by its content, so that rows of one model are never taken for rows of another. */
import { createHash } from "node:crypto";
import { open, readdir, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ModelFileError } from "../../src/node/index.ts";

/** Files that decide what a checkpoint computes and what its text means. */
const RELEVANT =
  /^(config|generation_config|tokenizer|tokenizer_config|special_tokens_map|added_tokens|vocab|chat_template)\.json$|\.(safetensors|safetensors\.index\.json|gguf|jinja|model)$|^merges\.txt$/i;
const WEIGHTS = /\.(safetensors|gguf|pth)$/i;
/** A file up to this size is hashed whole, of a larger one as many pieces: a checkpoint of 16 GB takes milliseconds. */
const WHOLE_BYTES = 8 << 20;
const PIECES = 128;
const PIECE_BYTES = WHOLE_BYTES / PIECES;
/** A snapshot of the hub's cache: its folder is the commit. */
const SNAPSHOT = /[\\/]snapshots[\\/]([0-9a-f]{40})([\\/]|$)/;

/**
 * Identifies a model.
 * named: as the command named it; undefined for the bundled one. opened: the folder or URL that it was opened from.
 * @returns JSON: the commit of a model of the hub; a hash over the names, sizes and contents of local files (of weights,
 * evenly spread pieces); the URL of a remote one.
 */
export async function identifyModel(
  named: string | undefined,
  opened: string,
): Promise<Readonly<Record<string, unknown>>> {
  const commit = SNAPSHOT.exec(opened)?.[1];
  if (commit !== undefined) return { model: named ?? opened, revision: commit };
  if (/^https?:/.test(opened)) return { model: opened };
  try {
    return { contentSha256: await hashContent(named, opened) };
  } catch (cause) {
    throw new ModelFileError(`identifying the model in ${opened}: ${String(cause)}`, { cause });
  }
}

/** Hash of a local file, or of a folder's weights; undefined if there is nothing at the path. */
export async function hashPath(path: string): Promise<string | undefined> {
  const info = await stat(path).catch(() => undefined);
  if (info === undefined) return undefined;
  const folder = info.isFile() ? dirname(path) : path;
  const names = info.isFile() ? [basename(path)] : (await readdir(path)).filter((name) => WEIGHTS.test(name));
  const hash = createHash("sha256");
  for (const name of names.sort()) await addFile(hash, folder, name);
  return hash.digest("hex");
}

async function hashContent(named: string | undefined, opened: string): Promise<string> {
  const isFile = named !== undefined && (await stat(named).catch(() => undefined))?.isFile();
  const folder = isFile ? dirname(named) : opened;
  const isGguf = isFile && /\.gguf$/i.test(named);
  const names = (await readdir(folder))
    .filter((name) => RELEVANT.test(name) && !(isGguf && !WEIGHTS.test(name)))
    .filter((name) => !isFile || !WEIGHTS.test(name) || baseOf(name) === baseOf(basename(named)));
  const hash = createHash("sha256");
  for (const name of names.sort()) await addFile(hash, folder, name);
  return hash.digest("hex");
}

/** The name that the parts of a split file share. */
const baseOf = (name: string): string => name.replace(/-\d{5}-of-\d{5}(?=\.\w+$)/, "");

async function addFile(hash: ReturnType<typeof createHash>, folder: string, name: string): Promise<void> {
  const path = join(folder, name);
  const { size } = await stat(path);
  hash.update(`${name}\n${size}\n`);
  const file = await open(path, "r");
  try {
    const pieces = size <= WHOLE_BYTES ? 1 : PIECES;
    const bytes = new Uint8Array(pieces === 1 ? size : PIECE_BYTES);
    for (let i = 0; i < pieces; i++) {
      const start = pieces === 1 ? 0 : Math.floor((i * (size - PIECE_BYTES)) / (PIECES - 1));
      const { bytesRead } = await file.read(bytes, 0, bytes.length, start);
      hash.update(bytes.subarray(0, bytesRead));
    }
  } finally {
    await file.close();
  }
}
