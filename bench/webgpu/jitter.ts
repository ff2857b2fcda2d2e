/** `bench jitter` of a shape on a GPU: the engine over weights and a cache made there. */
import type { ModelConfig } from "../../src/node/internal.ts";
import { benchJitter, type JitterOptions, type JitterRow, jitterContext } from "../jitter.ts";
import { DeviceEngine } from "./device-engine.ts";
import { openDeviceModel } from "./device-model.ts";
import type { BenchGpu } from "./gpu.ts";
import type { Dtypes } from "./step-work.ts";

export interface ShapeJitterOptions extends Dtypes {
  readonly rows: readonly JitterOptions[];
}

export async function benchShapeJitter(
  gpu: BenchGpu,
  config: ModelConfig,
  { rows, dtype, cacheDtype }: ShapeJitterOptions,
): Promise<readonly JitterRow[]> {
  const context = Math.max(...rows.map(jitterContext));
  const model = await openDeviceModel(gpu, config, { context, dtype, cacheDtype });
  const engine = await DeviceEngine.open(model);
  try {
    const measured: JitterRow[] = [];
    for (const row of rows)
      measured.push(await benchJitter((request, started) => engine.decode(request, started), row));
    return measured;
  } finally {
    await engine.close();
  }
}
