/** Node's store for measurements of the machine: small files in the user's cache folder. */
import { createHash, randomUUID } from "node:crypto";
import { mkdir, open, rename, rm, writeFile } from "node:fs/promises";
import { cpus, homedir } from "node:os";
import { join, posix, win32 } from "node:path";
import type { TuningStore } from "../backend/tuning-store.ts";

/** Longer than any stored text. */
const MAX_BYTES = 1 << 16;

/** This package's cache folder on this system; undefined if the user has no home. */
export function cacheFolder(
  environment: Readonly<Record<string, string | undefined>> = process.env,
  platform: string = process.platform,
  home: string = homedir(),
): string | undefined {
  const { join } = platform === "win32" ? win32 : posix;
  const named = platform === "win32" ? environment.LOCALAPPDATA : environment.XDG_CACHE_HOME;
  // XDG's specification ignores relative paths.
  if (named && (platform === "win32" || named.startsWith("/"))) return join(named, "lessismore");
  if (!home) return undefined;
  if (platform === "win32") return join(home, "AppData", "Local", "lessismore");
  return join(home, platform === "darwin" ? join("Library", "Caches") : ".cache", "lessismore");
}

/** A store in a folder, which the first write makes. */
export function createTuningStore(folder: string | undefined = cacheFolder()): TuningStore {
  const fileOf = (key: string) => {
    if (folder === undefined) throw new Error("there is no folder for caches");
    const name = createHash("sha256").update(key).digest("hex").slice(0, 16);
    return join(folder, `tuning-${name}.json`);
  };
  return {
    machine: describeMachine(),
    read: async (key) => {
      const file = await open(fileOf(key));
      try {
        const { size } = await file.stat();
        return size > MAX_BYTES ? undefined : await file.readFile("utf8");
      } finally {
        await file.close();
      }
    },
    write: async (key, text) => {
      const path = fileOf(key);
      const unfinished = `${path}.${randomUUID()}`;
      await mkdir(join(path, ".."), { recursive: true });
      try {
        await writeFile(unfinished, text);
        await rename(unfinished, path);
      } catch (error) {
        await rm(unfinished, { force: true });
        throw error;
      }
    },
  };
}

/** Identifies the processor, and the JavaScript engine that compiles the kernels. */
function describeMachine(): string {
  const model = cpus()[0]?.model.trim() ?? "unknown processor";
  return `${model}, ${cpus().length} cores, ${process.arch} | v8 ${process.versions.v8}`;
}
