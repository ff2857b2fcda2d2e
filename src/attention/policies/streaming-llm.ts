import { BUDGET_KEYS, type BudgetOptions, readBudget } from "../budget.ts";
import { globalLayers } from "../layer-windows.ts";
import { type AttentionPolicy, REUSES, SELECTS_FOR_ITSELF } from "../policy.ts";
import { checkSinks, knownKeys, orDefault, wholeNumber } from "../settings.ts";

/** The budget: sinks and sliding window together. */
export interface StreamingLlmOptions extends BudgetOptions {
  /** Always-kept first tokens. Default 4. */
  readonly sinks?: number;
}

/**
 * StreamingLLM: every layer attends to the first tokens and to a sliding window of the last.
 * Source: arXiv 2309.17453. Departure: tokens keep their positions in the text (the paper renumbers them in the cache).
 */
export function streamingLlm(options: StreamingLlmOptions = {}): AttentionPolicy {
  return streamingFrom(0, options);
}

/** first: the layer that makes the selection, the model's first global one. */
function streamingFrom(first: number, options: StreamingLlmOptions): AttentionPolicy {
  const name = "streaming-llm";
  knownKeys(name, options, [...BUDGET_KEYS, "sinks"]);
  const budget = readBudget(name, options, 1);
  const sinks = wholeNumber(name, "sinks", orDefault(options.sinks, 4), 0);
  checkSinks(name, budget.limits.tokenBudget, sinks);
  return {
    name,
    settings: { ...budget.settings, sinks },
    ...budget.limits,
    layerRole: (layer) => (layer === first ? SELECTS_FOR_ITSELF : REUSES),
    select: (selector) => selector.expandSelection(undefined, { sinks, recent: selector.budget - sinks }),
    forModel(model) {
      const [selecting = 0] = globalLayers(model);
      return selecting === first ? this : streamingFrom(selecting, options);
    },
  };
}
