/** One finished attempt at a problem: one line of `attempts.jsonl`. */
export interface Attempt {
  /** Hash of everything that decides the outcome: model, revision, template, task, attention, sampling, limits, seed, grader, versions. */
  readonly settingsHash: string;
  /** Name of the task: "registers", "aime24", "needle". */
  readonly task: string;
  /** Tokens of a problem, for tasks that come in lengths. */
  readonly length?: number;
  /** The same for the same problem under every method. */
  readonly problemId: string;
  /** Number of the attempt, from 0. */
  readonly attempt: number;
  readonly seed: number;
  /** The attention policy as a spec with all its settings; the name of the served model's method behind an endpoint. */
  readonly attention: string;
  /** correct: 0 or 1. loss: mean negative log-likelihood in nats of `scoredTokens` tokens. */
  readonly metric: "correct" | "loss";
  readonly score: number;
  readonly scoredTokens?: number;
  /** Scored tokens that are not the likeliest; of forced tokens. */
  readonly wrongTokens?: number;
  readonly target: string;
  /** The answer found in the response; null if none was. */
  readonly extracted: string | null;
  /** The rule of extraction that fired. */
  readonly rule: string;
  readonly promptTokens: number;
  readonly completionTokens: number;
  /** length: cut at the token limit. */
  readonly finishReason: "stop" | "length" | "scored";
  /** Share of the cached bytes that decoding read; absent behind an endpoint. */
  readonly attendedFraction?: number;
  /** Absent for attempts without decode steps. */
  readonly msPerToken?: number;
  readonly prefillMs?: number;
  readonly decodeMs?: number;
  readonly response: string;
  /** Characters at the end of the response that follow the reasoning by the model's own markers; absent if nobody knew them. */
  readonly answerChars?: number;
}
