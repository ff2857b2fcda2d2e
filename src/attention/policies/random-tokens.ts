import { BUDGET_KEYS, type BudgetOptions, readBudget } from "../budget.ts";
import { type AttentionPolicy, SELECTS_FOR_ITSELF } from "../policy.ts";
import { knownKeys, orDefault, wholeNumber } from "../settings.ts";

/** Settings of `randomTokens`. */
export interface RandomTokensOptions extends BudgetOptions {
  /** Default 1. */
  readonly seed?: number;
}

const CURRENT_TOKEN = { sinks: 0, recent: 1 };

/**
 * The floor of selection: every layer of every step attends to the current token and a new random set. The set depends on
 * (seed, layer, length) alone, so it is the same on every backend and in every run.
 */
export function randomTokens(options: RandomTokensOptions = {}): AttentionPolicy {
  const name = "random-tokens";
  knownKeys(name, options, [...BUDGET_KEYS, "seed"]);
  const budget = readBudget(name, options, 2);
  const seed = wholeNumber(name, "seed", orDefault(options.seed, 1), 0);
  return {
    name,
    settings: { ...budget.settings, seed },
    ...budget.limits,
    layerRole: () => SELECTS_FOR_ITSELF,
    select: (selector) =>
      selector.expandSelection(
        selector.mergeByRank(selector.randomScores(seed), selector.budget - 1, CURRENT_TOKEN),
        CURRENT_TOKEN,
      ),
  };
}
