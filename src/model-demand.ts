import type { Capacity } from "./backend/backend.ts";
import { MAX_CONCURRENT } from "./backend/backend-kind.ts";
import { ConfigError } from "./base/errors.ts";
import { DEFAULT_PAGE_SIZE } from "./kv/page-size.ts";
import type { BackendDemand } from "./machine/choose-backend.ts";
import type { KeptByPolicy } from "./machine/fit-model.ts";
import type { ModelConfig } from "./model/config.ts";
import type { WeightPlan } from "./model/weight-rows.ts";
import { storedBytes } from "./model/weight-storage.ts";
import type { EngineOptions } from "./open-options.ts";

type DemandOptions = Pick<
  EngineOptions,
  "cacheTokens" | "contextLength" | "dtype" | "maxConcurrent" | "pageSize"
> & {
  /** What the policy of requests keeps. Absent: nothing. */
  readonly kept?: KeptByPolicy;
};

/** What a model asks of a backend under these options. @throws ConfigError on a context that the model was not made for */
export function demandOf(
  config: ModelConfig,
  plans: readonly WeightPlan[],
  options: DemandOptions,
): BackendDemand {
  return {
    model: config,
    capacity: capacityFor(config, options),
    kept: options.kept,
    isConcurrencyNamed: options.maxConcurrent !== undefined,
    weights: {
      choice: options.dtype ?? "auto",
      bytes: (precision, formats) => storedBytes(plans, precision, formats),
    },
  };
}

/** Room for the options' context and requests. @throws ConfigError on a context that the model was not made for. */
function capacityFor(config: ModelConfig, options: DemandOptions): Capacity {
  const { pageSize = DEFAULT_PAGE_SIZE, maxConcurrent: maxBatchSequences = MAX_CONCURRENT.gpu } = options;
  const maxSequenceLength = options.contextLength ?? config.contextLength;
  if (maxSequenceLength > config.contextLength)
    throw new ConfigError(
      `contextLength ${maxSequenceLength} is more than the ${config.contextLength} positions the model was made for ` +
        `(${config.contextNote ?? config.contextKey})`,
    );
  const { cacheTokens = Number.POSITIVE_INFINITY } = options;
  if (cacheTokens < maxSequenceLength)
    throw new ConfigError(
      `cacheTokens ${cacheTokens} is less than the context of ${maxSequenceLength} tokens, so that a request of that length could never run; ` +
        "give more cacheTokens, or a smaller contextLength",
    );
  const pages = Math.ceil(maxSequenceLength / pageSize) * maxBatchSequences;
  return {
    pageSize,
    maxPages: Math.min(pages, Math.ceil(cacheTokens / pageSize)),
    maxSequenceLength,
    maxBatchRows: maxBatchSequences,
    maxBatchSequences,
  };
}
