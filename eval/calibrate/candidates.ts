import { ConfigError } from "../../src/node/index.ts";
import { mapHeads } from "../kascade/index.ts";
import { expectedRecall, proposeLayers } from "./propose.ts";
import type { LayerRecall } from "./recall.ts";

/** Policies that `calibrate` knows the settings of. */
export const CALIBRATED_POLICIES = ["less-is-more", "tidal-decode", "key-sketch", "kascade"] as const;
export type CalibratedPolicy = (typeof CALIBRATED_POLICIES)[number];

/** One setting to measure. */
export interface Candidate {
  readonly spec: string;
  /** Its selection layers, if the policy has any. */
  readonly layers?: readonly number[];
  /** Expected attention recall over the layers, if it was traced. */
  readonly recall?: number;
}

export interface CandidateOptions {
  readonly policy: CalibratedPolicy;
  readonly tokenBudget: number;
  /** Layers that attend to all tokens, ascending: a layer with a sliding window selects nothing. */
  readonly globalLayers: readonly number[];
  readonly numLayers: number;
}

/** Selection layers of a set at most, and layers that attend to all in a model under such a set, by policy. */
const LIMITS: Readonly<Record<string, { readonly mostLayers: number; readonly mostDense: number }>> = {
  "less-is-more": { mostLayers: 4, mostDense: 7 },
  "tidal-decode": { mostLayers: 4, mostDense: 7 },
  // All anchors but the first read keys alone.
  kascade: { mostLayers: 8, mostDense: 9 },
};
/** Proposals of each cost. */
const PROPOSALS = 2;
/** Pairs of the usual first layer and a later one, beside the proposals: the best third by recall, and so many at least. */
const LEAST_PAIRS = 8;
const RECENCY_SHARES = [0.1, 0.5];
const SKETCH_FRACTIONS = [0.1875, 0.25, 0.375, 0.5, 0.75, 1];
const SKETCH_DENSE = [0, 1, 2];

/** True if the selection layers of a policy are to be found, so that their recall proposes. */
export function hasSelectionLayers(policy: CalibratedPolicy): boolean {
  return policy !== "key-sketch";
}

/** The candidates of the first round: sets of layers that recall proposes and pairs of layers, or what the policy varies in place of layers. */
export function firstCandidates(options: CandidateOptions, recall: LayerRecall | undefined): Candidate[] {
  const { policy, globalLayers: layers } = options;
  if (layers.length === 0)
    throw new ConfigError(
      "every layer of the model attends to a sliding window, so that none can select: there is nothing to calibrate, use full attention",
    );
  if (policy === "key-sketch" || recall === undefined) return sketchCandidates(options);
  const { mostLayers, mostDense } = LIMITS[policy] ?? { mostLayers: 4, mostDense: 7 };
  // A set under which every layer attends to all saves nothing; later anchors of kascade do not.
  const most = policy === "kascade" ? mostDense : Math.min(mostDense, Math.max(1, layers.length - 1));
  const limits = { mostLayers, mostDense: most, count: PROPOSALS };
  const proposed = proposeLayers(recall, limits).map((proposal) => proposal.layers);
  const sets = policy === "kascade" ? proposed : [...pairs(layers, recall), ...proposed];
  return distinct(sets.map((set) => withLayers(options, set, recall)));
}

/**
 * Candidates around the best one: other first layers, one that selects at the lowest layer already, the two best sets together, other
 * recency shares. best: nearest to full attention first
 */
export function nearCandidates(
  options: CandidateOptions,
  best: readonly Candidate[],
  recall?: LayerRecall,
): Candidate[] {
  const [top, next] = best;
  if (top === undefined || options.policy === "kascade") return [];
  const recency =
    options.policy === "tidal-decode"
      ? []
      : RECENCY_SHARES.map((share) => ({ ...top, spec: `${top.spec},recency=${share}` }));
  if (top.layers === undefined) return recency;
  const { globalLayers } = options;
  const [first = 0, ...others] = top.layers;
  const lowest = globalLayers[0] ?? 0;
  const sets: (readonly number[])[] = [first - 1, first + 1]
    .filter((layer) => globalLayers.includes(layer) && layer < (others[0] ?? Number.POSITIVE_INFINITY))
    .map((layer) => [layer, ...others]);
  if (first > lowest) sets.push([lowest, first, ...others]);
  const both = [...new Set([...top.layers, ...(next?.layers ?? [])])].sort((a, b) => a - b);
  if (both.length <= 4) sets.push(both);
  const known = new Set(best.map(({ spec }) => spec));
  const near = distinct(sets.map((set) => withLayers(options, set, recall)));
  return [...near.filter(({ spec }) => !known.has(spec)), ...recency];
}

/** Pairs of the usual first layer and each later one: the best third by recall. */
function pairs(layers: readonly number[], recall: LayerRecall): number[][] {
  const first = layers.find((layer) => layer >= 2 && layer !== layers.at(-1)) ?? layers[0] ?? 0;
  const later = layers.filter((layer) => layer > first);
  const all = later.length < 2 ? [] : later.map((layer) => [first, layer]);
  all.sort((a, b) => expectedRecall(recall, b) - expectedRecall(recall, a));
  return all.slice(0, Math.max(LEAST_PAIRS, Math.ceil(all.length / 3)));
}

function withLayers(
  { policy, tokenBudget }: CandidateOptions,
  layers: readonly number[],
  recall?: LayerRecall,
): Candidate {
  const expected = recall && { recall: expectedRecall(recall, layers) };
  const list = layers.join("+");
  if (policy !== "kascade")
    return { spec: `${policy}:budget=${tokenBudget},layers=${list}`, layers, ...expected };
  const maps = Object.entries(headMaps(layers, recall)).map(
    ([layer, heads]) => `${layer}:${heads.join("-")}`,
  );
  const mapped = maps.length === 0 ? "" : `,maps=${maps.join("+")}`;
  return { spec: `kascade:budget=${tokenBudget},anchors=${list}${mapped}`, layers, ...expected };
}

/** Head maps by the model's layers, of anchors by the model's layers. */
function headMaps(anchors: readonly number[], recall: LayerRecall | undefined): Record<string, number[]> {
  if (recall?.heads === undefined) return {};
  const maps = mapHeads(
    recall.heads,
    anchors.map((layer) => recall.layers.indexOf(layer)),
  );
  return Object.fromEntries(Object.entries(maps).map(([index, map]) => [recall.layers[Number(index)], map]));
}

/** Every layer selects for itself: budgets, and how many layers stay dense. */
function sketchCandidates({ tokenBudget, numLayers }: CandidateOptions): Candidate[] {
  const budgets = SKETCH_FRACTIONS.map((fraction) => Math.max(16, Math.round(tokenBudget * fraction)));
  return distinct(
    SKETCH_DENSE.filter((dense) => dense < numLayers).flatMap((dense) =>
      budgets.map((budget) => ({ spec: `key-sketch:budget=${budget},dense-layers=${dense}` })),
    ),
  );
}

function distinct(candidates: readonly Candidate[]): Candidate[] {
  return [...new Map(candidates.map((one) => [one.spec, one])).values()];
}
