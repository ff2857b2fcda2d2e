import type { Problem, ProblemMaker } from "./generated-problem.ts";
import { graph } from "./graph.ts";
import { Random } from "./random.ts";
import { registers } from "./registers.ts";
import { variables } from "./variables.ts";

/** Name of a task that pico-reasoner was trained on. */
export type TaskName = "registers" | "variables" | "graph";

/** The tasks that pico-reasoner was trained on, drawn as `training/tasks.py` draws them. */
export const TASKS: Readonly<Record<TaskName, ProblemMaker>> = { registers, variables, graph };

/** Budget of a problem for each token asked for, as measured in training. */
const BUDGET_PER_TOKEN: Readonly<Record<TaskName, number>> = { registers: 1.18, variables: 1.1, graph: 1.35 };
/** Share of the limit to aim at, so that few draws are too long and must be repeated. */
const AIM = 0.8;

/** The member of a tokenizer that `makeProblems` uses. */
export interface TokenCounter {
  /** Returns the tokens of a text; only their number matters. */
  encode(text: string): ArrayLike<number>;
}

export interface SizedProblem extends Problem {
  readonly task: TaskName;
  /** Tokens of the prompt in its chat format. */
  readonly promptTokens: number;
  /** Tokens of the right chain of thought and answer. */
  readonly reasoningTokens: number;
}

/** A set of generated problems. */
export interface ProblemSetOptions {
  /** Prompt and reasoning together stay below this. */
  readonly totalTokens: number;
  readonly count: number;
  readonly seed: number;
  readonly tokenizer: TokenCounter;
}

/** Formats prompt and completion as in training. */
export function chatText(problem: Problem): { prompt: string; completion: string } {
  return {
    prompt: `<|im_start|>user\n${problem.problem}<|im_end|>\n<|im_start|>assistant\n<think>\n`,
    completion: `${problem.reasoning}\n</think>\n\nThe answer is \\boxed{${problem.answer}}.<|im_end|>\n`,
  };
}

/** True if a generated text holds the right `\boxed{ANSWER}`. */
export function isCorrect(problem: Problem, text: string): boolean {
  return text.includes(`\\boxed{${problem.answer}}`);
}

/**
 * Makes problems of a task at a length. Task, length and seed determine them; a longer set starts with the shorter one.
 * @throws RangeError when hardly any problem of the task is that short.
 */
export function makeProblems(task: TaskName, options: ProblemSetOptions): SizedProblem[] {
  const { totalTokens, count, seed, tokenizer } = options;
  const random = new Random(seed * 100_000 + totalTokens);
  const budget = Math.trunc(totalTokens * BUDGET_PER_TOKEN[task] * AIM);
  const problems: SizedProblem[] = [];
  for (let draws = 0; problems.length < count; draws++) {
    if (draws >= 100 * (problems.length + 1))
      throw new RangeError(
        `hardly any ${task} problem is shorter than ${totalTokens} tokens; ask for more tokens`,
      );
    const problem = TASKS[task](random, budget);
    const { prompt, completion } = chatText(problem);
    const promptTokens = tokenizer.encode(prompt).length;
    const reasoningTokens = tokenizer.encode(completion).length;
    if (promptTokens + reasoningTokens < totalTokens)
      problems.push({ ...problem, task, promptTokens, reasoningTokens });
  }
  return problems;
}
