/** The settings of less-is-more, one changed at a time. */
import * as v from "valibot";
import { ConfigError, formatAttention, lessIsMore, parseAttention } from "../../src/node/index.ts";

/** What is varied: the selection layers, the share of recent tokens, the sinks, the heads that share a set, the budget. */
export const FACTORS = ["layers", "recency", "sinks", "sets", "budget"] as const;
export type Factor = (typeof FACTORS)[number];

/** One value of one setting; all others are the base's. */
export interface Variant {
  readonly factor: Factor;
  readonly value: string;
  /** The policy as a spec with all its settings, as rows have it. */
  readonly attention: string;
  /** True for the base itself, which is a value of every setting. */
  readonly isBase: boolean;
}

const BASE = v.object({
  budget: v.number(),
  recency: v.number(),
  sinks: v.number(),
  layers: v.array(v.number()),
  sets: v.optional(v.picklist(["all", "kv", "head"]), "all"),
});
type ReadSettings = v.InferOutput<typeof BASE>;
export type BaseSettings = Readonly<Omit<ReadSettings, "layers">> & { readonly layers: readonly number[] };

const RECENCY = [0, 0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9];
const SINKS = [0, 1, 2, 4, 8, 16, 32, 64];
const BUDGET_FACTORS = [0.25, 0.5, 1, 2, 4];
const SETS = ["all", "kv", "head"] as const;

/** Reads the settings of a policy that is bound to its model. @throws ConfigError unless it is less-is-more */
export function readBase(label: string): BaseSettings {
  const { name, settings } = parseAttention(label);
  const { success, output } = v.safeParse(BASE, settings);
  if (name !== "less-is-more" || !success)
    throw new ConfigError(
      `ablations change the settings of less-is-more, got ${label}; name the setting to start from, such as ` +
        "--attention less-is-more:budget=256,layers=2+7",
    );
  return output;
}

export interface VariantOptions {
  readonly base: BaseSettings;
  readonly factors: readonly Factor[];
  /** The model's layers that can select. */
  readonly candidates: readonly number[];
  /** Tokens of the shortest problem; a budget that holds it is full attention. */
  readonly length: number;
}

/** The variants, factor by factor, each with the base among its values. */
export function makeVariants({ base, factors, candidates, length }: VariantOptions): Variant[] {
  const baseLabel = labelOf(base);
  const makers: Readonly<Record<Factor, () => [value: string, settings: BaseSettings][]>> = {
    layers: () =>
      layerLists(base.layers, candidates).map((layers) => [layers.join("+"), { ...base, layers }]),
    recency: () => ascending(RECENCY, base.recency).map((recency) => [String(recency), { ...base, recency }]),
    sinks: () =>
      ascending(SINKS, base.sinks)
        .filter((sinks) => sinks < base.budget && keptSinks({ ...base, sinks }) === sinks)
        .map((sinks) => [String(sinks), { ...base, sinks }]),
    sets: () => SETS.map((sets) => [sets, { ...base, sets }]),
    budget: () =>
      BUDGET_FACTORS.map((factor) => Math.floor(base.budget * factor))
        .filter((budget) => budget === base.budget || (budget > base.sinks && budget < length))
        .map((budget) => [String(budget), { ...base, budget }]),
  };
  return factors.flatMap((factor) =>
    makers[factor]().map(([value, settings]) => {
      const attention = labelOf(settings);
      return { factor, value, attention, isBase: attention === baseLabel };
    }),
  );
}

/** The first layer of the base alone, beside each later candidate, and the base's own list. */
function layerLists(base: readonly number[], candidates: readonly number[]): (readonly number[])[] {
  const [first = 0] = base;
  const lists = [[first], ...candidates.filter((layer) => layer > first).map((layer) => [first, layer])];
  const isListed = lists.some((layers) => layers.join() === base.join());
  return isListed ? lists : [...lists, base];
}

function ascending(values: readonly number[], own: number): number[] {
  return [...new Set([...values, own])].sort((a, b) => a - b);
}

function policyOf({ budget, recency, sinks, layers, sets }: BaseSettings) {
  return lessIsMore({
    tokenBudget: budget,
    recencyShare: recency,
    sinks,
    selectionLayers: layers,
    sets,
  });
}

function labelOf(settings: BaseSettings): string {
  return formatAttention(policyOf(settings));
}

/** Sinks that the share of recent tokens has room for: all or none. */
function keptSinks(settings: BaseSettings): unknown {
  return policyOf(settings).settings.sinks;
}
