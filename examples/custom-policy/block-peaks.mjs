// An attention policy in a file of its own:
//   lessismore eval --tasks registers --length 1024 --attention full --attention ./block-peaks.mjs:budget=256,layers=2+7
//
// Idea: a selection layer keeps, besides the first and the last tokens, the tokens that rank highest for any query head
// (mergeByRank), and each later layer reads that one set; at most `share` of the budget is for the last tokens.
// The contract is AttentionPolicy in src/attention/policy.ts; nothing here imports the package.

const DENSE = { attends: "all", selects: false };
const SELECTS = { attends: "all", selects: true };
const REUSES = { attends: "selected", selects: false };

/**
 * Makes the policy from the settings behind the colon: numbers where they look like numbers, else texts.
 * @throws TypeError on settings that make no sense; the command line prints the message
 */
export default function blockPeaks({ budget = 256, share = 0.25, sinks = 4, layers, ...unknown } = {}) {
  if (Object.keys(unknown).length > 0)
    throw new TypeError(`unknown settings: ${Object.keys(unknown).join(", ")}`);
  if (!Number.isInteger(budget) || budget < 16)
    throw new TypeError("budget must be a whole number of at least 16");
  if (!(share >= 0 && share <= 1)) throw new TypeError("share must be from 0 to 1");
  const asked = layers === undefined ? undefined : String(layers).split("+").map(Number);

  /** selecting: the selection layers, once the model is known */
  function bound(selecting) {
    const recent = Math.round((budget - sinks) * share);
    return {
      name: "block-peaks",
      // Reports and tables name the policy by these; all that decides its results belongs here.
      settings: { budget, share, sinks, layers: selecting },
      tokenBudget: budget,
      layerRole(layer) {
        if (selecting.includes(layer)) return SELECTS;
        return layer < selecting[0] ? DENSE : REUSES;
      },
      // Called in each selection layer of a step, for sequences that are longer than the budget.
      select(selector) {
        const ends = { sinks, recent };
        const picked = selector.mergeByRank(selector.scores(), budget - sinks - recent, ends);
        return selector.expandSelection(picked, ends);
      },
      forModel(model) {
        const own = asked ?? [...model.defaultSelectionLayers];
        const wrong = own.filter(
          (layer) => !Number.isInteger(layer) || layer < 0 || layer >= model.numLayers,
        );
        if (own.length === 0 || wrong.length > 0)
          throw new TypeError(`layers must be of 0 to ${model.numLayers - 1}, such as layers=2+7`);
        return bound(own);
      },
    };
  }
  return bound(asked ?? [2]);
}
