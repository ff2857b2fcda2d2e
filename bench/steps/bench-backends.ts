import { median } from "../statistics.ts";
import { ModelStepper } from "./model-stepper.ts";

/** Untimed first steps of a turn: the other backend left its data in the caches. */
const SETTLING_STEPS = 4;
const MEASURED_STEPS = 4;

export interface BackendRow {
  readonly backend: string;
  readonly threads: number;
  readonly msPerStep: number;
  readonly prefillMs: number;
  /** Speed-up over the reference backend. */
  readonly decodeSpeedup: number;
  readonly prefillSpeedup: number;
}

/** One decode step and the prefill of the bundled model at one context on every CPU backend, in turn. */
export async function benchBackends(options: {
  readonly context: number;
  readonly rounds: number;
  readonly model?: string;
}): Promise<readonly BackendRow[]> {
  const { context, rounds, model } = options;
  const kinds = [{ backend: "reference" }, { backend: "wasm", threads: 1 }, { backend: "wasm" }] as const;
  const all = [];
  for (const kind of kinds) {
    const stepper = await ModelStepper.open({ ...kind, contextLength: context, ...(model && { model }) });
    all.push({ ...kind, stepper, stepMs: [] as number[], prefillMs: [] as number[] });
  }
  try {
    for (let round = 0; round < rounds; round++)
      for (const { stepper, stepMs, prefillMs } of all) {
        prefillMs.push(stepper.prefill(context));
        for (let i = -SETTLING_STEPS; i < MEASURED_STEPS; i++) {
          const ms = await stepper.step(context, "full");
          if (i >= 0) stepMs.push(ms);
        }
      }
  } finally {
    for (const { stepper } of all) await stepper.backend.close();
  }
  const [first] = all.map(({ stepMs, prefillMs }) => ({ step: median(stepMs), prefill: median(prefillMs) }));
  return all.map(({ backend, stepper, stepMs, prefillMs }) => ({
    backend,
    threads: stepper.threads,
    msPerStep: median(stepMs),
    prefillMs: median(prefillMs),
    decodeSpeedup: (first?.step ?? Number.NaN) / median(stepMs),
    prefillSpeedup: (first?.prefill ?? Number.NaN) / median(prefillMs),
  }));
}
