/** Grading: the answer in a response, and whether it is the target. */
import { isEquivalent } from "./equivalence.ts";
import { type ExtractOptions, extractAnswer } from "./extract.ts";
import { extractLikeReference } from "./reference/extract.ts";
import { isEqualLikeReference } from "./reference/math-equal.ts";

export { type AnswerKind, isEquivalent } from "./equivalence.ts";
export {
  type Extraction,
  type ExtractionRule,
  type ExtractOptions,
  extractAnswer,
  type ReasoningMarkers,
} from "./extract.ts";

/**
 * strict: after the reasoning only, without leniencies. reference: the grader that LessIsMore was published with, faults
 * and leniencies included, to compare with its figures.
 */
export type Grader = "strict" | "reference";

/** A response and the answer that it should have. */
export interface GradeRequest extends ExtractOptions {
  readonly response: string;
  readonly target: string;
  /** Default: "strict". */
  readonly grader?: Grader;
  /** Text of the problem; "reference" splits answers at commas if it asks for answers separated by them. */
  readonly problem?: string;
}

/** The verdict on a response. */
export interface Grade {
  readonly isCorrect: boolean;
  /** The answer found in the response; null if none was. */
  readonly extracted: string | null;
  /** The rule of extraction that fired. */
  readonly rule: string;
}

/** Grades a response: extracts its answer and compares it with the target. Never throws. */
export function gradeAnswer(request: GradeRequest): Grade {
  if (request.grader === "reference") return gradeLikeReference(request);
  const { answer, rule } = extractAnswer(request.response, request);
  const isCorrect = answer !== null && isEquivalent(answer, request.target, request.kind ?? "math");
  return { isCorrect, extracted: answer, rule };
}

/** The published evaluation makes AIME's targets integers: "025" is 25. */
function gradeLikeReference({ response, target, problem = "", kind }: GradeRequest): Grade {
  const { answer, rule } = extractLikeReference(problem, response);
  const wanted =
    kind === "integer" && /^\s*[-+]?\d+\s*$/.test(target) ? BigInt(target.trim()).toString() : target;
  return { isCorrect: isEqualLikeReference(answer, wanted), extracted: answer === "" ? null : answer, rule };
}
