/** What the folder of a run knows of its attempts: which are current, and how each problem's answer is compared. */
import { existsSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { ATTEMPTS_FILE } from "../attempts/attempt-log.ts";
import { problemKey, readProblemRecords } from "../attempts/problem-file.ts";
import { readSettings, SETTINGS_FILE } from "../attempts/settings-file.ts";
import { DATA_SETS } from "../data/data-sets.ts";
import type { AnswerKind } from "../grading/index.ts";

export interface RunContext {
  isCurrent(settingsHash: string): boolean;
  /** Place of a cell in the tables of its run. */
  placeOf(settingsHash: string): number;
  problemOf(
    settingsHash: string,
    problemId: string,
  ): { readonly kind: AnswerKind | undefined; readonly question: string | undefined };
}

/** Reads the context of a run's file of attempts; undefined for another file. @throws ModelFileError */
export async function readRunContext(path: string): Promise<RunContext | undefined> {
  const folder = dirname(path);
  if (basename(path) !== ATTEMPTS_FILE || !existsSync(join(folder, SETTINGS_FILE))) return undefined;
  const settings = await readSettings(folder);
  const problems = await readProblemRecords(folder);
  const places = new Map(settings?.cells.map(({ settingsHash }, i) => [settingsHash, i]));
  const cells = new Map(settings?.cells.map((cell) => [cell.settingsHash, cell]));
  return {
    isCurrent: (settingsHash) => cells.has(settingsHash),
    placeOf: (settingsHash) => places.get(settingsHash) ?? places.size,
    problemOf: (settingsHash, id) => {
      const cell = cells.get(settingsHash);
      const problem = problems.get(problemKey({ problemSet: cell?.problemSet ?? "", id }));
      return { kind: problem?.answerKind ?? kindOfTask(cell?.task), question: problem?.question };
    },
  };
}

/** Of runs whose problems do not say it. */
function kindOfTask(task = ""): AnswerKind | undefined {
  if (task === "registers" || task === "variables") return "integer";
  if (task === "graph") return "text";
  return Object.entries(DATA_SETS).find(([name]) => name === task)?.[1].answerKind;
}
