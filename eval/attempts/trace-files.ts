/** `traces/` of a run's folder: one file of traced steps a method and problem, each whole. */
import { existsSync } from "node:fs";
import { copyFile, readdir, rename } from "node:fs/promises";
import { join } from "node:path";
import { ModelFileError } from "../../src/node/index.ts";
import { makeFolder } from "./make-folder.ts";
import { readLines } from "./read-lines.ts";

export const TRACES_FOLDER = "traces";

/** Names of a folder's traces, sorted; none if it has no traces. @throws ModelFileError */
export async function listTraces(folder: string): Promise<string[]> {
  const path = join(folder, TRACES_FOLDER);
  try {
    return (await readdir(path)).filter((name) => name.endsWith(".jsonl")).sort();
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return [];
    throw new ModelFileError(`reading ${path}: ${String(cause)}`, { cause });
  }
}

/** The first line of a file; empty if it has none, undefined without the file. @throws ModelFileError */
export async function readFirstLine(path: string): Promise<string | undefined> {
  if (!existsSync(path)) return undefined;
  for await (const { text } of readLines(path)) return text;
  return "";
}

/** Copies the traces that the other folder lacks; a name holds the hash of settings and problem. @throws ModelFileError */
export async function copyTraces(from: string, to: string): Promise<void> {
  const names = await listTraces(from);
  if (names.length === 0) return;
  const target = join(to, TRACES_FOLDER);
  await makeFolder(target);
  const there = new Set(await listTraces(to));
  for (const name of names.filter((one) => !there.has(one)))
    try {
      await copyFile(join(from, TRACES_FOLDER, name), join(target, `${name}.partial`));
      await rename(join(target, `${name}.partial`), join(target, name));
    } catch (cause) {
      throw new ModelFileError(`copying the trace ${name} to ${target}: ${String(cause)}`, { cause });
    }
}
