import { type Grade, type Grader, gradeAnswer } from "../grading/index.ts";
import type { ChatProblem } from "../tasks/task.ts";
import type { Solved } from "./solver.ts";

/**
 * Grades a response. strict: a solver that knows the model's markers says what stands after its reasoning; of other responses the
 * grader looks for the usual markers. reference: the whole response, as it was published.
 */
export function grade(
  { target, question, answerKind: kind }: Pick<ChatProblem, "target" | "question" | "answerKind">,
  { text, answer, finishReason }: Pick<Solved, "text" | "answer" | "finishReason">,
  grader: Grader,
): Grade {
  if (grader === "reference") return gradeAnswer({ response: text, target, kind, problem: question, grader });
  if (answer === "" && text !== "" && finishReason === "length")
    return { isCorrect: false, extracted: null, rule: "unfinished reasoning" };
  return gradeAnswer({ response: answer ?? text, target, kind, problem: question, grader });
}
