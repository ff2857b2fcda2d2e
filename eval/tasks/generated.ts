/** The generated tasks of pico-reasoner as tasks of an evaluation: any length, any number of problems. */
import { type AttentionPolicy, ConfigError, type GenerationRequest } from "../../src/node/index.ts";
import { makeProblems, type SizedProblem, type TaskName } from "../problems/index.ts";
import type { ChatProblem, ProblemOptions, Task } from "./task.ts";

/** Tokens past the problem's length that a wrong chain of thought gets before the cut. */
export const SPARE_TOKENS = 256;
const DEFAULT_PROBLEMS = 20;

/** Makes a generated task. Its lengths are of prompt and right reasoning together, in tokens of the model. */
export function generatedTask(name: TaskName): Task {
  return {
    name,
    version: 1,
    settings: { spareTokens: SPARE_TOKENS },
    kind: "chat",
    metric: "correct",
    defaultLengths: [1024],
    defaultAttempts: 1,
    problems: async (options) => drawProblems(name, options),
  };
}

/** The greedy request for a problem, with spare tokens for a wrong chain of thought. */
export function solveRequest(
  { problem, promptTokens }: SizedProblem,
  totalTokens: number,
  attention: AttentionPolicy | string,
): GenerationRequest {
  return {
    messages: [{ role: "user", content: problem }],
    attention,
    temperature: 0,
    maxTokens: totalTokens + SPARE_TOKENS - promptTokens,
  };
}

function drawProblems(
  name: TaskName,
  { count = DEFAULT_PROBLEMS, length = 1024, seed, tokenizer }: ProblemOptions,
): ChatProblem[] {
  if (tokenizer === undefined)
    throw new ConfigError(
      `${name} makes problems of a length in the model's tokens, and the model's tokenizer is not known here`,
    );
  const problems = makeProblems(name, { totalTokens: length, count, seed, tokenizer });
  return problems.map(({ problem, answer, reasoning, promptTokens, reasoningTokens }, i) => ({
    kind: "chat",
    id: `${seed}-${i}`,
    messages: [{ role: "user", content: problem }],
    question: problem,
    target: answer,
    answerKind: name === "graph" ? "text" : "integer",
    maxTokens: length + SPARE_TOKENS - promptTokens,
    doc: { problem, answer, reasoning, promptTokens, reasoningTokens },
  }));
}
