/** Evaluation on generated long-reasoning tasks: the npm entry `lessismore/eval`. */
export {
  type AccuracyOptions,
  type AccuracyProgress,
  type AccuracyRow,
  type EvaluatedEngine,
  formatAccuracy,
  measureAccuracy,
  wilsonInterval,
} from "./accuracy.ts";
export {
  chatText,
  isCorrect,
  makeProblems,
  type ProblemSetOptions,
  type SizedProblem,
  TASKS,
  type TaskName,
  type TokenCounter,
} from "./tasks/index.ts";
export { Random } from "./tasks/random.ts";
export type { Problem, Task } from "./tasks/task.ts";
