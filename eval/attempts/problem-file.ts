/** `problems.jsonl` of a run's folder: what was asked, once for all methods, so that results can be written without the tasks. */
import { join } from "node:path";
import * as v from "valibot";
import { ModelFileError } from "../../src/node/index.ts";
import type { AnswerKind } from "../grading/index.ts";
import { readLines } from "./read-lines.ts";
import { jsonLines, replaceFile } from "./replace-file.ts";

export const PROBLEMS_FILE = "problems.jsonl";

export interface ProblemRecord {
  /** Hash of what decides the problems of a task and length; of their cells' records too. */
  readonly problemSet: string;
  readonly id: string;
  /** Place in the task's list, of which a shard has a part. */
  readonly index: number;
  readonly target: string;
  /** The messages; absent of forced tokens. */
  readonly messages?: readonly unknown[] | undefined;
  /** How answers are compared, and the bare question; absent of forced tokens. */
  readonly answerKind?: AnswerKind | undefined;
  readonly question?: string | undefined;
  readonly doc: Readonly<Record<string, unknown>>;
}

const PROBLEM = v.object({
  problemSet: v.string(),
  id: v.string(),
  index: v.number(),
  target: v.string(),
  messages: v.optional(v.array(v.unknown())),
  answerKind: v.optional(v.picklist(["math", "integer", "choice", "text"])),
  question: v.optional(v.string()),
  doc: v.record(v.string(), v.unknown()),
});

export const problemKey = ({ problemSet, id }: Pick<ProblemRecord, "problemSet" | "id">): string =>
  JSON.stringify([problemSet, id]);

/** Reads a folder's problems by their keys. @throws ModelFileError naming a line that is no problem */
export async function readProblemRecords(folder: string): Promise<Map<string, ProblemRecord>> {
  const path = join(folder, PROBLEMS_FILE);
  const problems = new Map<string, ProblemRecord>();
  for await (const { text, number } of readLines(path)) {
    const problem = parse(text);
    if (problem === undefined)
      throw new ModelFileError(
        `reading ${path}: line ${number} is not a problem; remove the file and run again`,
      );
    problems.set(problemKey(problem), problem);
  }
  return problems;
}

function parse(line: string): ProblemRecord | undefined {
  try {
    const { success, output } = v.safeParse(PROBLEM, JSON.parse(line));
    return success ? output : undefined;
  } catch {
    return undefined; // no JSON
  }
}

/** Adds problems to a folder's file; the file is the old one or the new one, whole. @throws ModelFileError */
export async function addProblemRecords(folder: string, added: Iterable<ProblemRecord>): Promise<void> {
  const problems = await readProblemRecords(folder);
  const before = problems.size;
  for (const problem of added)
    if (!problems.has(problemKey(problem))) problems.set(problemKey(problem), problem);
  if (problems.size === before) return;
  await replaceFile(join(folder, PROBLEMS_FILE), jsonLines(problems.values()));
}
