import { checkSelectionLayers } from "../layer-windows.ts";
import { type AttentionPolicy, DENSE, REUSES, SELECTS } from "../policy.ts";
import { checkSinks, knownKeys, layerList, orDefault, share, wholeNumber } from "../settings.ts";

export interface LessIsMoreOptions {
  /** Maximum tokens of a sparse layer, sinks and recency window included. Default 2048. */
  readonly tokenBudget?: number;
  /** Share of the budget for the most recent tokens, sinks included. Default 0.25. */
  readonly recencyShare?: number;
  /** Always-kept first tokens. Default 4. */
  readonly sinks?: number;
  /** Layers that attend to all and select; layers before the first are dense. Default: the model's own. */
  readonly selectionLayers?: readonly number[];
}

/**
 * LessIsMore: cross-head unified sparse attention.
 *
 * A few selection layers attend to all tokens and select one set for all heads. Each query head ranks the tokens; the
 * union takes rank by rank over the heads (heads ascending, first occurrence kept) until the budget is full. A share of
 * the budget goes to the most recent tokens. Later layers attend to that set alone, until the next selection layer. Every
 * decode step selects anew.
 *
 * Source: arXiv 2508.07101. Departures, where paper and published code contradict each other: sinks come out of the
 * recency share (as in the code), and there are no sinks if that share is smaller; the current token is always
 * attended, at the cost of one ranked token if the share has no room; ties go to the lower position.
 */
export function lessIsMore(options: LessIsMoreOptions = {}): AttentionPolicy {
  const name = "less-is-more";
  knownKeys(name, options, ["tokenBudget", "recencyShare", "sinks", "selectionLayers"]);
  const tokenBudget = wholeNumber(name, "budget", orDefault(options.tokenBudget, 2048), 1);
  const recencyShare = share(name, "recency", orDefault(options.recencyShare, 0.25));
  const sinks = wholeNumber(name, "sinks", orDefault(options.sinks, 4), 0);
  checkSinks(name, tokenBudget, sinks);
  const layers =
    options.selectionLayers === undefined ? undefined : layerList(name, "layers", options.selectionLayers);
  const parts = splitBudget(tokenBudget, recencyShare, sinks);
  const first = layers?.[0] ?? 0;
  return {
    name,
    settings: {
      budget: tokenBudget,
      recency: recencyShare,
      sinks: parts.ends.sinks,
      ...(layers && { layers }),
    },
    tokenBudget,
    ...(layers && { selectionLayersFrom: "request" as const }),
    layerRole: (layer) => (layers?.includes(layer) ? SELECTS : !layers || layer < first ? DENSE : REUSES),
    select: (selector) =>
      selector.expandSelection(selector.mergeByRank(selector.scores(), parts.ranked, parts.ends), parts.ends),
    forModel(model) {
      if (!layers)
        return {
          ...lessIsMore({ ...options, selectionLayers: model.defaultSelectionLayers }),
          selectionLayersFrom: model.defaultSelectionLayersFrom,
        };
      checkSelectionLayers(name, layers, model);
      return this;
    },
  };
}

/** Splits the budget exactly into ranked and always-kept tokens. The 1e-9 undoes the rounding of 1 - share. */
function splitBudget(tokenBudget: number, recencyShare: number, sinks: number) {
  const shared = tokenBudget - Math.trunc(tokenBudget * (1 - recencyShare) + 1e-9);
  const kept = shared < sinks ? 0 : sinks;
  const recent = Math.max(1, shared - kept);
  return { ranked: tokenBudget - kept - recent, ends: { sinks: kept, recent } };
}
