/**
 * Responses of files of other programs and of earlier runs: rows of `attempts.jsonl`, of lm-evaluation-harness's `samples_*.jsonl`,
 * lines with a response and an answer, and LessIsMore's own results, an object of attempts.
 */
import { basename, dirname } from "node:path";
import { ModelFileError } from "../../src/node/index.ts";
import type { Attempt } from "../attempts/attempt.ts";
import { attemptOf } from "../attempts/attempt-schema.ts";
import type { GivenResponse } from "./given-response.ts";
import { isRecord, type JsonRow, readRows, readWhole } from "./read-rows.ts";
import { answerOf, earlierGrade, find, kindOf, spellingsOf, textOf, textsOf } from "./row-fields.ts";
import type { RunContext } from "./run-context.ts";

/** What a file has that is no response to grade. */
export interface Skipped {
  /** Forced tokens, which no grader reads. */
  forced: number;
  /** Attempts under settings that a later run has replaced. */
  replaced: number;
  /** The same attempts once more, such as those of another filter. */
  repeated: number;
}

/**
 * Yields the responses of a file. `context`: what the folder of a run says of its attempts. `skipped`: counts what is left out
 * @throws ModelFileError naming a row without a response or a target
 */
export async function* readResponses(
  path: string,
  context: RunContext | undefined,
  skipped: Skipped,
): AsyncGenerator<GivenResponse> {
  const seen = new Set<string>();
  for await (const row of path.endsWith(".json") ? rowsOfWhole(path) : readRows(path))
    for (const given of responsesOf(row, path, context, skipped)) {
      const { task, length, attention, problemId, attempt, settingsHash } = given;
      const key = JSON.stringify([task, length, attention, problemId, attempt, settingsHash]);
      if (seen.has(key)) skipped.repeated++;
      else yield given;
      seen.add(key);
    }
}

/** The rows of a list, or of `{"attempt_1": {"0": {problem, response, …}}}`, each with its problem's id and its attempt. */
async function* rowsOfWhole(path: string): AsyncGenerator<JsonRow> {
  const whole = await readWhole(path);
  if (Array.isArray(whole)) {
    for (const [i, fields] of whole.entries())
      yield { fields: isRecord(fields) ? fields : {}, place: `row ${i + 1}` };
    return;
  }
  for (const [name, problems] of Object.entries(isRecord(whole) ? whole : {})) {
    const number = /^attempt_(\d+)$/.exec(name)?.[1];
    if (number === undefined || !isRecord(problems))
      throw new ModelFileError(
        `reading ${path}: expected a list of rows, or an object of attempts ("attempt_1": {"0": …}), found ${JSON.stringify(name.slice(0, 40))}; give other results as .jsonl`,
      );
    for (const [id, fields] of Object.entries(problems))
      if (isRecord(fields))
        yield { fields: { ...fields, id, attempt: Number(number) - 1 }, place: `${name}, ${id}` };
  }
}

function responsesOf(
  { fields, place }: JsonRow,
  path: string,
  context: RunContext | undefined,
  skipped: Skipped,
): readonly GivenResponse[] {
  const attempt = attemptOf(fields);
  if (attempt !== undefined) return ofAttempt(attempt, fields, context, skipped);
  const where = `reading ${path}: ${place}`;
  const responses = textsOf(find(fields, "response"));
  if (responses === undefined || responses.length === 0)
    throw new ModelFileError(
      `${where} has no response; expected a text, or a list of them, in one of ${spellingsOf("response")}; it has ${namesOf(fields)}`,
    );
  const { doc } = fields;
  const given = textOf(find(fields, "target")) ?? (isRecord(doc) ? textOf(find(doc, "target")) : undefined);
  if (given === undefined)
    throw new ModelFileError(
      `${where} has no right answer; expected a text or number in one of ${spellingsOf("target")}; it has ${namesOf(fields)}`,
    );
  const target = answerOf(given, doc);
  const kind = kindOf(fields, target);
  const question =
    textOf(find(fields, "question")) ?? (isRecord(doc) ? textOf(find(doc, "question")) : undefined);
  const first = Number.isSafeInteger(fields.attempt) ? Number(fields.attempt) : 0;
  return responses.map((response, i): GivenResponse => {
    const before = earlierGrade(fields, i, responses.length);
    return {
      ...namesOfRow(fields, path, place),
      ...{ attempt: first + i, seed: 0, settingsHash: "", response, target },
      ...(kind !== undefined && { kind }),
      ...(question !== undefined && { question }),
      ...(before !== undefined && { before }),
      row: {},
    };
  });
}

function ofAttempt(
  attempt: Attempt,
  row: JsonRow["fields"],
  context: RunContext | undefined,
  skipped: Skipped,
): readonly GivenResponse[] {
  const { settingsHash, problemId, task, length, attention, target, response, answerChars } = attempt;
  const { finishReason, promptTokens, completionTokens } = attempt;
  if (context !== undefined && !context.isCurrent(settingsHash)) {
    skipped.replaced++;
    return [];
  }
  if (finishReason === "scored") {
    skipped.forced++;
    return [];
  }
  const { kind, question } = context?.problemOf(settingsHash, problemId) ?? {};
  return [
    {
      ...{ task, attention, problemId, settingsHash, target, response, row },
      ...{ attempt: attempt.attempt, seed: attempt.seed },
      ...(length !== undefined && { length }),
      ...(kind !== undefined && { kind }),
      ...(question !== undefined && { question }),
      ...(answerChars !== undefined && { answerChars }),
      usage: { promptTokens, completionTokens, finishReason },
      before: { isCorrect: attempt.score === 1, extracted: attempt.extracted, rule: attempt.rule },
    },
  ];
}

/** Task and method from the row, else from the file's name; the place where a row has no id. */
function namesOfRow(fields: JsonRow["fields"], path: string, place: string) {
  const stem = basename(path).replace(/\.[a-z]+$/i, "");
  const [, sampled] = /^samples_(.+)_\d{4}-\d\d-\d\d[^_]*$/.exec(stem) ?? [];
  const method = textOf(fields.attention) ?? textOf(fields.model) ?? textOf(fields.method);
  const { doc } = fields;
  const id = isRecord(doc) ? textOf(find(doc, "id")) : undefined;
  return {
    task: textOf(fields.task) ?? sampled ?? stem,
    attention: method ?? (sampled === undefined ? "as given" : basename(dirname(path))),
    problemId: id ?? textOf(find(fields, "id")) ?? place,
  };
}

function namesOf(fields: JsonRow["fields"]): string {
  return Object.keys(fields).slice(0, 20).join(", ").slice(0, 300) || "no fields";
}
