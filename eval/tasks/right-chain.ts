/**
 * The generated tasks with their right chains of thought forced: each token after the prompt is fed as a decode step, whatever the
 * model would say. A loss a token tells settings apart that a few dozen answers, right or wrong, do not.
 */
import { chatText, makeProblems, type TaskName } from "../problems/index.ts";
import type { ForcedProblem, ProblemOptions, Task } from "./task.ts";
import { requireTokenizer } from "./text-source.ts";

const DEFAULT_PROBLEMS = 20;

/** Makes the task `NAME-chain`. Its lengths are of prompt and chain together, in tokens of the model. */
export function rightChainTask(name: TaskName): Task {
  return {
    name: `${name}-chain`,
    version: 1,
    settings: {},
    kind: "forced",
    metric: "loss",
    defaultLengths: [1024],
    defaultAttempts: 1,
    problems: async (options) => drawChains(name, options),
  };
}

function drawChains(
  name: TaskName,
  { count = DEFAULT_PROBLEMS, length = 1024, seed, tokenizer: given }: ProblemOptions,
): ForcedProblem[] {
  const tokenizer = requireTokenizer(given, `${name}-chain`);
  return makeProblems(name, { totalTokens: length, count, seed, tokenizer }).map((problem, i) => {
    const { prompt, completion } = chatText(problem);
    const promptIds = tokenizer.encode(prompt);
    return {
      kind: "forced",
      id: `${seed}-${i}`,
      target: problem.answer,
      doc: { problem: problem.problem, answer: problem.answer, reasoning: problem.reasoning },
      tokenIds: [...promptIds, ...tokenizer.encode(completion, { addSpecialTokens: false })],
      from: promptIds.length,
      countFrom: promptIds.length,
      metric: "loss",
    };
  });
}
