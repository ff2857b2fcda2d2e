/** What a run will cost, before it begins. */
import type { ChatProblem } from "../tasks/task.ts";
import type { Cell, Plan } from "./plan.ts";
import { formatDuration } from "./run-progress.ts";
import type { Solver } from "./solver.ts";

/** Mean tokens of a response under full attention, Qwen3-8B: the paper's Table 2 (AIME) and its second version's text (others). */
const RESPONSE_TOKENS: Readonly<Record<string, number>> = {
  aime24: 14_800,
  aime25: 16_000,
  math500: 5000,
  "gpqa-diamond": 8000,
};
const OTHER_TOKENS = 4096;
/** Tokens of each measured request. */
const MEASURED_TOKENS = 24;

/** What a run will cost, by a few tokens measured. */
export interface Estimate {
  readonly attempts: number;
  /** Tokens to generate and to force, by the assumed lengths. */
  readonly tokens: number;
  /** Of all requests at once, each of a few tokens. */
  readonly tokensPerSecond: number;
  readonly hours: number;
  /** For people, the assumptions among it. */
  readonly text: string;
}

/**
 * Estimates a plan's time from a few tokens of as many requests as run at once, under the plan's first method.
 * @returns undefined if there is no response to generate
 */
export async function estimateRun(
  plan: Plan,
  { solver, signal }: { readonly solver: Solver; readonly signal: AbortSignal },
): Promise<Estimate | undefined> {
  const measured = plan.cells.flatMap((cell) =>
    cell.problems.flatMap((problem) => (problem.kind === "chat" ? [{ cell, problem }] : [])),
  );
  const [first] = measured;
  if (first === undefined) return undefined;
  const tokensPerSecond = await measureRate(plan, { ...first, solver, signal });
  const attempts = plan.cells.reduce((sum, cell) => sum + cell.problems.length * cell.attempts, 0);
  const tokens = plan.cells.reduce((sum, cell) => sum + tokensOf(cell, plan, solver), 0);
  const hours = tokens / tokensPerSecond / 3600;
  const lengths = [...new Set(plan.cells.map((cell) => describeLength(cell, plan, solver)))].join(", ");
  const place = solver.report.identity.backend === "webgpu" ? "this GPU" : "this machine";
  const text =
    `${attempts} attempts of about ${formatCount(tokens)} tokens in all take ${hours.toFixed(hours < 10 ? 2 : 0)} hours of ${place} ` +
    `(${formatDuration(hours * 3600)}) at ${tokensPerSecond.toFixed(0)} tokens/s, measured now on ${solver.concurrency} requests at once of ` +
    `${MEASURED_TOKENS} tokens each. Assumed tokens a response: ${lengths}. Longer contexts take longer, and so do methods that go astray`;
  return { attempts, tokens, tokensPerSecond, hours, text };
}

async function measureRate(
  plan: Plan,
  {
    cell,
    problem,
    solver,
    signal,
  }: {
    readonly cell: Cell;
    readonly problem: ChatProblem;
    readonly solver: Solver;
    readonly signal: AbortSignal;
  },
): Promise<number> {
  const ask = (seed: number) =>
    solver.solve({
      messages: problem.messages,
      sampling: plan.sampling,
      maxTokens: Math.min(MEASURED_TOKENS, plan.maxTokens ?? MEASURED_TOKENS),
      ...(plan.chatTemplateOptions && { chatTemplateOptions: plan.chatTemplateOptions }),
      seed,
      method: cell.method,
      signal,
    });
  await ask(0); // Compiles, and allocates the cache.
  const begin = performance.now();
  const solved = await Promise.all(Array.from({ length: solver.concurrency }, (_, seed) => ask(seed)));
  const seconds = (performance.now() - begin) / 1000;
  const tokens = solved.reduce((sum, { completionTokens }) => sum + completionTokens, 0);
  return tokens / seconds;
}

/** Tokens of all attempts of a cell. */
function tokensOf(cell: Cell, plan: Plan, solver: Solver): number {
  return cell.problems.reduce((sum, problem) => {
    if (problem.kind === "forced") return sum + problem.tokenIds.length - problem.from;
    return (
      sum +
      cell.attempts *
        Math.min(problem.maxTokens ?? Number.POSITIVE_INFINITY, assumedLength(cell, plan, solver))
    );
  }, 0);
}

function assumedLength({ task, length }: Cell, { maxTokens }: Plan, { contextLength }: Solver): number {
  return Math.min(
    RESPONSE_TOKENS[task] ?? length ?? OTHER_TOKENS,
    maxTokens ?? Number.POSITIVE_INFINITY,
    contextLength ?? Number.POSITIVE_INFINITY,
  );
}

function describeLength(cell: Cell, plan: Plan, solver: Solver): string {
  return `${cell.task} ${assumedLength(cell, plan, solver)}`;
}

function formatCount(count: number): string {
  if (count < 1e6) return count.toFixed(0);
  return count < 1e9 ? `${(count / 1e6).toFixed(1)} million` : `${(count / 1e9).toFixed(1)} billion`;
}
