/** Whether a model fits the backends of this machine, from its headers alone. */
import type { BackendName } from "./backend/backend.ts";
import { EngineError } from "./base/errors.ts";
import { keptAtOpen } from "./kept-at-open.ts";
import { DEFAULT_PAGE_SIZE } from "./kv/page-size.ts";
import { openCheckpoint } from "./load/checkpoint.ts";
import { BACKENDS } from "./machine/backends.ts";
import { capacityOn } from "./machine/choose-backend.ts";
import { estimateMemory, type MemoryEstimate } from "./machine/estimate-memory.ts";
import { fitModel } from "./machine/fit-model.ts";
import { attentionFactsOf } from "./model/calibrated.ts";
import { readModelConfig } from "./model/config.ts";
import type { WeightDtype } from "./model/weight-storage.ts";
import { checkWeights } from "./model/weights.ts";
import { demandOf } from "./model-demand.ts";
import type { EngineHost } from "./open.ts";

/** How a model would open on one backend, or why it would not. */
export type ModelFit =
  | {
      readonly backend: BackendName;
      readonly dtype: WeightDtype;
      /** Reason for the precision. */
      readonly why: string;
      /** Longest sequence. */
      readonly contextLength: number;
      /** With one sequence of that length. */
      readonly memory: MemoryEstimate;
    }
  | { readonly backend: BackendName; readonly problem: string };

/**
 * Fits a checkpoint into each backend that this machine has, as opening it with the default options, or for a context, would. A GPU does not tell
 * its memory: there only buffers that it cannot bind count.
 * @throws ModelFileError, ConfigError
 */
export async function fitFolder(
  host: EngineHost,
  { contextLength: asked }: { readonly contextLength?: number | undefined } = {},
): Promise<readonly ModelFit[]> {
  const checkpoint = await openCheckpoint(host.folder);
  try {
    const config = readModelConfig(checkpoint);
    const { plans } = checkWeights(checkpoint.tensors, config, checkpoint.name, checkpoint.promised);
    const facts = attentionFactsOf(checkpoint, config, DEFAULT_PAGE_SIZE);
    const kept = await keptAtOpen(undefined, facts, { openFolder: async () => host.folder });
    const demand = demandOf(config, plans, { kept, ...(asked !== undefined && { contextLength: asked }) });
    const fits: ModelFit[] = [];
    for (const kind of BACKENDS) {
      if (kind.name === "reference") continue;
      try {
        const candidate = await kind.probe(host, {});
        const { dtype, dtypeWhy, weightBytes, capacity } = fitModel(candidate, {
          ...{ model: config, capacity: capacityOn(candidate, demand), weights: demand.weights, kept },
          asked: { context: asked !== undefined, concurrency: false },
        });
        const { cacheDtype } = candidate;
        const memory = estimateMemory(kind.memory, {
          ...{ model: config, weightBytes, cacheDtype, capacity, kept: kept.memory },
        });
        const { maxSequenceLength: contextLength } = capacity;
        fits.push({ backend: kind.name, dtype, why: dtypeWhy, contextLength, memory });
      } catch (error) {
        if (!(error instanceof EngineError)) throw error;
        fits.push({ backend: kind.name, problem: error.message });
      }
    }
    return fits;
  } finally {
    await checkpoint.close();
  }
}
