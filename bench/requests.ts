/**
 * Decode steps of requests to a model, through the engine: every attention at every context, prefill against decode.
 * Rounds alternate between attentions and medians are taken over rounds, so that
 * ratios hold on a noisy machine.
 */
import { type BackendChoice, type Engine, type EngineOptions, openEngine } from "../src/node/index.ts";
import { median } from "./statistics.ts";

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
  readonly msPerStep: number;
  readonly spreadMs: readonly [least: number, most: number];
  /** Key/value rows read over rows cached. */
  readonly attendedFraction: number;
  readonly speedupOverFull: number;
}

type BenchEngineOptions = EngineOptions & { readonly model?: string };

interface Run {
  readonly msPerToken: number;
  readonly prefillTokensPerSecond: number;
  readonly attendedFraction: number;
}

/** Fills the cache to the context with a prompt, then decodes; the steps straddle the context. */
async function run(engine: Engine, context: number, attention: string, steps: number): Promise<Run> {
  const promptTokens = context - steps / 2;
  const tokenIds = Array.from({ length: promptTokens }, (_, i) => (i * 7919) % 500);
  const generation = engine.generate({
    tokenIds,
    attention,
    maxTokens: steps,
    ignoreEos: true,
    temperature: 0,
  });
  const { timings, attention: used } = await generation.result();
  return {
    msPerToken: timings.msPerToken,
    prefillTokensPerSecond: (promptTokens / timings.prefillMs) * 1000,
    attendedFraction: used.attendedFraction,
  };
}

async function withEngine<T>(options: BenchEngineOptions, work: (engine: Engine) => Promise<T>): Promise<T> {
  const engine = await openEngine({ maxConcurrent: 1, ...options });
  try {
    return await work(engine);
  } finally {
    await engine.close();
  }
}

/** Every attention at every context, in alternated rounds; the first attention is what the others are compared with. */
export async function benchRequests(options: RequestBenchOptions): Promise<{
  rows: RequestRow[];
  prefill: {
    context: number;
    prefillTokensPerSecond: number;
    decodeTokensPerSecond: number;
    ratio: number;
  }[];
}> {
  const { backend, model, threads } = options;
  const engineOptions = { backend, ...(model && { model }), ...(threads && { threads }) };
  return withEngine(engineOptions, async (engine) => {
    await run(engine, 512, "full", 64); // warms the compiler and the workers
    const rows: RequestRow[] = [];
    const prefill = [];
    for (const context of options.contexts) {
      const runs = new Map<string, Run[]>(options.attention.map((attention) => [attention, []]));
      for (let round = 0; round < options.rounds; round++)
        for (const [attention, done] of runs) done.push(await run(engine, context, attention, options.steps));
      const ms = (attention: string) => median((runs.get(attention) ?? []).map((one) => one.msPerToken));
      const full = ms(options.attention[0] ?? "full");
      for (const [attention, done] of runs) {
        const times = done.map((one) => one.msPerToken);
        rows.push({
          backend: engine.report().backend.name,
          context,
          attention,
          msPerStep: ms(attention),
          spreadMs: [Math.min(...times), Math.max(...times)],
          attendedFraction: done[0]?.attendedFraction ?? 1,
          speedupOverFull: full / ms(attention),
        });
      }
      const prefillTokensPerSecond = median(
        [...runs.values()].flat().map((one) => one.prefillTokensPerSecond),
      );
      const decodeTokensPerSecond = 1000 / full;
      prefill.push({
        context,
        prefillTokensPerSecond,
        decodeTokensPerSecond,
        ratio: prefillTokensPerSecond / decodeTokensPerSecond,
      });
    }
    return { rows, prefill };
  });
}
