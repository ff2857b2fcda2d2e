import { BUDGET_KEYS, type BudgetOptions, readBudget, splitBudget } from "../budget.ts";
import { type AttentionPolicy, DENSE, SELECTS_FOR_ITSELF } from "../policy.ts";
import { checkLayers, checkSinks, knownKeys, orDefault, share, wholeNumber } from "../settings.ts";

/** The budget: tokens that each kv head attends to, sinks and recency window included. */
export interface KeySketchOptions extends BudgetOptions {
  /** Share of the budget for the most recent tokens, sinks included. Default 0.25. */
  readonly recencyShare?: number;
  /** Always-kept first tokens. Default 4. */
  readonly sinks?: number;
  /** First layers that stay dense. Default 1. */
  readonly denseLayers?: number;
}

/**
 * Key sketch: every layer past the dense ones scores all tokens against a sketch of its keys (4 bits a channel and a scale), and
 * attends to the best tokens exactly. The query heads of a kv head share a set: a token's score is the largest of theirs.
 *
 * A layer that selects anew reads half of its cache to do so; the sketch of a head of 64 channels is a fourteenth of an f32 cache, a
 * seventh of f16. So every layer can select for itself: nothing depends on which layers agree, and no layers need to be chosen.
 *
 * Source: our own (docs/key-sketch.md); the parts are known. Selection by 4-bit keys: Twilight (arXiv 2502.02770), which prunes
 * what another method selected. Recency share and sinks: LessIsMore (arXiv 2508.07101). One set per kv head: Kascade (arXiv
 * 2512.16391).
 */
export function keySketch(options: KeySketchOptions = {}): AttentionPolicy {
  const name = "key-sketch";
  knownKeys(name, options, [...BUDGET_KEYS, "recencyShare", "sinks", "denseLayers"]);
  const budget = readBudget(name, options, 1);
  const { tokenBudget } = budget.limits;
  const recencyShare = share(name, "recency", orDefault(options.recencyShare, 0.25));
  const sinks = wholeNumber(name, "sinks", orDefault(options.sinks, 4), 0);
  checkSinks(name, tokenBudget, sinks);
  const denseLayers = wholeNumber(name, "dense-layers", orDefault(options.denseLayers, 1), 0);
  const keptSinks = splitBudget(tokenBudget, recencyShare, sinks).ends.sinks;
  return {
    name,
    settings: { ...budget.settings, recency: recencyShare, sinks: keptSinks, "dense-layers": denseLayers },
    ...budget.limits,
    keySketch: true,
    layerRole: (layer) => (layer < denseLayers ? DENSE : SELECTS_FOR_ITSELF),
    select(selector) {
      const { ranked, ends } = splitBudget(selector.budget, recencyShare, keptSinks);
      return selector.expandSelection(selector.topK(selector.sketchScores(), ranked, ends), ends);
    },
    forModel(model) {
      if (denseLayers > 0) checkLayers(name, "dense-layers", [denseLayers - 1], model.numLayers);
      return this;
    },
  };
}
