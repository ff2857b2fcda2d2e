/** What an evaluation asks: problems to solve, and texts whose tokens are forced. */
import type { ChatMessage } from "../../src/node/index.ts";
import type { AnswerKind } from "../grading/equivalence.ts";
import type { SolverTokenizer } from "../run/solver.ts";

export type { AnswerKind };

interface ProblemBase {
  /** The same under every method; unique in its task and length. */
  readonly id: string;
  readonly target: string;
  /** The problem as its source has it, for the sample files. JSON. */
  readonly doc: Readonly<Record<string, unknown>>;
}

/** A problem that a response solves. */
export interface ChatProblem extends ProblemBase {
  readonly kind: "chat";
  readonly messages: readonly ChatMessage[];
  /** The bare question, which the reference's grader reads. */
  readonly question: string;
  readonly answerKind: AnswerKind;
  /** Limit on the response by the problem's own length; the command's limit may be lower. */
  readonly maxTokens?: number;
}

/** Tokens that are forced, whatever the model would say. One attempt suffices. */
export interface ForcedProblem extends ProblemBase {
  readonly kind: "forced";
  readonly tokenIds: readonly number[];
  /** First token that is fed as a decode step; those before it are the dense prefill. At least 1. */
  readonly from: number;
  /** First token that counts, at least `from`. */
  readonly countFrom: number;
  /** loss: mean negative log-likelihood of the counted tokens. correct: 1 if each of them is the likeliest. */
  readonly metric: "correct" | "loss";
}

/** A problem to solve, or tokens to force. */
export type TaskProblem = ChatProblem | ForcedProblem;

/** Which problems of a task to make. */
export interface ProblemOptions {
  /** Maximum number of problems; all of a data set if left out, a few of a generated one. */
  readonly count?: number;
  /** Tokens of a problem, for tasks that come in lengths. */
  readonly length?: number;
  readonly seed: number;
  readonly tokenizer?: SolverTokenizer;
  readonly signal?: AbortSignal;
}

/** A source of problems with one metric. */
export interface Task {
  readonly name: string;
  /** Higher with every change that makes other problems or prompts; enters the settings' hash. */
  readonly version: number;
  /** Everything else that decides its problems: the hash of a file, an option. JSON; enters the settings' hash. */
  readonly settings: Readonly<Record<string, unknown>>;
  /** Kind of all its problems. */
  readonly kind: TaskProblem["kind"];
  readonly metric: "correct" | "loss";
  /** For people: what is odd about its problems. */
  readonly notes?: readonly string[];
  /** Where its problems came from, for the record. JSON. */
  readonly source?: Readonly<Record<string, unknown>>;
  /** Lengths if the command names none; empty for a task that comes in one. */
  readonly defaultLengths: readonly number[];
  /** Attempts a problem if the command names no number. */
  readonly defaultAttempts: number;
  /**
   * The problems; the same for the same options, and a longer list starts with the shorter one.
   * @throws ConfigError if there are none of that length
   */
  problems(options: ProblemOptions): Promise<readonly TaskProblem[]>;
}
