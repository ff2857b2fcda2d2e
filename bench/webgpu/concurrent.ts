/** Requests at once of a shape beside bare steps: an engine over weights and a cache made on the GPU. */
import type { ModelConfig } from "../../src/node/internal.ts";
import { BareStepper } from "../bare-stepper.ts";
import {
  benchConcurrent,
  type ConcurrentOptions,
  type ConcurrentRow,
  contextOfStreams,
} from "../concurrent.ts";
import { proseTokenizer } from "../prose-tokenizer.ts";
import { DeviceEngine } from "./device-engine.ts";
import { openDeviceModel, stepPartsOf } from "./device-model.ts";
import type { BenchGpu } from "./gpu.ts";
import type { Dtypes } from "./step-work.ts";

export async function benchShapeConcurrent(
  gpu: BenchGpu,
  config: ModelConfig,
  { dtype, cacheDtype, ...options }: ConcurrentOptions & Dtypes,
  say?: (what: string) => void,
): Promise<readonly ConcurrentRow[]> {
  const sequences = Math.max(...options.sequences) + (options.newcomerTokens === undefined ? 0 : 1);
  const context = contextOfStreams(options);
  const model = await openDeviceModel(gpu, config, { context, sequences, dtype, cacheDtype });
  const engine = await DeviceEngine.open(model, await proseTokenizer());
  engine.skipsPrefill = true;
  try {
    const stepper = new BareStepper(stepPartsOf(model));
    // the streams' own prompts are full of values made there; those of newcomers are computed
    const onTimed = (isTimed: boolean) => {
      engine.skipsPrefill = !isTimed;
    };
    return await benchConcurrent({ engine, stepper, onTimed }, options, say);
  } finally {
    await engine.close();
  }
}
