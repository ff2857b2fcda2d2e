/** Prefill of a shape: tokens a second and TFLOP/s, with the matrix units of the device or without. */
import { contextOf, type ModelConfig, parseAttention } from "../../src/node/internal.ts";
import { median } from "../statistics.ts";
import { openDeviceModel } from "./device-model.ts";
import { DeviceStepper } from "./device-stepper.ts";
import type { BenchGpu } from "./gpu.ts";
import { WARM_UP_MS } from "./layer-kernel-timer.ts";
import { type Dtypes, prefillOperations } from "./step-work.ts";

export interface ShapePrefillOptions extends Dtypes {
  /** Lengths of prompts. */
  readonly tokens: readonly number[];
  /** Most rows of a chunk. */
  readonly chunkRows: number;
  readonly rounds: number;
  readonly matrixUnits: boolean;
}

export interface ShapePrefillRow {
  readonly tokens: number;
  readonly chunkRows: number;
  readonly matrixUnits: "used" | "not used";
  readonly ms: number;
  readonly leastMs: number;
  readonly mostMs: number;
  readonly tokensPerSecond: number;
  readonly teraflops: number;
}

export async function benchShapePrefill(
  gpu: BenchGpu,
  config: ModelConfig,
  options: ShapePrefillOptions,
): Promise<readonly ShapePrefillRow[]> {
  const { dtype, cacheDtype, rounds } = options;
  const context = Math.max(...options.tokens);
  const chunkRows = Math.min(options.chunkRows, context);
  const model = await openDeviceModel(gpu, config, {
    ...{ context, rows: chunkRows, dtype, cacheDtype },
    ...(!options.matrixUnits && { hasSubgroupMatrices: false }),
  });
  const { backend } = model;
  try {
    const matrixUnits =
      contextOf(backend).traits.hasSubgroupMatrices && dtype !== "f32" ? "used" : "not used";
    const stepper = new DeviceStepper(model);
    const rows: ShapePrefillRow[] = [];
    for (const tokens of options.tokens) {
      const warm = performance.now();
      do await prefill(stepper, tokens, chunkRows);
      while (performance.now() - warm < WARM_UP_MS);
      const times: number[] = [];
      for (let round = 0; round < rounds; round++) times.push(await prefill(stepper, tokens, chunkRows));
      const ms = median(times);
      rows.push({
        tokens,
        chunkRows,
        matrixUnits,
        ms,
        leastMs: Math.min(...times),
        mostMs: Math.max(...times),
        tokensPerSecond: (tokens / ms) * 1000,
        teraflops: prefillOperations(config, tokens) / ms / 1e9,
      });
    }
    return rows;
  } finally {
    await backend.close();
  }
}

/** Milliseconds from the first record to the end of the last dispatch. */
async function prefill(stepper: DeviceStepper, tokens: number, chunkRows: number): Promise<number> {
  const full = parseAttention("full");
  const started = performance.now();
  for (let first = 0; first < tokens; first += chunkRows)
    stepper.prefill(first, Math.min(chunkRows, tokens - first), full);
  await stepper.backend.finish();
  return performance.now() - started;
}
