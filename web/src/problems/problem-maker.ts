/** Example problems: those that the bundled model was trained on, at a length that a person chooses. */
import {
  isCorrect,
  makeProblems,
  type SizedProblem,
  type TaskName,
  type TokenCounter,
} from "../../../eval/problems/index.ts";

export type { SizedProblem, TaskName };

export const TASK_NAMES: readonly TaskName[] = ["variables", "graph", "registers"];

/** Tokens of prompt and reasoning together. */
export const LENGTHS = [512, 1024, 2048, 4096, 8000] as const;

/** graph was trained to half the length of the others. */
const LONGEST: Readonly<Record<TaskName, number>> = { variables: 8000, graph: 4096, registers: 8000 };

/** Lengths of a task that the bundled model was trained on. */
export function lengthsOf(task: TaskName): readonly number[] {
  return LENGTHS.filter((length) => length <= LONGEST[task]);
}

/** Draws a problem of at most `length` tokens. The same seed gives the same problem. @throws RangeError */
export function drawProblem(
  { task, length, seed }: { readonly task: TaskName; readonly length: number; readonly seed: number },
  tokenizer: TokenCounter,
): SizedProblem {
  const [problem] = makeProblems(task, { totalTokens: length, count: 1, seed, tokenizer });
  if (problem === undefined) throw new RangeError(`no ${task} problem of ${length} tokens`);
  return problem;
}

/** True if the answer's box has the right answer. */
export function isRight(answer: string, text: string): boolean {
  return isCorrect({ problem: "", reasoning: "", answer }, text);
}
