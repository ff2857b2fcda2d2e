/** The policy with trained gates by an independent definition. */
import { expandSelection, topK } from "./brute-force.ts";
import type { Definition } from "./policy-definitions.ts";
import { type GatedSizes, type GateOptions, type PlainGate, plainGates } from "./random-gates.ts";

const NO_ENDS = { sinks: 0, recent: 0 };

/** Gates by the location that a spec names. */
const GATES: Readonly<Record<string, GateOptions>> = {
  "gate-8": { blockSize: 8, gateDim: 6 },
  "gate-16": { blockSize: 16, gateDim: 4, hasNorms: false, hasRope: false, startLayer: 2 },
};
const GATED: GatedSizes = { numLayers: 5, numQueryHeads: 6, numKvHeads: 2, headDim: 10 };

/** The weights of a gate, by layer. */
export function gateOf(location: string): readonly (PlainGate | undefined)[] {
  const options = GATES[location];
  if (!options) throw new Error(`there is no gate ${location}`);
  return plainGates(GATED, options, 31);
}

/** rule: blocks above a threshold, or the best of a budget. Either competes with the first and the last block, which are always on. */
export function seerAttentionR(
  location: string,
  rule: { readonly budget: number } | { readonly threshold: number },
  denseLayers = 0,
): Definition {
  const gates = gateOf(location);
  return ({ layer, length, raw }) => {
    const gate = gates[layer];
    if (!gate || layer < denseLayers) return "all";
    const { blockSize, gateDim } = gate.options;
    const ends = { sinks: 1, recent: 1 };
    const most = "budget" in rule ? Math.floor(rule.budget / blockSize) : Number.POSITIVE_INFINITY;
    const groups = [0, 1].map((kvHead) => {
      const scores = gate.scores(kvHead, raw.queries.slice(3 * kvHead, 3 * kvHead + 3), raw.keys[kvHead]);
      const chosen = "budget" in rule ? topK(scores, NO_ENDS, most) : unitsAbove(scores, rule.threshold);
      return expandSelection(chosen, blockSize, length, ends);
    });
    const sets = Array.from({ length: 6 }, (_, head) => groups[Math.floor(head / 3)]);
    const cut = Math.ceil(length / blockSize) * blockSize - length;
    const counted = Math.min(length, (most + 2) * blockSize - cut);
    return { attends: "set", sets, counted, scans: { blockKeys: Math.floor(length / blockSize), gateDim } };
  };
}

function unitsAbove(scores: ArrayLike<number>, threshold: number): number[] {
  const largest = Math.max(...Array.from(scores));
  const powers = Array.from(scores, (score) => Math.exp(score - largest));
  const mass = powers.reduce((sum, power) => sum + power);
  return powers.flatMap((power, unit) => (power / mass > threshold ? [unit] : []));
}
