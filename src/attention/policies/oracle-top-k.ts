import { BUDGET_KEYS, type BudgetOptions, readBudget } from "../budget.ts";
import { type AttentionPolicy, SELECTS_FOR_ITSELF } from "../policy.ts";
import { knownKeys } from "../settings.ts";

/** Settings of `oracleTopK`. */
export type OracleTopKOptions = BudgetOptions;

const CURRENT_TOKEN = { sinks: 0, recent: 1 };

/**
 * The ceiling of selection: every query head of every layer attends to its own exact top tokens and the current one. It
 * reads all keys to find them, so it is no faster than full attention; it shows the best that a budget can give.
 */
export function oracleTopK(options: OracleTopKOptions = {}): AttentionPolicy {
  const name = "oracle-top-k";
  knownKeys(name, options, BUDGET_KEYS);
  const budget = readBudget(name, options, 2);
  return {
    name,
    settings: budget.settings,
    ...budget.limits,
    layerRole: () => SELECTS_FOR_ITSELF,
    select: (selector) =>
      selector.expandSelection(
        selector.topK(selector.scores(), selector.budget - 1, CURRENT_TOKEN),
        CURRENT_TOKEN,
      ),
  };
}
