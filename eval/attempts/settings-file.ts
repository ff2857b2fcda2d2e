/** `settings.json` of a run's folder: what its rows' hashes stand for, and the runs that made them. */
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import * as v from "valibot";
import { ModelFileError } from "../../src/node/index.ts";
import { replaceJson } from "./replace-file.ts";

export const SETTINGS_FILE = "settings.json";

/** One method on one task at one length: the rows with its hash. */
export interface CellRecord {
  readonly settingsHash: string;
  readonly task: string;
  readonly length?: number | undefined;
  readonly attention: string;
  /** Hash of what decides its problems; the same for all methods. */
  readonly problemSet: string;
  /** Everything that decides the outcome of its attempts, which the hash is of. JSON. */
  readonly settings: Readonly<Record<string, unknown>>;
}

/** One run of the command, for people. */
export interface RunRecord {
  readonly startedAt: string;
  /** The model as the command named it. */
  readonly model: string;
  /** Options of the command. JSON. */
  readonly options: Readonly<Record<string, unknown>>;
  /** Device, threads, versions. JSON. */
  readonly facts: Readonly<Record<string, unknown>>;
  readonly notes: readonly string[];
}

/** The settings of a folder of results. */
export interface RunSettings {
  readonly runs: readonly RunRecord[];
  /** Later ones replace earlier ones of the same task, length and attention. */
  readonly cells: readonly CellRecord[];
}

const json = v.record(v.string(), v.unknown());
const SETTINGS = v.object({
  format: v.literal(1),
  runs: v.array(
    v.object({
      startedAt: v.string(),
      model: v.string(),
      options: json,
      facts: json,
      notes: v.array(v.string()),
    }),
  ),
  cells: v.array(
    v.object({
      settingsHash: v.string(),
      task: v.string(),
      length: v.optional(v.number()),
      attention: v.string(),
      problemSet: v.string(),
      settings: json,
    }),
  ),
});

/** Reads a folder's settings; undefined if it has none. @throws ModelFileError */
export async function readSettings(folder: string): Promise<RunSettings | undefined> {
  const path = join(folder, SETTINGS_FILE);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (cause) {
    if (cause instanceof Error && "code" in cause && cause.code === "ENOENT") return undefined;
    throw new ModelFileError(`reading ${path}: ${String(cause)}`, { cause });
  }
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch (cause) {
    throw new ModelFileError(`reading ${path}: it is not JSON; restore it, or use another folder`, { cause });
  }
  const { success, output, issues } = v.safeParse(SETTINGS, content);
  if (!success)
    throw new ModelFileError(
      `reading ${path}: it is not the settings of an evaluation (${v.getDotPath(issues[0]) ?? "its top"}: ${issues[0].message})`,
    );
  return output;
}

/** Adds a run and its cells to a folder's settings; the file is the old one or the new one, whole. @throws ModelFileError */
export async function addSettings(folder: string, added: RunSettings): Promise<void> {
  const before = await readSettings(folder);
  const runs = [...(before?.runs ?? []), ...added.runs];
  await replaceJson(join(folder, SETTINGS_FILE), {
    format: 1,
    runs,
    cells: replaceCells([...(before?.cells ?? []), ...added.cells]),
  });
}

/** The last cell of each task, length and attention, in the order of their last mention. */
function replaceCells(cells: readonly CellRecord[]): CellRecord[] {
  const current = new Map<string, CellRecord>();
  for (const cell of cells) {
    const key = cellKey(cell);
    current.delete(key);
    current.set(key, cell);
  }
  return [...current.values()];
}

function cellKey({ task, length, attention }: Pick<CellRecord, "task" | "length" | "attention">): string {
  return JSON.stringify([task, length ?? null, attention]);
}

/** Hash of settings, the same for any order of keys: the first 16 hex digits of SHA-256. */
export function hashSettings(settings: Readonly<Record<string, unknown>>): string {
  return createHash("sha256").update(canonicalJson(settings)).digest("hex").slice(0, 16);
}

/** JSON with sorted keys; undefined entries are left out. */
export function canonicalJson(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalJson).join(",")}]`;
  if (typeof value !== "object" || value === null) return JSON.stringify(value ?? null);
  const entries = Object.entries(value)
    .filter(([, entry]) => entry !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, entry]) => `${JSON.stringify(key)}:${canonicalJson(entry)}`);
  return `{${entries.join(",")}}`;
}
