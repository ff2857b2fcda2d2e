/** `lessismore eval merge`: joins the folders of shards, or of methods, in one. */
import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { ConfigError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { AttemptLog, readAttempts } from "../attempts/attempt-log.ts";
import { attemptKey } from "../attempts/attempt-schema.ts";
import { addProblemRecords, type ProblemRecord, readProblemRecords } from "../attempts/problem-file.ts";
import { readRun } from "../attempts/read-run.ts";
import { lockFolder } from "../attempts/run-lock.ts";
import {
  addSettings,
  type CellRecord,
  canonicalJson,
  type RunSettings,
  readSettings,
} from "../attempts/settings-file.ts";
import { copyTraces } from "../attempts/trace-files.ts";
import { writeResults } from "../results-files/write-results.ts";
import { comparePaired, summarise } from "../statistics/index.ts";
import { type CommandHost, writeNotes } from "./command-host.ts";
import { describeCells, describePairs } from "./describe-results.ts";

/** Attempts that wait for the disk together. */
const BATCH = 512;

export interface MergeCommand {
  readonly folders: readonly string[];
  readonly out: string;
  readonly json: boolean;
}

/**
 * Merges folders: every attempt once, the first of two that are the same. Merging again adds nothing.
 * @throws ConfigError if a folder holds no evaluation, or the same task, length and attention were run with other settings
 */
export async function runMerge({ folders, out, json }: MergeCommand, host: CommandHost): Promise<number> {
  const found = await Promise.all(
    folders.map(async (folder) => ({ folder, settings: await settingsOf(folder) })),
  );
  const sources = found.filter((source): source is Source => source.settings !== undefined);
  const empty = found.filter(({ settings }) => settings === undefined).map(({ folder }) => folder);
  if (sources.length === 0)
    throw new ConfigError(`merging: no folder holds an evaluation, but ${empty.join(", ")} are empty`);
  checkSettings(sources);
  const unlock = await lockFolder(out);
  try {
    const before = await readSettings(out);
    if (before !== undefined) checkSettings([{ folder: out, settings: before }, ...sources]);
    for (const { folder, settings } of sources)
      if (resolve(folder) !== resolve(out)) {
        await addSettings(out, await withoutKnownRuns(out, settings));
        await addProblemRecords(out, (await readProblemRecords(folder)).values());
        await copyTraces(folder, out);
      }
    const added = await copyAttempts(sources, out);
    const results = await writeResults(out);
    const { attempts, settings: merged } = await readRun(out, { keepResponses: false });
    const cells = summarise(attempts);
    const [first] = attempts;
    const pairs = first === undefined ? [] : comparePaired(attempts, first.attention);
    if (json)
      host.stdout.write(
        `${JSON.stringify({ out, results, added, attempts: attempts.length, cells, pairs })}\n`,
      );
    else
      host.stdout.write(
        `${[describeCells(cells, host.stdout.columns), ...describePairs(pairs, host.stdout.columns)].join("\n\n")}\n`,
      );
    writeNotes(host, [`${added} attempts added, ${attempts.length} in all; results in ${results ?? out}`]);
    const gaps = describeGaps(merged.cells, await readProblemRecords(out), attempts);
    if (empty.length > 0) gaps.push(`${empty.join(", ")}: nothing is there; its run has not begun`);
    writeNotes(host, gaps);
    return empty.length > 0 ? 1 : 0;
  } finally {
    await unlock();
  }
}

interface Source {
  readonly folder: string;
  readonly settings: RunSettings;
}

/**
 * The settings of a folder; undefined if the folder is empty: a task of an array that never began.
 * @throws ConfigError if it is something else
 */
async function settingsOf(folder: string): Promise<RunSettings | undefined> {
  const settings = await readSettings(folder);
  if (settings !== undefined) return settings;
  const names = await readdir(folder).catch(() => undefined);
  if (names === undefined || names.some((name) => name !== ".lock"))
    throw new ConfigError(
      `${folder} holds no evaluation: there is no settings.json; name folders of "lessismore eval --out"`,
    );
  return undefined;
}

/** Names the cells some of whose problems have fewer attempts than others: a shard that has not ended, or runs of other sizes. */
function describeGaps(
  cells: readonly CellRecord[],
  problems: ReadonlyMap<string, ProblemRecord>,
  attempts: readonly Attempt[],
): string[] {
  const counts = new Map<string, Map<string, number>>();
  for (const { settingsHash, problemId } of attempts) {
    const ofCell = counts.get(settingsHash) ?? new Map<string, number>();
    counts.set(settingsHash, ofCell.set(problemId, (ofCell.get(problemId) ?? 0) + 1));
  }
  return cells.flatMap(({ settingsHash, problemSet, task, length, attention }) => {
    const ofCell = counts.get(settingsHash) ?? new Map<string, number>();
    const asked = [...problems.values()].filter((problem) => problem.problemSet === problemSet);
    const most = [...ofCell.values()].reduce((a, b) => Math.max(a, b), 1);
    const short = asked.filter(({ id }) => (ofCell.get(id) ?? 0) < most);
    if (short.length === 0) return [];
    const missing = short.reduce((sum, { id }) => sum + most - (ofCell.get(id) ?? 0), 0);
    const name = `${task}${length === undefined ? "" : ` of ${length} tokens`} under ${attention}`;
    return [
      `${name}: ${short.length} of ${asked.length} problems lack ${missing} attempts that others have; where a shard has not ended, run it again and merge again`,
    ];
  });
}

/** Refuses other settings of the same cell, and says which. */
function checkSettings(sources: readonly Source[]): void {
  const seen = new Map<string, { readonly folder: string; readonly cell: CellRecord }>();
  for (const { folder, settings } of sources)
    for (const cell of settings.cells) {
      const key = JSON.stringify([cell.task, cell.length ?? null, cell.attention]);
      const first = seen.get(key);
      if (first === undefined) seen.set(key, { folder, cell });
      else if (first.cell.settingsHash !== cell.settingsHash)
        throw new ConfigError(
          `${first.folder} and ${folder} ran ${cell.task}${cell.length === undefined ? "" : ` ${cell.length}`} under ` +
            `${cell.attention} with other settings (${differences(first.cell.settings, cell.settings).join(", ")}); ` +
            "merge folders of one command and model",
        );
    }
}

/** The keys whose values differ, down to the second level. */
function differences(a: Readonly<Record<string, unknown>>, b: Readonly<Record<string, unknown>>): string[] {
  const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
    typeof value === "object" && value !== null && !Array.isArray(value);
  return [...new Set([...Object.keys(a), ...Object.keys(b)])].flatMap((key) => {
    const [left, right] = [a[key], b[key]];
    if (canonicalJson(left) === canonicalJson(right)) return [];
    return isRecord(left) && isRecord(right)
      ? differences(left, right).map((inner) => `${key}.${inner}`)
      : [key];
  });
}

async function withoutKnownRuns(out: string, settings: RunSettings): Promise<RunSettings> {
  const known = new Set((await readSettings(out))?.runs.map((run) => canonicalJson(run)));
  return { ...settings, runs: settings.runs.filter((run) => !known.has(canonicalJson(run))) };
}

async function copyAttempts(sources: readonly Source[], out: string): Promise<number> {
  const { log, attempts } = await AttemptLog.open(out);
  let added = 0;
  try {
    let waiting: Promise<void>[] = [];
    for (const { folder, settings } of sources) {
      const current = new Set(settings.cells.map(({ settingsHash }) => settingsHash));
      for await (const attempt of readAttempts(folder)) {
        const key = attemptKey(attempt);
        if (!current.has(attempt.settingsHash) || attempts.has(key)) continue;
        attempts.set(key, { ...attempt, response: "" });
        added++;
        waiting.push(log.append(attempt));
        if (waiting.length < BATCH) continue;
        await Promise.all(waiting);
        waiting = [];
      }
    }
    await Promise.all(waiting);
  } finally {
    await log.close();
  }
  return added;
}
