import { BUDGET_KEYS, type BudgetOptions, readBudget } from "../budget.ts";
import { checkSelectionLayers } from "../layer-windows.ts";
import { type AttentionPolicy, DENSE, REUSES, SELECTS } from "../policy.ts";
import { knownKeys, layerList } from "../settings.ts";

/** Settings of `tidalDecode`. */
export interface TidalDecodeOptions extends BudgetOptions {
  /** Layers that attend to all and select; layers before the first are dense. Default: the model's own. */
  readonly selectionLayers?: readonly number[];
}

const CURRENT_TOKEN = { sinks: 0, recent: 1 };

/**
 * TidalDecode: position-persistent sparse attention. Each query head of a selection layer selects its own best tokens;
 * the same head of later layers attends to them. No union over heads, no sinks, no window.
 *
 * Source: arXiv 2410.05076. Departure: the current token is always in the budget (as in the GQA port of the LessIsMore
 * authors); in the original its score decides.
 */
export function tidalDecode(options: TidalDecodeOptions = {}): AttentionPolicy {
  const name = "tidal-decode";
  knownKeys(name, options, [...BUDGET_KEYS, "selectionLayers"]);
  const budget = readBudget(name, options, 2);
  const layers =
    options.selectionLayers === undefined ? undefined : layerList(name, "layers", options.selectionLayers);
  const first = layers?.[0] ?? 0;
  return {
    name,
    settings: { ...budget.settings, ...(layers && { layers }) },
    ...budget.limits,
    ...(layers && { selectionLayersFrom: "request" as const }),
    layerRole: (layer) => (layers?.includes(layer) ? SELECTS : !layers || layer < first ? DENSE : REUSES),
    select: (selector) =>
      selector.expandSelection(
        selector.topK(selector.scores(), selector.budget - 1, CURRENT_TOKEN),
        CURRENT_TOKEN,
      ),
    forModel(model) {
      if (!layers)
        return {
          ...tidalDecode({ ...options, selectionLayers: model.defaultSelectionLayers }),
          selectionLayersFrom: model.defaultSelectionLayersFrom,
        };
      checkSelectionLayers(name, layers, model);
      return this;
    },
  };
}
