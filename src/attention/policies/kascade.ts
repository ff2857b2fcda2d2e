import { ConfigError } from "../../base/errors.ts";
import { isObject } from "../../base/is-object.ts";
import { printValue } from "../../base/print-value.ts";
import { BUDGET_KEYS, type BudgetOptions, readBudget } from "../budget.ts";
import { checkSelectionLayers, globalLayers } from "../layer-windows.ts";
import {
  type AttentionModel,
  type AttentionPolicy,
  DENSE,
  type LayerRole,
  REUSES,
  SELECTS,
  SELECTS_FOR_ITSELF,
} from "../policy.ts";
import { knownKeys, layerList, wholeNumber } from "../settings.ts";

/**
 * Of reuse layers, by number: for each kv head the kv head of the last anchor layer whose set it attends to. Layers left out
 * keep their heads.
 */
export type HeadMaps = Readonly<Record<string, readonly number[]>>;

/** A calibration is `selectionLayers` and `headMaps` of a model, as JSON. */
/** The budget: tokens that each kv head of a sparse layer attends to. The paper's is 128 with a share of 0.1. */
export interface KascadeOptions extends BudgetOptions {
  /** Anchor layers; layers before the first are dense. Default: the paper's, else layer 0 and the model's selection layers. */
  readonly selectionLayers?: readonly number[];
  /** Default: none. */
  readonly headMaps?: HeadMaps;
}

const NAME = "kascade";
const NO_ENDS = { sinks: 0, recent: 0 };

/** Anchor layers of the paper's models. */
const PUBLISHED: Readonly<Record<string, readonly number[]>> = {
  "Llama-3.1-8B": [0, 2, 8, 13, 14],
  "DeepSeek-R1-Distill-Llama-8B": [0, 2, 8, 13, 14],
  "Qwen3-8B": [0, 2, 7, 14, 23],
};

/**
 * Kascade: a few anchor layers score all keys, take the mean of the softmax weights of the query heads of each kv head, and
 * select its best tokens. The first anchor, layer 0, attends to all; the others attend to their own selection. Layers between
 * reuse the last selection, in each kv head that of the most similar head of the anchor.
 *
 * Source: arXiv 2512.16391 and github.com/microsoft/kascade (commit 76aea84, DecodeOnlyKascadeStrategy). As there, nothing is
 * always kept: the current token competes like any other. Departures: prefill is dense (the paper's table for AIME and its
 * decode-only variant); a share of the length is rounded up (`budgetAt`), so that sequences of a batch select together; weights are f32, not rounded to the model's precision before they are pooled; ties go to the lower position. Without
 * head maps each head reuses its own set, which the paper shows to be less accurate.
 */
export function kascade(options: KascadeOptions = {}): AttentionPolicy {
  knownKeys(NAME, options, [...BUDGET_KEYS, "selectionLayers", "headMaps"]);
  const budget = readBudget(NAME, options, 1);
  const anchors =
    options.selectionLayers === undefined ? undefined : layerList(NAME, "anchors", options.selectionLayers);
  const maps = checkMaps(options.headMaps);
  const printed = [...maps].map(([layer, map]) => `${layer}:${map.join("-")}`);
  const roles = reuseRoles(maps);
  return {
    name: NAME,
    settings: { ...budget.settings, ...(anchors && { anchors }), ...(maps.size > 0 && { maps: printed }) },
    ...budget.limits,
    ...(anchors && { selectionLayersFrom: "request" as const }),
    layerRole: (layer) => (anchors ? roleOf(layer, anchors, roles) : DENSE),
    select(selector) {
      const weights = selector.poolScores(selector.scores(), { how: "softmax-mean", heads: "kv" });
      return selector.expandSelection(selector.topK(weights, selector.budget, NO_ENDS), NO_ENDS);
    },
    forModel(model) {
      if (!anchors) return withDefaults(options, model);
      checkSelectionLayers(NAME, anchors, model, "anchors");
      for (const [layer, map] of maps) checkMap(layer, map, anchors, model);
      return this;
    },
  };
}

function withDefaults(options: KascadeOptions, model: AttentionModel): AttentionPolicy {
  const {
    defaultSelectionLayers: layers,
    defaultSelectionLayersFrom: from,
    defaultSelectionLayersOf: of,
  } = model;
  const published = from === "paper" && of !== undefined ? PUBLISHED[of] : undefined;
  const guess = [...new Set([...globalLayers(model).filter((layer) => layer === 0), ...layers])];
  const bound = kascade({ ...options, selectionLayers: published ?? guess });
  const source = published ? "paper" : from === "paper" ? "guess" : from;
  return { ...(bound.forModel?.(model) ?? bound), selectionLayersFrom: source };
}

function roleOf(layer: number, anchors: readonly number[], roles: ReadonlyMap<number, LayerRole>): LayerRole {
  const [first = 0] = anchors;
  if (layer <= first) return layer === first ? SELECTS : DENSE;
  return anchors.includes(layer) ? SELECTS_FOR_ITSELF : (roles.get(layer) ?? REUSES);
}

/** Roles of the layers with maps. Equal maps are one array, so that layers in a row map once. */
function reuseRoles(maps: ReadonlyMap<number, readonly number[]>): ReadonlyMap<number, LayerRole> {
  const known = new Map<string, LayerRole>();
  const roles = new Map<number, LayerRole>();
  for (const [layer, headMap] of maps) {
    const isIdentity = headMap.every((head, i) => head === i);
    const role = isIdentity ? REUSES : (known.get(headMap.join()) ?? { ...REUSES, headMap });
    known.set(headMap.join(), role);
    roles.set(layer, role);
  }
  return roles;
}

/** Head maps by layer, ascending. @throws ConfigError unless they are arrays of whole numbers by layer */
function checkMaps(maps: HeadMaps | undefined): ReadonlyMap<number, readonly number[]> {
  if (maps === undefined) return new Map();
  if (!isObject(maps))
    throw new ConfigError(`attention ${NAME}: maps must be an object of layers, got ${printValue(maps)}`);
  const entries = Object.entries(maps).map(([key, map]) => {
    const layer = wholeNumber(NAME, "a layer of maps", /^\d+$/.test(key) ? Number(key) : key, 0);
    if (!Array.isArray(map))
      throw new ConfigError(
        `attention ${NAME}: the map of layer ${layer} must list kv heads, got ${printValue(map)}`,
      );
    const heads = map.map((head) => wholeNumber(NAME, `a head of the map of layer ${layer}`, head, 0));
    return [layer, heads] as const;
  });
  return new Map(entries.sort(([a], [b]) => a - b));
}

/** @throws ConfigError for a map of a layer that reuses nothing, or of other heads than the model's */
function checkMap(
  layer: number,
  map: readonly number[],
  anchors: readonly number[],
  { numLayers, numKvHeads }: AttentionModel,
): void {
  const isReuse = layer > (anchors[0] ?? 0) && layer < numLayers && !anchors.includes(layer);
  if (!isReuse)
    throw new ConfigError(
      `attention ${NAME}: maps names layer ${layer}, but only layers after the first anchor that are no anchors ` +
        `(${anchors.join("+")}), up to ${numLayers - 1}, reuse a selection`,
    );
  if (map.length !== numKvHeads || map.some((head) => head >= numKvHeads))
    throw new ConfigError(
      `attention ${NAME}: the map of layer ${layer} must name a kv head from 0 to ${numKvHeads - 1} for each of ` +
        `${numKvHeads}, got ${map.join("-")}`,
    );
}
