import { type AttentionPolicy, SELECTS_FOR_ITSELF } from "../policy.ts";
import { knownKeys, orDefault, wholeNumber } from "../settings.ts";

export interface OracleTopKOptions {
  /** Tokens that each query head attends to. Default 2048. */
  readonly tokenBudget?: number;
}

const CURRENT_TOKEN = { sinks: 0, recent: 1 };

/**
 * The ceiling of selection: every query head of every layer attends to its own exact top tokens and the current one. It
 * reads all keys to find them, so it is no faster than full attention; it shows the best that a budget can give.
 */
export function oracleTopK(options: OracleTopKOptions = {}): AttentionPolicy {
  const name = "oracle-top-k";
  knownKeys(name, options, ["tokenBudget"]);
  const tokenBudget = wholeNumber(name, "budget", orDefault(options.tokenBudget, 2048), 2);
  return {
    name,
    settings: { budget: tokenBudget },
    tokenBudget,
    layerRole: () => SELECTS_FOR_ITSELF,
    select: (selector) =>
      selector.expandSelection(
        selector.topK(selector.scores(), tokenBudget - 1, CURRENT_TOKEN),
        CURRENT_TOKEN,
      ),
  };
}
