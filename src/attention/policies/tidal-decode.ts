import { checkSelectionLayers } from "../layer-windows.ts";
import { type AttentionPolicy, DENSE, REUSES, SELECTS } from "../policy.ts";
import { knownKeys, layerList, orDefault, wholeNumber } from "../settings.ts";

export interface TidalDecodeOptions {
  /** Tokens that each query head of a sparse layer attends to. Default 2048. */
  readonly tokenBudget?: number;
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
  knownKeys(name, options, ["tokenBudget", "selectionLayers"]);
  const tokenBudget = wholeNumber(name, "budget", orDefault(options.tokenBudget, 2048), 2);
  const layers =
    options.selectionLayers === undefined ? undefined : layerList(name, "layers", options.selectionLayers);
  const first = layers?.[0] ?? 0;
  return {
    name,
    settings: { budget: tokenBudget, ...(layers && { layers }) },
    tokenBudget,
    ...(layers && { selectionLayersFrom: "request" as const }),
    layerRole: (layer) => (layers?.includes(layer) ? SELECTS : !layers || layer < first ? DENSE : REUSES),
    select: (selector) =>
      selector.expandSelection(
        selector.topK(selector.scores(), tokenBudget - 1, CURRENT_TOKEN),
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
