/** Makes one attempt: asks the solver, grades the response, and returns the row. */
import type { Attempt } from "../attempts/attempt.ts";
import { grade } from "./grade.ts";
import type { Cell, Plan } from "./plan.ts";
import type { Scored, Solved, SolveRequest, Solver } from "./solver.ts";
import type { ScoreWork, SolveWork, Work } from "./work.ts";

export interface AttemptContext {
  readonly solver: Solver;
  readonly plan: Plan;
  readonly signal: AbortSignal;
  /** Receives what a request departed from, such as a lowered limit. */
  readonly onNotes?: (notes: readonly string[]) => void;
}

/** The rows of a piece of work. @throws what the solver throws */
export function makeAttempts(work: Work, context: AttemptContext): Promise<readonly Attempt[]> {
  return work.kind === "chat" ? solve(work, context) : score(work, context);
}

async function solve(work: SolveWork, { solver, plan, signal, onNotes }: AttemptContext): Promise<Attempt[]> {
  const { cell, problem, attempt, seed } = work;
  const solved = await solver.solve(requestOf(work, { plan, signal }));
  onNotes?.(solved.notes ?? []);
  const { isCorrect, extracted, rule } = grade(problem, solved, plan.grader);
  return [
    {
      ...rowHead(cell, problem.id, { attempt, seed }),
      metric: "correct",
      score: isCorrect ? 1 : 0,
      target: problem.target,
      extracted,
      rule,
      promptTokens: solved.promptTokens,
      completionTokens: solved.completionTokens,
      finishReason: solved.finishReason,
      ...measuresOf(solved),
      response: solved.text,
      ...answerCharsOf(solved),
    },
  ];
}

/** The request of an attempt. */
export function requestOf(
  { cell, problem, seed }: Omit<SolveWork, "kind" | "attempt">,
  { plan, signal }: Pick<AttemptContext, "plan" | "signal">,
): SolveRequest {
  const limits = [problem.maxTokens, plan.maxTokens].filter((limit) => limit !== undefined);
  return {
    messages: problem.messages,
    sampling: plan.sampling,
    ...(limits.length > 0 && { maxTokens: Math.min(...limits) }),
    ...(plan.chatTemplateOptions && { chatTemplateOptions: plan.chatTemplateOptions }),
    seed,
    method: cell.method,
    signal,
  };
}

/** Lets the answer be graded again without the model; text after a second reasoning is no end of the response. */
function answerCharsOf({ text, answer }: Solved): { readonly answerChars?: number } {
  return answer !== undefined && text.endsWith(answer) ? { answerChars: answer.length } : {};
}

async function score(work: ScoreWork, { solver, signal, onNotes }: AttemptContext): Promise<Attempt[]> {
  const { cells, problem, seed } = work;
  const { tokenIds, from, countFrom, metric } = problem;
  if (solver.score === undefined) throw new Error(`${solver.report.model} scores no forced tokens`);
  const methods = cells.map(({ method }) => method);
  const results = await solver.score({ tokenIds, from, methods, signal });
  onNotes?.(results.flatMap(({ notes = [] }) => notes));
  return cells.map((cell, i) => {
    const scored = results[i];
    if (scored === undefined)
      throw new Error(`the solver returned ${results.length} of ${cells.length} scores`);
    const logProbs = scored.logProbs.subarray(countFrom - from);
    const wrongTokens = scored.isLikeliest
      .slice(countFrom - from)
      .filter((isLikeliest) => !isLikeliest).length;
    const isFound = wrongTokens === 0;
    return {
      ...rowHead(cell, problem.id, { attempt: 0, seed }),
      metric,
      score: metric === "loss" ? -mean(logProbs) : isFound ? 1 : 0,
      scoredTokens: logProbs.length,
      wrongTokens,
      target: problem.target,
      extracted: metric === "correct" && isFound ? problem.target : null,
      rule: "forced tokens",
      promptTokens: from,
      completionTokens: tokenIds.length - from,
      finishReason: "scored",
      ...measuresOf(scored),
      response: "",
    };
  });
}

function rowHead(
  { settingsHash, task, length, attention }: Cell,
  problemId: string,
  { attempt, seed }: { readonly attempt: number; readonly seed: number },
) {
  return {
    settingsHash,
    task,
    ...(length !== undefined && { length }),
    problemId,
    attempt,
    seed,
    attention,
  };
}

function measuresOf({ attendedFraction, msPerToken, prefillMs, decodeMs }: Solved | Scored) {
  return {
    ...(attendedFraction !== undefined && { attendedFraction }),
    ...(msPerToken !== undefined && { msPerToken }),
    ...(prefillMs !== undefined && { prefillMs }),
    ...(decodeMs !== undefined && { decodeMs }),
  };
}

function mean(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  return sum / values.length;
}
