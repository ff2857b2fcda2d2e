/**
 * Decode steps of requests to a model, through the engine: every attention at every context, prefill against decode. Rounds
 * alternate between attentions, so that ratios hold on a noisy machine.
 */
import { type BackendChoice, type Engine, type EngineOptions, openEngine } from "../src/node/index.ts";
import { deviceOption } from "./device.ts";
import { mean, median, percentile } from "./statistics.ts";
import { LEAD_TOKENS, type TokenTimes, timeTokens } from "./token-times.ts";

export interface RequestBenchOptions {
  readonly contexts: readonly number[];
  readonly attention: readonly string[];
  readonly steps: number;
  readonly rounds: number;
  readonly threads?: number;
  readonly backend: BackendChoice;
  readonly model?: string;
}

export interface RequestRow {
  readonly backend: string;
  readonly context: number;
  readonly attention: string;
  /** Median over all measured steps, from token to token; so are the next three. */
  readonly msPerStep: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly leastMs: number;
  /** Cache and per-page bytes read over key and value bytes cached. */
  readonly attendedFraction: number;
  readonly speedupOverFull: number;
}

/** Medians over rounds. */
export interface RequestPrefillRow {
  readonly context: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  readonly ratio: number;
}

type BenchEngineOptions = EngineOptions & { readonly model?: string };

interface Run extends TokenTimes {
  readonly prefillTokensPerSecond: number;
}

/** Fills the cache to the context with a prompt, then decodes; the measured steps straddle the context. */
async function run(engine: Engine, context: number, attention: string, steps: number): Promise<Run> {
  const promptTokens = Math.max(1, context - LEAD_TOKENS - steps / 2);
  const times = await timeTokens(engine, { promptTokens, attention, steps });
  return { ...times, prefillTokensPerSecond: (promptTokens / times.prefillMs) * 1000 };
}

async function withEngine<T>(options: BenchEngineOptions, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openEngine({ maxConcurrent: 1, ...deviceOption(), ...options });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** Every attention at every context, in alternated rounds; the first attention is what the others are compared with. */
export async function benchRequests(
  options: RequestBenchOptions,
): Promise<{ readonly rows: readonly RequestRow[]; readonly prefill: readonly RequestPrefillRow[] }> {
  const { backend, model, threads } = options;
  const engineOptions = { backend, ...(model && { model }), ...(threads && { threads }) };
  return withEngine(engineOptions, async (engine) => {
    await run(engine, 512, "full", 64); // warms the compiler and the workers
    const rows: RequestRow[] = [];
    const prefill: RequestPrefillRow[] = [];
    for (const context of options.contexts) {
      const runs = new Map<string, Run[]>(options.attention.map((attention) => [attention, []]));
      for (let round = 0; round < options.rounds; round++)
        for (const [attention, done] of runs) done.push(await run(engine, context, attention, options.steps));
      const yardstickMs = median(intervalsOf(runs.get(options.attention[0] ?? "full")));
      const { name } = engine.report().backend;
      for (const [attention, done] of runs)
        rows.push({ backend: name, context, attention, ...timesOf(done, yardstickMs) });
      prefill.push(prefillOf(context, [...runs.values()].flat(), yardstickMs));
    }
    return { rows, prefill };
  });
}

function intervalsOf(runs: readonly Run[] = []): readonly number[] {
  return runs.flatMap(({ intervals }) => intervals);
}

function timesOf(runs: readonly Run[], yardstickMs: number) {
  const intervals = intervalsOf(runs);
  const msPerStep = median(intervals);
  return {
    msPerStep,
    meanMs: mean(intervals),
    p99Ms: percentile(intervals, 0.99),
    leastMs: Math.min(...intervals),
    attendedFraction: runs[0]?.attendedFraction ?? 1,
    speedupOverFull: yardstickMs / msPerStep,
  };
}

function prefillOf(context: number, runs: readonly Run[], stepMs: number): RequestPrefillRow {
  const prefillTokensPerSecond = median(runs.map((one) => one.prefillTokensPerSecond));
  const decodeTokensPerSecond = 1000 / stepMs;
  const ratio = prefillTokensPerSecond / decodeTokensPerSecond;
  return { context, prefillTokensPerSecond, decodeTokensPerSecond, ratio };
}
