import type { LayerRecall } from "./recall.ts";

export interface Proposal {
  /** Selection layers, ascending. */
  readonly layers: readonly number[];
  /** Mean over the layers of the attention mass that they would see; 1 in layers that attend to all. */
  readonly recall: number;
}

export interface ProposeOptions {
  /** Selection layers of a set at most. */
  readonly mostLayers: number;
  /**
   * Layers that attend to all, selection layers included: a set with more costs more bytes. Sets are compared among those of one cost.
   */
  readonly mostDense: number;
  /** Proposals of each cost. */
  readonly count: number;
}

/**
 * For each cost the `count` sets of selection layers with the largest expected recall, cheapest first. Layers before the first one of a set,
 * and those of the set, see everything; the others see what the last one before them selected. Dynamic programming over the last
 * layer of a set, for each first layer, with the best `count` sets in place of the best one: time layers³ × count × mostLayers.
 */
export function proposeLayers(
  recall: LayerRecall,
  { mostLayers, mostDense, count }: ProposeOptions,
): Proposal[] {
  const blocks = recall.shares.map(blockSums);
  const byCost = new Map<number, Proposal[]>();
  for (let first = 0; first < Math.min(mostDense, recall.layers.length); first++) {
    const most = Math.min(mostLayers, mostDense - first);
    for (const [i, sets] of setsFrom(first, { blocks, most, count }).entries()) {
      const cost = first + i + 1;
      byCost.set(cost, [...(byCost.get(cost) ?? []), ...sets]);
    }
  }
  return [...byCost]
    .sort(([a], [b]) => a - b)
    .flatMap(([, sets]) => bestOf(sets, count).map((set) => named(set, recall.layers)));
}

/** Expected recall of a set of layers, by their numbers. */
export function expectedRecall({ layers, shares }: LayerRecall, set: readonly number[]): number {
  const first = set[0] ?? 0;
  let last = -1;
  let sum = 0;
  for (const [b, layer] of layers.entries()) {
    const selects = set.includes(layer);
    if (selects) last = b;
    sum += layer < first || selects ? 1 : (shares[last]?.[b] ?? 0);
  }
  return sum / Math.max(1, layers.length);
}

interface Blocks {
  /** [a][end]: recall of the layers a to end - 1 under the selection of a. */
  readonly blocks: readonly (readonly number[])[];
  readonly most: number;
  readonly count: number;
}

/** [size - 1]: the best sets of that size whose first layer is `first`, by index, with the sum of recalls. */
function setsFrom(first: number, { blocks, most, count }: Blocks): Proposal[][] {
  const whole: Proposal[][] = [];
  // partial[a]: the best sets that end with layer a, with the recall of the layers before a
  let partial = blocks.map((_, a): Proposal[] => (a === first ? [{ layers: [first], recall: first }] : []));
  for (let size = 1; size <= most; size++) {
    const ended = partial.flatMap((sets, a) => sets.map((set) => extended(set, blocks[a]?.at(-1) ?? 0)));
    whole.push(bestOf(ended, count));
    const before = partial;
    partial = blocks.map((_, b) =>
      bestOf(
        before.slice(0, b).flatMap((sets, a) => sets.map((set) => extended(set, blocks[a]?.[b] ?? 0, b))),
        count,
      ),
    );
  }
  return whole;
}

function blockSums(row: readonly number[], a: number): number[] {
  const sums = Array.from({ length: row.length + 1 }, () => 0);
  for (let b = a; b < row.length; b++) sums[b + 1] = (sums[b] ?? 0) + (b === a ? 1 : (row[b] ?? 0));
  return sums;
}

function extended(set: Proposal, recall: number, next?: number): Proposal {
  return {
    layers: next === undefined ? set.layers : [...set.layers, next],
    recall: set.recall + recall,
  };
}

function bestOf(sets: readonly Proposal[], count: number): Proposal[] {
  return [...sets].sort((x, y) => y.recall - x.recall).slice(0, count);
}

/** By layer numbers, and as a mean. */
function named({ layers, recall }: Proposal, numbers: readonly number[]): Proposal {
  return {
    layers: layers.map((index) => numbers[index] ?? index),
    recall: recall / Math.max(1, numbers.length),
  };
}
