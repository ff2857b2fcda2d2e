/** Writes the results of a run's folder as lm-evaluation-harness does: `MODEL/results_DATE.json`, `MODEL/samples_TASK_DATE.jsonl`. */
import { join } from "node:path";
import type { Attempt } from "../attempts/attempt.ts";
import { attemptKey } from "../attempts/attempt-schema.ts";
import { makeFolder } from "../attempts/make-folder.ts";
import { problemKey, readProblemRecords } from "../attempts/problem-file.ts";
import { readRun } from "../attempts/read-run.ts";
import { jsonLines, replaceFile, replaceJson } from "../attempts/replace-file.ts";
import type { CellRecord } from "../attempts/settings-file.ts";
import { summarise } from "../statistics/index.ts";
import { cellName, modelFolder } from "./cell-name.ts";
import { type CellResult, resultsJson } from "./results-json.ts";
import { sampleRow } from "./sample-rows.ts";

/** What to write, and where. */
export interface WriteResultsOptions {
  /** Keys of the attempts to write; all under the folder's current settings if left out. */
  readonly keys?: ReadonlySet<string>;
  readonly elapsedSeconds?: number;
  readonly date?: Date;
}

/** @returns the path of the results file; undefined if there is no attempt. @throws ModelFileError */
export async function writeResults(
  folder: string,
  { keys, elapsedSeconds, date = new Date() }: WriteResultsOptions = {},
): Promise<string | undefined> {
  const { settings, attempts } = await readRun(folder);
  const problems = await readProblemRecords(folder);
  const wanted = keys === undefined ? attempts : attempts.filter((attempt) => keys.has(attemptKey(attempt)));
  const byHash = new Map<string, Attempt[]>();
  for (const attempt of wanted) {
    const rows = byHash.get(attempt.settingsHash);
    if (rows === undefined) byHash.set(attempt.settingsHash, [attempt]);
    else rows.push(attempt);
  }
  const results: CellResult[] = [];
  for (const cell of settings.cells) {
    const rows = byHash.get(cell.settingsHash);
    const [summary] = rows === undefined ? [] : summarise(rows);
    if (rows === undefined || summary === undefined) continue;
    results.push({ cell, summary, samples: samplesOf(cell, rows, problems) });
  }
  if (results.length === 0) return undefined;
  const day = date.toISOString().replaceAll(":", "-").replace("Z", "");
  const target = join(folder, modelFolder(settings.runs.at(-1)?.model ?? "model"));
  const path = join(target, `results_${day}.json`);
  await makeFolder(target);
  for (const { cell, samples } of results)
    await replaceFile(join(target, `samples_${cellName(cell)}_${day}.jsonl`), jsonLines(samples));
  const { runs } = settings;
  await replaceJson(
    path,
    resultsJson(results, { runs, date, ...(elapsedSeconds !== undefined && { elapsedSeconds }) }),
  );
  return path;
}

function samplesOf(
  { problemSet }: CellRecord,
  rows: readonly Attempt[],
  problems: Awaited<ReturnType<typeof readProblemRecords>>,
) {
  const byProblem = new Map<string, [Attempt, ...Attempt[]]>();
  for (const row of [...rows].sort((a, b) => a.attempt - b.attempt)) {
    const some = byProblem.get(row.problemId);
    if (some === undefined) byProblem.set(row.problemId, [row]);
    else some.push(row);
  }
  // In the order in which the task made them, whatever the order in which they were solved.
  const place = (id: string) =>
    problems.get(problemKey({ problemSet, id }))?.index ?? Number.MAX_SAFE_INTEGER;
  return [...byProblem]
    .sort(([a], [b]) => place(a) - place(b))
    .map(([id, attempts], i) => {
      const lost = { problemSet, id, index: i, target: attempts[0].target, doc: {} };
      return sampleRow(problems.get(problemKey({ problemSet, id })) ?? lost, attempts);
    });
}
