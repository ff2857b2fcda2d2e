import type { AnswerKind } from "../grading/index.ts";

/** A response to grade, as a file has it. */
export interface GivenResponse {
  readonly task: string;
  /** The method or model that made it. */
  readonly attention: string;
  readonly length?: number;
  readonly problemId: string;
  /** Number of the attempt at the problem, from 0. */
  readonly attempt: number;
  readonly seed: number;
  readonly settingsHash: string;
  readonly response: string;
  readonly target: string;
  /** How the answer is compared; absent if the file does not say. */
  readonly kind?: AnswerKind;
  /** Text of the problem, which the reference's grader reads. */
  readonly question?: string;
  /** Characters at the end of the response that follow the reasoning, if its maker knew the model's markers. */
  readonly answerChars?: number;
  /** Tokens and the reason of the end; absent if the file does not say. */
  readonly usage?: {
    readonly promptTokens: number;
    readonly completionTokens: number;
    readonly finishReason: "stop" | "length";
  };
  readonly before?: EarlierGrade;
  /** Other fields that the graded row keeps. JSON. */
  readonly row: Readonly<Record<string, unknown>>;
}

/** The grade that the file has. */
export interface EarlierGrade {
  readonly isCorrect: boolean;
  readonly extracted: string | null;
  readonly rule: string | null;
}
