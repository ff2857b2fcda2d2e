/** The cache of a saved conversation, in a file beside it. */
import { open, rm, writeFile } from "node:fs/promises";
import type { Engine, EngineReport, SessionOptions, SessionRequest } from "../../node/index.ts";

/** The file of a conversation's cache. */
export function cacheFileOf(file: string): string {
  return `${file}.safetensors`;
}

/** Removes the cache of an older conversation of that file. */
export async function removeCache(file: string): Promise<undefined> {
  await rm(cacheFileOf(file), { force: true });
}

/**
 * Writes the cache of a conversation. Says what it did.
 * @throws what the engine and the file system throw; an older file is gone then
 */
export async function saveCache(engine: Engine, request: SessionRequest, file: string): Promise<string> {
  const path = cacheFileOf(file);
  await removeCache(file);
  const { bytes, tokens, notes } = await engine.saveSession(request);
  await writeFile(path, bytes, { mode: 0o600 });
  return [`the cache of ${tokens} tokens to ${path} (${megabytes(bytes.length)})`, ...notes].join("; ");
}

/**
 * Puts the cache of a saved conversation into the engine. Says what it did; undefined if there is no file.
 * @throws what the engine and the file system throw: the conversation goes on without it
 */
export async function loadCache(
  engine: Engine,
  file: string,
  options: SessionOptions,
): Promise<string | undefined> {
  const path = cacheFileOf(file);
  const bytes = await readCache(path, maxBytes(engine.report()));
  if (!bytes) return undefined;
  const { tokens, notes } = await engine.loadSession(bytes, options);
  return [`the cache of its first ${tokens} tokens from ${path}`, ...notes].join("; ");
}

/** More than the file of any session of this engine has: a full context, as much again for a gate's data, and the header. */
function maxBytes({ model }: EngineReport): number {
  return 2 * model.contextLength * model.kvBytesPerToken + (1 << 20);
}

/** Maximum bytes of one read of Node's. */
const READ_BYTES = 256 << 20;

async function readCache(path: string, most: number): Promise<Uint8Array | undefined> {
  const file = await open(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (!file) return undefined;
  try {
    const { size } = await file.stat();
    if (size > most)
      throw new Error(
        `${path} has ${megabytes(size)}, more than the cache of a whole context of this model (${megabytes(most)})`,
      );
    const bytes = new Uint8Array(size);
    for (let at = 0; at < size; ) {
      const { bytesRead } = await file.read(bytes, at, Math.min(READ_BYTES, size - at), at);
      if (bytesRead === 0) throw new Error(`${path} became shorter while it was read`);
      at += bytesRead;
    }
    return bytes;
  } finally {
    await file.close();
  }
}

function megabytes(sizeBytes: number): string {
  return `${(sizeBytes / 1e6).toFixed(1)} MB`;
}
