import type { Attempt } from "../attempts/attempt.ts";

/** An attempt with the given fields, for tests: right, 100 tokens, 2 ms a token. */
export function makeAttempt(fields: Partial<Attempt> = {}): Attempt {
  const { task = "registers", attention = "full", attempt = 0 } = fields;
  return {
    settingsHash: `${task} ${fields.length ?? ""} ${attention}`,
    task,
    problemId: "p0",
    attempt,
    seed: attempt,
    attention,
    metric: "correct",
    score: 1,
    target: "7",
    extracted: "7",
    rule: "boxed",
    promptTokens: 50,
    completionTokens: 100,
    finishReason: "stop",
    attendedFraction: 1,
    msPerToken: 2,
    response: "",
    ...fields,
  };
}

/** One attempt a problem, right or wrong by `scores`. */
export function makeAttempts(scores: readonly number[], fields: Partial<Attempt> = {}): Attempt[] {
  return scores.map((score, i) => makeAttempt({ problemId: `p${i}`, seed: i, score, ...fields }));
}
