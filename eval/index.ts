/** Evaluation: tasks, runs, grading and statistics. The npm entry `lessismore/eval`; `lessismore eval` is made of it. */
export type { Attempt } from "./attempts/attempt.ts";
export { type EvaluationRun, readRun } from "./attempts/read-run.ts";
export type { CellRecord, RunRecord, RunSettings } from "./attempts/settings-file.ts";
export {
  type EvaluationOptions,
  type EvaluationOutcome,
  type EvaluationPart,
  evaluate,
  type StartedRun,
} from "./commands/evaluate.ts";
export type { DataOptions } from "./data/data-option.ts";
export {
  type AnswerKind,
  type Extraction,
  type ExtractionRule,
  type ExtractOptions,
  extractAnswer,
  type Grade,
  type GradeRequest,
  type Grader,
  gradeAnswer,
  isEquivalent,
  type ReasoningMarkers,
} from "./grading/index.ts";
export * from "./metrics/index.ts";
export type { Problem, ProblemMaker } from "./problems/generated-problem.ts";
export {
  chatText,
  isCorrect,
  makeProblems,
  type ProblemSetOptions,
  type SizedProblem,
  TASKS,
  type TaskName,
  type TokenCounter,
} from "./problems/index.ts";
export { Random } from "./problems/random.ts";
export { type WriteResultsOptions, writeResults } from "./results-files/write-results.ts";
export { type EngineSolverOptions, openEngineSolver } from "./run/engine-solver.ts";
export type { Estimate as RunEstimate } from "./run/estimate.ts";
export type { Cell, Plan, Shard } from "./run/plan.ts";
export type { AttemptFailure } from "./run/runner.ts";
export type {
  AttentionChoice,
  ForcedRequest,
  Method,
  Sampling,
  Scored,
  ScoreRequest,
  Solved,
  SolveRequest,
  Solver,
  SolverReport,
  SolverTokenizer,
} from "./run/solver.ts";
export type { TraceChoice, TraceProgress } from "./run/trace-run.ts";
export type { Interval } from "./statistics/bootstrap.ts";
export {
  type CellSummary,
  comparePaired,
  type Estimate,
  type PairedComparison,
  summarise,
} from "./statistics/index.ts";
export type { TokenTime } from "./statistics/results.ts";
export { openTask, TASK_NAMES, type TaskOptions } from "./tasks/registry.ts";
export type { ChatProblem, ForcedProblem, ProblemOptions, Task, TaskProblem } from "./tasks/task.ts";
