/** Prefill of a shape as a request gets it: through the engine, in chunks of its choice, with subgroup matrices or without. */
import { contextOf, type ModelConfig } from "../../src/node/internal.ts";
import { mean, median, percentile } from "../statistics.ts";
import { DeviceEngine } from "./device-engine.ts";
import { openDeviceModel } from "./device-model.ts";
import type { BenchGpu } from "./gpu.ts";
import { type Dtypes, prefillOperations } from "./step-work.ts";

export interface ShapePrefillOptions extends Dtypes {
  /** Lengths of prompts. */
  readonly tokens: readonly number[];
  /** Rows of the largest chunk; left out: what the backend proposes. */
  readonly chunkRows?: number;
  readonly rounds: number;
  readonly subgroupMatrices: boolean;
}

export interface ShapePrefillRow {
  readonly tokens: number;
  /** Rows of the largest chunk. */
  readonly chunkRows: number;
  readonly chunks: number;
  readonly subgroupMatrices: "used" | "not used";
  /** Median over rounds, from the first step to the first token; so are the next three. */
  readonly ms: number;
  readonly meanMs: number;
  readonly p99Ms: number;
  readonly leastMs: number;
  readonly tokensPerSecond: number;
  readonly teraflops: number;
}

/** Prompts before those measured: kernels are compiled and chunks have their size then. */
const WARM_UP_PROMPTS = 2;

export async function benchShapePrefill(
  gpu: BenchGpu,
  config: ModelConfig,
  options: ShapePrefillOptions,
): Promise<readonly ShapePrefillRow[]> {
  const { dtype, cacheDtype, rounds, chunkRows: rows } = options;
  const model = await openDeviceModel(gpu, config, {
    ...{ context: Math.max(...options.tokens) + 1, dtype, cacheDtype },
    ...(rows !== undefined && { rows }),
    ...(!options.subgroupMatrices && { hasSubgroupMatrices: false as const }),
  });
  const engine = await DeviceEngine.open(model);
  try {
    const { subgroupMatrix } = contextOf(model.backend).traits;
    const measured: ShapePrefillRow[] = [];
    for (const tokens of options.tokens) {
      for (let i = 0; i < WARM_UP_PROMPTS; i++) await engine.prefill(tokens);
      const turns = [];
      for (let round = 0; round < rounds; round++) turns.push(await engine.prefill(tokens));
      const times = turns.map(({ ms }) => ms);
      const ms = median(times);
      const chunks = turns[turns.length - 1]?.chunks ?? [];
      measured.push({
        tokens,
        chunkRows: Math.max(...chunks),
        chunks: chunks.length,
        subgroupMatrices: subgroupMatrix && dtype !== "f32" ? "used" : "not used",
        ms,
        meanMs: mean(times),
        p99Ms: percentile(times, 0.99),
        leastMs: Math.min(...times),
        tokensPerSecond: (tokens / ms) * 1000,
        teraflops: prefillOperations(config, tokens) / ms / 1e9,
      });
    }
    return measured;
  } finally {
    await engine.close();
  }
}
