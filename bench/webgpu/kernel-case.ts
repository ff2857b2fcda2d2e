/** Sizes of the kernel benchmarks: those of the targets, or small ones to try the commands. */
import type { ModelConfig, Tuning } from "../../src/node/internal.ts";
import { readShape } from "./shapes.ts";
import type { Dtypes } from "./step-work.ts";

export interface KernelCase extends Dtypes {
  /** Overrides of kernel sizes. */
  readonly tuning?: Partial<Tuning>;
  readonly config: ModelConfig;
  /** Fewer than the model has: calls take them in turn. Each has its own weights and cache, together more than a last-level cache holds. */
  readonly maxLayers: number;
  /** Cached tokens of dense attention. */
  readonly contexts: readonly number[];
  /** Cached tokens of selection and sparse attention. */
  readonly selectionContext: number;
  readonly budget: number;
  /** Rows of a batch of decode steps. */
  readonly batches: readonly number[];
}

export function kernelPlan(isQuick: boolean, dtypes: Dtypes): KernelCase {
  const batches = [2, 4, 8, 16, 32];
  return isQuick
    ? {
        ...dtypes,
        config: readShape("pico-reasoner").config,
        maxLayers: 4,
        contexts: [512],
        selectionContext: 512,
        budget: 64,
        batches,
      }
    : {
        ...dtypes,
        config: readShape("llama-3.1-8b").config,
        maxLayers: 12,
        contexts: [16384, 32768, 65536, 131072],
        selectionContext: 32768,
        budget: 2048,
        batches,
      };
}
