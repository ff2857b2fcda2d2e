import { open, readFile, rm } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { ConfigError, ModelFileError, takeKernelLock } from "../../src/node/index.ts";
import { makeFolder } from "./make-folder.ts";

const FILE = ".lock";
/** A killed process's lock is free within milliseconds; a busy machine may take seconds to say so. */
const PATIENCE_MS = 4000;

/**
 * Takes the lock of a run's folder, which it makes if it is missing. The kernel frees it when the process ends, however that is.
 * @returns its release
 * @throws ConfigError if another process works in the folder
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  await makeFolder(folder);
  const path = join(folder, FILE);
  const waiting = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const onWait = () => {
    timer = setTimeout(() => waiting.abort(), PATIENCE_MS);
  };
  try {
    const lock = await takeKernelLock(path, { signal: waiting.signal, onWait });
    return lock === undefined ? await lockByName(folder) : () => lock.release();
  } catch (error) {
    throw waiting.signal.aborted ? heldError(folder) : error;
  } finally {
    clearTimeout(timer);
  }
}

/** A lock for machines without kernel locks: a file with the process in it, stale once that process is gone. */
async function lockByName(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, `${FILE}-owner`);
  for (let attempt = 0; attempt < 2; attempt++) {
    try {
      const file = await open(path, "wx");
      await file.writeFile(JSON.stringify({ host: hostname(), pid: process.pid }));
      await file.close();
      return () => rm(path, { force: true });
    } catch (cause) {
      if (!(cause instanceof Error && "code" in cause && cause.code === "EEXIST"))
        throw new ModelFileError(`locking ${folder}: ${String(cause)}`, { cause });
      if (await isHeld(path)) throw heldError(folder, `; if that process is gone, remove ${path}`);
      await rm(path, { force: true });
    }
  }
  throw heldError(folder);
}

async function isHeld(path: string): Promise<boolean> {
  try {
    const owner: unknown = JSON.parse(await readFile(path, "utf8"));
    if (typeof owner !== "object" || owner === null || !("host" in owner && "pid" in owner)) return true;
    if (owner.host !== hostname()) return true;
    process.kill(Number(owner.pid), 0);
    return true;
  } catch (error) {
    return !(error instanceof Error && "code" in error && error.code === "ESRCH");
  }
}

function heldError(folder: string, hint = ""): ConfigError {
  return new ConfigError(
    `another process works in ${folder}; wait for its end, or give another folder with --out${hint}`,
  );
}
