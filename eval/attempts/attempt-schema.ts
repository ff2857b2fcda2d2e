import * as v from "valibot";
import type { Attempt } from "./attempt.ts";

const count = v.pipe(v.number(), v.integer(), v.minValue(0));

const ATTEMPT = v.looseObject({
  settingsHash: v.string(),
  task: v.string(),
  length: v.optional(count),
  problemId: v.string(),
  attempt: count,
  seed: count,
  attention: v.string(),
  metric: v.picklist(["correct", "loss"]),
  score: v.number(),
  scoredTokens: v.optional(count),
  wrongTokens: v.optional(count),
  target: v.string(),
  extracted: v.nullable(v.string()),
  rule: v.string(),
  promptTokens: count,
  completionTokens: count,
  finishReason: v.picklist(["stop", "length", "scored"]),
  attendedFraction: v.optional(v.number()),
  msPerToken: v.optional(v.number()),
  prefillMs: v.optional(v.number()),
  decodeMs: v.optional(v.number()),
  response: v.string(),
  answerChars: v.optional(count),
});

/** Reads one line of `attempts.jsonl`; undefined if it is no attempt. */
export function parseAttempt(line: string): Attempt | undefined {
  try {
    return attemptOf(JSON.parse(line));
  } catch {
    return undefined; // no JSON
  }
}

/** The attempt that a value is; undefined if it is none. */
export function attemptOf(value: unknown): Attempt | undefined {
  const { success, output } = v.safeParse(ATTEMPT, value);
  return success ? (output as Attempt) : undefined;
}

/** The same for the same attempt at the same problem under the same settings. */
export function attemptKey({
  settingsHash,
  problemId,
  attempt,
}: Pick<Attempt, "settingsHash" | "problemId" | "attempt">): string {
  return JSON.stringify([settingsHash, problemId, attempt]);
}
