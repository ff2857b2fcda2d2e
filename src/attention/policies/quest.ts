import { ConfigError } from "../../base/errors.ts";
import { BUDGET_KEYS, type BudgetOptions, readBudget } from "../budget.ts";
import { type AttentionPolicy, DENSE, SELECTS_FOR_ITSELF } from "../policy.ts";
import { checkLayers, knownKeys, orDefault, wholeNumber } from "../settings.ts";

/** The budget: tokens that each query head attends to, in whole pages, the current page included. */
export interface QuestOptions extends BudgetOptions {
  /** Tokens of a page; a multiple of the KV cache's page size. Default 16. */
  readonly pageSize?: number;
  /** First layers that stay dense. Default 2. */
  readonly denseLayers?: number;
}

const CURRENT_PAGE = { sinks: 0, recent: 1 };

/**
 * Quest: every layer past the dense ones scores pages by an upper bound of their logits (per channel the larger of q times
 * the page's smallest and largest key). Each query head attends to its best pages.
 *
 * Source: arXiv 2406.10774, and its CUDA version for the current page, which is always attended and part of the budget.
 * Departures: layers are numbered from the first (the published code counts down from 32); a budget of fewer than three
 * pages is not raised.
 */
export function quest(options: QuestOptions = {}): AttentionPolicy {
  const name = "quest";
  knownKeys(name, options, [...BUDGET_KEYS, "pageSize", "denseLayers"]);
  const pageSize = wholeNumber(name, "page", orDefault(options.pageSize, 16), 1);
  const budget = readBudget(name, options, 1);
  const denseLayers = wholeNumber(name, "dense-layers", orDefault(options.denseLayers, 2), 0);
  const { tokenBudget } = budget.limits;
  if (tokenBudget < pageSize)
    throw new ConfigError(
      `attention ${name}: a budget of ${tokenBudget} holds no page of ${pageSize} tokens`,
    );
  return {
    name,
    settings: { ...budget.settings, page: pageSize, "dense-layers": denseLayers },
    ...budget.limits,
    pageBounds: pageSize,
    layerRole: (layer) => (layer < denseLayers ? DENSE : SELECTS_FOR_ITSELF),
    select: (selector) =>
      selector.expandSelection(
        selector.topK(
          selector.pageScores(pageSize),
          Math.floor(selector.budget / pageSize) - 1,
          CURRENT_PAGE,
        ),
        CURRENT_PAGE,
      ),
    forModel(model) {
      if (pageSize % model.pageSize !== 0)
        throw new ConfigError(
          `attention ${name}: page=${pageSize} is no multiple of the KV cache's page size ${model.pageSize}; ` +
            `choose a multiple, or open the engine with pageSize ${pageSize}`,
        );
      if (denseLayers > 0) checkLayers(name, "dense-layers", [denseLayers - 1], model.numLayers);
      return this;
    },
  };
}
