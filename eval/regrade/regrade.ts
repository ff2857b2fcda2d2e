/** Grades responses again, and says where the verdict changed. */
import type { Attempt } from "../attempts/attempt.ts";
import type { AnswerKind, Grade, Grader } from "../grading/index.ts";
import { grade } from "../run/grade.ts";
import type { GivenResponse } from "./given-response.ts";

/** How a file's responses are graded. */
export interface Regrading {
  readonly grader: Grader;
  /** Replaces what the file says. */
  readonly kind?: AnswerKind;
  /** The prompts open the reasoning: a response without its end has no answer. */
  readonly beginsInReasoning: boolean;
}

export interface Regraded extends Grade {
  readonly kind: AnswerKind;
}

/** Grades one response as a run does. */
export function regrade(given: GivenResponse, { grader, kind, beginsInReasoning }: Regrading): Regraded {
  const { response, answerChars, target, question = "", usage } = given;
  const answerKind = kind ?? given.kind ?? "math";
  const problem = { target, question, answerKind };
  const isUnfinished = answerChars === undefined && beginsInReasoning && !endsReasoning(response);
  const answer = isUnfinished
    ? ""
    : answerChars === undefined
      ? undefined
      : response.slice(response.length - answerChars);
  const finishReason = isUnfinished ? "length" : (usage?.finishReason ?? "stop");
  const solved = { text: response, finishReason, ...(answer !== undefined && { answer }) };
  return { ...grade(problem, solved, grader), kind: answerKind };
}

const ENDS = ["</think>", "[/THINK]"];
const STARTS = ["<think>", "[THINK]"];

function endsReasoning(response: string): boolean {
  return ENDS.some((end) => response.includes(end));
}

/** True for a response that ends a reasoning which it did not begin: its prompt did. */
export function endsWithoutStart(response: string): boolean {
  const end = Math.min(...ENDS.map((mark) => positionOf(response, mark)));
  return end < Math.min(...STARTS.map((mark) => positionOf(response, mark)));
}

function positionOf(text: string, mark: string): number {
  const at = text.indexOf(mark);
  return at < 0 ? Number.POSITIVE_INFINITY : at;
}

/** A response's row for statistics, without its text. */
export function attemptOfGiven(given: GivenResponse, { isCorrect, extracted, rule }: Grade): Attempt {
  const { task, length, attention, problemId, attempt, seed, settingsHash, target, usage } = given;
  return {
    ...{ task, attention, problemId, attempt, seed, settingsHash, target, extracted, rule },
    ...(length !== undefined && { length }),
    ...{ metric: "correct", score: isCorrect ? 1 : 0, response: "" },
    // A file without counts of tokens has no lengths to show.
    ...(usage ?? { promptTokens: 0, completionTokens: 0, finishReason: "scored" }),
  };
}

/** The graded row of a file: an attempt with its fields replaced, or a row in that form. */
export function gradedRow(
  given: GivenResponse,
  { isCorrect, extracted, rule, kind }: Regraded,
  grader: Grader,
) {
  const { task, length, attention, problemId, attempt, target, response, before, row } = given;
  return {
    ...{ task, ...(length !== undefined && { length }), attention, problemId, attempt, target, response },
    ...row,
    ...{ metric: "correct", score: isCorrect ? 1 : 0, extracted, rule, grader, answerKind: kind },
    ...(before !== undefined && { before }),
  };
}

/** A verdict that changed. */
export interface Change {
  readonly task: string;
  readonly attention: string;
  readonly problemId: string;
  readonly attempt: number;
  readonly target: string;
  readonly before: GivenResponse["before"];
  readonly now: Pick<Grade, "isCorrect" | "extracted" | "rule">;
}

/** Earlier and new verdicts. */
export class Agreement {
  /** Responses that had an earlier grade. */
  graded = 0;
  same = 0;
  readonly changes: Change[] = [];

  add(
    { task, attention, problemId, attempt, target, before }: GivenResponse,
    { isCorrect, extracted, rule }: Grade,
  ): void {
    if (before === undefined) return;
    this.graded++;
    if (before.isCorrect === isCorrect) this.same++;
    else
      this.changes.push({
        ...{ task, attention, problemId, attempt, target, before },
        now: { isCorrect, extracted, rule },
      });
  }
}
