/** What `lessismore eval grade` does; the command line loads it when it runs. */
import { statSync } from "node:fs";
import { basename, dirname, join, resolve } from "node:path";
import { ConfigError, ModelFileError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { ATTEMPTS_FILE } from "../attempts/attempt-log.ts";
import { makeFolder } from "../attempts/make-folder.ts";
import { replaceFile } from "../attempts/replace-file.ts";
import type { AnswerKind, Grader } from "../grading/index.ts";
import {
  Agreement,
  attemptOfGiven,
  type Change,
  endsWithoutStart,
  gradedRow,
  regrade,
} from "../regrade/regrade.ts";
import { readResponses, type Skipped } from "../regrade/responses.ts";
import { readRunContext } from "../regrade/run-context.ts";
import { percent } from "../report/table.ts";
import { summarise } from "../statistics/index.ts";
import { type CommandHost, writeNotes } from "./command-host.ts";
import { describeCells } from "./describe-results.ts";

export interface GradeCommand {
  /** Files of responses, or folders of runs. */
  readonly files: readonly string[];
  readonly grader: Grader;
  readonly kind?: AnswerKind;
  /** Folder of the graded files; default: beside each. */
  readonly out?: string;
  readonly json: boolean;
}

const SHOWN_CHANGES = 10;
/** Characters of an answer in a line for people. */
const SHOWN_CHARS = 40;

/** A file and what it becomes. */
interface Grading {
  readonly path: string;
  readonly target: string;
}

/** Grades files again, without a model. @throws ConfigError, ModelFileError */
export async function runGrade(command: GradeCommand, host: CommandHost): Promise<number> {
  const gradings = targetsOf(command);
  const agreement = new Agreement();
  const attempts: Attempt[] = [];
  const files: object[] = [];
  for (const grading of gradings) {
    const graded = await gradeFile(grading, command, { host, agreement, attempts });
    files.push({ file: grading.path, out: grading.target, ...graded });
  }
  const cells = summarise(attempts);
  const { graded, same, changes } = agreement;
  if (command.json)
    host.stdout.write(
      `${JSON.stringify({ grader: command.grader, files, cells, agreement: { graded, same, changes } })}\n`,
    );
  else
    host.stdout.write(
      `${[describeCells(cells, host.stdout.columns), describeAgreement(agreement)].join("\n\n")}\n`,
    );
  for (const { target } of gradings) writeNotes(host, [`graded rows in ${target}`]);
  return 0;
}

function targetsOf({ files, grader, out }: GradeCommand): Grading[] {
  const gradings = files.map((file) => {
    const path = isFolder(file) ? join(file, ATTEMPTS_FILE) : file;
    const name = `${basename(path).replace(/\.jsonl?$/, "")}.graded-${grader}.jsonl`;
    return { path, target: join(out ?? dirname(path), name) };
  });
  const taken = new Map<string, string>();
  for (const { path, target } of gradings) {
    const other = taken.get(resolve(target));
    if (other !== undefined)
      throw new ConfigError(
        `${other} and ${path} would both become ${target}; grade them one after the other, or leave out --out`,
      );
    taken.set(resolve(target), path);
  }
  return gradings;
}

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

interface GradeSums {
  readonly host: CommandHost;
  readonly agreement: Agreement;
  /** The graded attempts of all files. */
  readonly attempts: Attempt[];
}

async function gradeFile(
  { path, target }: Grading,
  { grader, kind }: GradeCommand,
  { host, agreement, attempts }: GradeSums,
): Promise<{ readonly responses: number; readonly skipped: Skipped }> {
  const context = await readRunContext(path);
  const beginsInReasoning = grader === "strict" && (await promptsOpenReasoning(path));
  const skipped: Skipped = { forced: 0, replaced: 0, repeated: 0 };
  const own: Attempt[] = [];
  await makeFolder(dirname(target));
  const lines = async function* () {
    for await (const given of readResponses(path, context, skipped)) {
      const result = regrade(given, { grader, beginsInReasoning, ...(kind !== undefined && { kind }) });
      agreement.add(given, result);
      own.push(attemptOfGiven(given, result));
      yield `${JSON.stringify(gradedRow(given, result, grader))}\n`;
    }
    if (own.length === 0)
      throw new ModelFileError(`reading ${path}: there is no response to grade${describeSkipped(skipped)}`);
  };
  await replaceFile(target, lines());
  const place = ({ settingsHash }: Attempt) => context?.placeOf(settingsHash) ?? 0;
  attempts.push(...own.sort((a, b) => place(a) - place(b)));
  if (beginsInReasoning)
    writeNotes(host, [
      `${path}: the prompts open the reasoning, so that a response without its end has no answer`,
    ]);
  const left = describeSkipped(skipped);
  if (left !== "") writeNotes(host, [`${path}: ${own.length} responses graded${left}`]);
  return { responses: own.length, skipped };
}

async function promptsOpenReasoning(path: string): Promise<boolean> {
  for await (const { response } of readResponses(path, undefined, { forced: 0, replaced: 0, repeated: 0 }))
    if (endsWithoutStart(response)) return true;
  return false;
}

function describeSkipped({ forced, replaced, repeated }: Skipped): string {
  return [
    ...(forced > 0 ? [`; ${forced} rows of forced tokens left out`] : []),
    ...(replaced > 0 ? [`; ${replaced} rows of settings that a later run replaced left out`] : []),
    ...(repeated > 0 ? [`; ${repeated} repeated rows left out`] : []),
  ].join("");
}

function describeAgreement({ graded, same, changes }: Agreement): string {
  if (graded === 0) return "No response had an earlier grade.";
  const right = changes.filter(({ now }) => now.isCorrect).length;
  const lines = changes.slice(0, SHOWN_CHANGES).map(describeChange);
  const left = changes.length - lines.length;
  return [
    `The same verdict as before on ${same} of ${graded} (${percent(same / graded)}); ${right} newly right, ${changes.length - right} newly wrong`,
    ...lines,
    ...(left > 0 ? [`  and ${left} more; --json has them all`] : []),
  ].join("\n");
}

function describeChange({ task, problemId, attempt, target, before, now }: Change): string {
  const said = (grade: { readonly extracted: string | null; readonly rule: string | null } | undefined) =>
    `${grade?.extracted == null ? "no answer" : quoted(grade.extracted)}${grade?.rule == null ? "" : ` by "${grade.rule}"`}`;
  const verdict = now.isCorrect ? "now right" : "now wrong";
  return `  ${task} ${problemId}, attempt ${attempt}: ${verdict}, ${said(now)}; before ${said(before)}; target ${quoted(target)}`;
}

function quoted(text: string): string {
  const line = text.replace(/\s+/g, " ");
  return JSON.stringify(line.length > SHOWN_CHARS ? `${line.slice(0, SHOWN_CHARS)}…` : line);
}
