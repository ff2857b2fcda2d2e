import type { TokenSelection } from "../../backend/backend.ts";
import { ConfigError } from "../../base/errors.ts";
import { printValue } from "../../base/print-value.ts";
import { BUDGET_KEYS, type BudgetOptions, readBudget, splitBudget } from "../budget.ts";
import { checkSelectionLayers } from "../layer-windows.ts";
import { type AttentionPolicy, DENSE, REUSES, SELECTS, type Selector } from "../policy.ts";
import { checkSinks, knownKeys, layerList, orDefault, share, wholeNumber } from "../settings.ts";

/** The budget: maximum tokens of a sparse layer, sinks and recency window included. */
export interface LessIsMoreOptions extends BudgetOptions {
  /** Share of the budget for the most recent tokens, sinks included. Default 0.25. */
  readonly recencyShare?: number;
  /** Always-kept first tokens. Default 4. */
  readonly sinks?: number;
  /** Layers that attend to all and select; layers before the first are dense. Default: the model's own. */
  readonly selectionLayers?: readonly number[];
  /**
   * Heads that share a set: all of them, which is the method; those of a kv head, by the mean of their softmax weights; or none,
   * each by its own scores. The last two are for ablations. Default "all".
   */
  readonly sets?: SetsOf;
}

/** What has a set of tokens of its own. */
export type SetsOf = "all" | "kv" | "head";

const SETS: readonly SetsOf[] = ["all", "kv", "head"];

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
  knownKeys(name, options, [...BUDGET_KEYS, "recencyShare", "sinks", "selectionLayers", "sets"]);
  const budget = readBudget(name, options, 1);
  const { tokenBudget } = budget.limits;
  const recencyShare = share(name, "recency", orDefault(options.recencyShare, 0.25));
  const sinks = wholeNumber(name, "sinks", orDefault(options.sinks, 4), 0);
  checkSinks(name, tokenBudget, sinks);
  const sets = checkSets(name, orDefault(options.sets, "all"));
  const layers =
    options.selectionLayers === undefined ? undefined : layerList(name, "layers", options.selectionLayers);
  const keptSinks = splitBudget(tokenBudget, recencyShare, sinks).ends.sinks;
  const first = layers?.[0] ?? 0;
  return {
    name,
    settings: {
      ...budget.settings,
      recency: recencyShare,
      sinks: keptSinks,
      ...(layers && { layers }),
      ...(sets !== "all" && { sets }),
    },
    ...budget.limits,
    ...(layers && { selectionLayersFrom: "request" as const }),
    layerRole: (layer) => (layers?.includes(layer) ? SELECTS : !layers || layer < first ? DENSE : REUSES),
    select: (selector) => select(selector, splitBudget(selector.budget, recencyShare, keptSinks), sets),
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

function select(
  selector: Selector,
  { ranked, ends }: ReturnType<typeof splitBudget>,
  sets: SetsOf,
): TokenSelection {
  const scores = selector.scores();
  if (sets === "all") return selector.expandSelection(selector.mergeByRank(scores, ranked, ends), ends);
  const own = sets === "kv" ? selector.poolScores(scores, { how: "softmax-mean", heads: "kv" }) : scores;
  return selector.expandSelection(selector.topK(own, ranked, ends), ends);
}

/** @throws ConfigError unless it is one of `SETS` */
function checkSets(policy: string, value: unknown): SetsOf {
  const sets = SETS.find((one) => one === value);
  if (sets === undefined)
    throw new ConfigError(
      `attention ${policy}: sets must be ${SETS.join(", ")}, for one set for all heads, one a kv head, or one a head, got ` +
        printValue(value),
    );
  return sets;
}
