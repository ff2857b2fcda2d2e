import {
  type AttentionPolicy,
  formatAttention,
  type Generation,
  type GenerationRequest,
  type GenerationResult,
} from "../src/node/index.ts";
import {
  isCorrect,
  makeProblems,
  type SizedProblem,
  type TaskName,
  type TokenCounter,
} from "./tasks/index.ts";

/** The members of an engine that the evaluation uses. */
export interface EvaluatedEngine {
  readonly tokenizer: TokenCounter;
  generate(request: GenerationRequest): Generation;
}

export interface AccuracyOptions {
  readonly engine: EvaluatedEngine;
  readonly tasks: readonly TaskName[];
  /** Policies or specs to compare, each on the same problems. */
  readonly attention: readonly (AttentionPolicy | string)[];
  /** Most tokens of prompt and reasoning together. */
  readonly totalTokens: number;
  /** Problems a task. */
  readonly problems: number;
  readonly seed: number;
  readonly signal?: AbortSignal;
  /** Called after each problem. */
  readonly onProgress?: (progress: AccuracyProgress) => void;
}

export interface AccuracyProgress {
  readonly attention: string;
  readonly task: TaskName;
  readonly done: number;
  readonly correct: number;
  readonly of: number;
}

/** One cell of the table: a policy on a task. Means are over problems, `msPerToken` over tokens. */
export interface AccuracyRow {
  readonly task: TaskName;
  readonly attention: Omit<GenerationResult["attention"], "attendedFraction">;
  readonly problems: number;
  readonly correct: number;
  /** Share of right answers, in [0, 1]. */
  readonly accuracy: number;
  /** 95 % Wilson interval of the accuracy. */
  readonly interval: readonly [low: number, high: number];
  readonly meanTokens: number;
  readonly attendedFraction: number;
  readonly msPerToken: number;
}

/** Tokens past the length asked for that a wrong chain of thought gets before the cut. */
const SPARE_TOKENS = 256;

/** Solves the same problems under each policy, greedily and one at a time, and counts right answers. */
export async function measureAccuracy(options: AccuracyOptions): Promise<AccuracyRow[]> {
  const { engine, totalTokens, seed } = options;
  const rows: AccuracyRow[] = [];
  for (const task of options.tasks) {
    const problems = makeProblems(task, {
      totalTokens,
      count: options.problems,
      seed,
      tokenizer: engine.tokenizer,
    });
    for (const attention of options.attention)
      rows.push(await measureCell(options, task, problems, attention));
  }
  return rows;
}

async function measureCell(
  options: AccuracyOptions,
  task: TaskName,
  problems: readonly SizedProblem[],
  attention: AttentionPolicy | string,
): Promise<AccuracyRow> {
  if (problems.length === 0) throw new RangeError("an accuracy needs at least one problem");
  let used: AccuracyRow["attention"] = { name: "", settings: {} };
  let [correct, tokens, decodeMs, decoded, attended] = [0, 0, 0, 0, 0];
  for (const [i, problem] of problems.entries()) {
    const request = solveRequest(problem, options.totalTokens, attention);
    const result = await options.engine
      .generate(options.signal ? { ...request, signal: options.signal } : request)
      .result();
    const { attendedFraction: _, ...policy } = result.attention;
    used = policy;
    if (isCorrect(problem, result.text)) correct++;
    tokens += result.usage.completionTokens;
    decodeMs += result.timings.decodeMs;
    decoded += Math.max(0, result.usage.completionTokens - 1);
    attended += result.attention.attendedFraction;
    options.onProgress?.({ attention: used.name, task, done: i + 1, correct, of: problems.length });
  }
  const count = problems.length;
  return {
    task,
    attention: used,
    problems: count,
    correct,
    accuracy: correct / count,
    interval: wilsonInterval(correct, count),
    meanTokens: tokens / count,
    attendedFraction: attended / count,
    msPerToken: decoded === 0 ? 0 : decodeMs / decoded,
  };
}

/** Makes the greedy request for a problem, with spare tokens for a wrong chain of thought. */
export function solveRequest(
  problem: SizedProblem,
  totalTokens: number,
  attention: AttentionPolicy | string,
): GenerationRequest {
  return {
    messages: [{ role: "user", content: problem.problem }],
    attention,
    temperature: 0,
    maxTokens: totalTokens + SPARE_TOKENS - problem.promptTokens,
  };
}

/** Wilson's 95 % interval of a share, which stays inside [0, 1] and holds for few trials. */
export function wilsonInterval(successes: number, trials: number): [low: number, high: number] {
  const z = 1.959964;
  const share = successes / trials;
  const spread = z * Math.sqrt((share * (1 - share)) / trials + (z / (2 * trials)) ** 2);
  const [center, scale] = [share + z ** 2 / (2 * trials), 1 + z ** 2 / trials];
  return [Math.max(0, (center - spread) / scale), Math.min(1, (center + spread) / scale)];
}

/** Formats rows under a header, one line each. */
export function formatAccuracy(rows: readonly AccuracyRow[]): string {
  return formatTable(
    ["task", "attention", "right", "accuracy (95 %)", "tokens", "cache read", "ms/token"],
    rows.map((row) => [
      row.task,
      formatAttention(row.attention) +
        (row.attention.selectionLayersFrom === "guess" ? " (layers are a guess)" : ""),
      `${row.correct}/${row.problems}`,
      `${percent(row.accuracy)} (${percent(row.interval[0])} to ${percent(row.interval[1])})`,
      row.meanTokens.toFixed(0),
      percent(row.attendedFraction),
      row.msPerToken.toFixed(2),
    ]),
  );
}

/** Pads columns to their widest cell, two blanks apart. */
export function formatTable(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = header.map((name, i) => Math.max(name.length, ...rows.map((row) => row[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    cells
      .map((cell, i) => cell.padEnd(widths[i] ?? 0))
      .join("  ")
      .trimEnd();
  return [line(header), ...rows.map(line)].join("\n");
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(share > 0 && share < 0.1 ? 1 : 0)} %`;
}
