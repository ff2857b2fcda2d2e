/**
 * How much of what a head attends to the selection of another head finds, in the same and in later layers, from recorded dense
 * attention.
 * source: arXiv 2512.16391, section 3.4 and 3.6; github.com/microsoft/kascade at 76aea84, `src/runners/stats_runner.py`
 */
import type { LayerSimilarity } from "./choose-anchors.ts";

/** Dense attention of one token: [layer][kv head] softmax weights by position, pooled over the query heads (`poolWeights`). */
export type StepWeights = readonly (readonly Float32Array[])[];

/** [anchor layer][layer][head of the layer][head of the anchor], for layer ≥ anchor; below it the rows are empty. */
export type HeadSimilarity = readonly (readonly (readonly (readonly number[])[])[])[];

/** Means over the query heads of each kv head. weights: softmax weights per query head. */
export function poolWeights(weights: readonly Float32Array[], numKvHeads: number): Float32Array[] {
  const group = weights.length / numKvHeads;
  if (!Number.isInteger(group) || group < 1)
    throw new RangeError(
      `pooling weights: ${weights.length} query heads do not share ${numKvHeads} kv heads`,
    );
  return Array.from({ length: numKvHeads }, (_, kv) =>
    Float32Array.from({ length: weights[0]?.length ?? 0 }, (_, position) => {
      let sum = 0;
      for (let h = kv * group; h < (kv + 1) * group; h++) sum += weights[h]?.[position] ?? 0;
      return sum / group;
    }),
  );
}

/**
 * Similarities over the tokens of a text: for two heads, the weight that the second gives to the best `budget` positions of the
 * first, over the weight that it gives to its own best. The least over the tokens counts, so that no token is badly served.
 * @throws RangeError without tokens, or if their layers or heads differ
 */
export function headSimilarity(steps: Iterable<StepWeights>, budget: number): HeadSimilarity {
  let least: number[][][][] | undefined;
  for (const weights of steps) {
    const best = weights.map((heads) => heads.map((row) => bestOf(row, budget)));
    const shares = weights.map((_, anchor) =>
      weights.map((heads, layer) =>
        layer < anchor
          ? []
          : heads.map((row, head) => {
              const own = massAt(row, best[layer]?.[head]);
              return (best[anchor] ?? []).map((positions) => massAt(row, positions) / own);
            }),
      ),
    );
    least = least ? least.map((rows, anchor) => smaller(rows, shares[anchor])) : shares;
  }
  if (!least) throw new RangeError("the similarity of heads needs the attention of at least one token");
  return least;
}

/** Mean of similarities of several texts. */
export function averageSimilarity(all: readonly HeadSimilarity[]): HeadSimilarity {
  const [first] = all;
  if (!first) throw new RangeError("an average of similarities needs at least one text");
  return first.map((layers, anchor) =>
    layers.map((heads, layer) =>
      heads.map((row, head) =>
        row.map((_, of) => all.reduce((sum, one) => sum + at(one, anchor, layer, head, of), 0) / all.length),
      ),
    ),
  );
}

/** Similarity of layers if each head takes the most similar head of the anchor: the mean over the layer's heads. */
export function layerSimilarity(heads: HeadSimilarity): LayerSimilarity {
  return heads.map((layers) =>
    layers.map((rows) => rows.reduce((sum, row) => sum + Math.max(...row), 0) / Math.max(1, rows.length)),
  );
}

/**
 * For each layer after the first anchor that is no anchor, by number: the most similar head of the last anchor, for each of its
 * kv heads. Ties go to the head itself, then to the lower one. Layers in which all heads keep their own are left out.
 */
export function mapHeads(heads: HeadSimilarity, anchors: readonly number[]): Record<string, number[]> {
  const maps: Record<string, number[]> = {};
  for (let layer = 0; layer < heads.length; layer++) {
    const anchor = anchors.filter((one) => one <= layer).at(-1);
    if (anchor === undefined || anchor === layer) continue;
    const map = (heads[anchor]?.[layer] ?? []).map((row, head) => {
      const most = Math.max(...row);
      return row[head] === most ? head : row.indexOf(most);
    });
    if (map.some((source, head) => source !== head)) maps[layer] = map;
  }
  return maps;
}

/**
 * Importance of a layer's attention for one token: 1 - cosine of the residual stream before it and after it. The mean over tokens
 * is the importance of the layer.
 */
export function attentionImportance(before: ArrayLike<number>, after: ArrayLike<number>): number {
  let [dot, a, b] = [0, 0, 0];
  for (let i = 0; i < before.length; i++) {
    const [x, y] = [before[i] ?? 0, after[i] ?? 0];
    dot += x * y;
    a += x * x;
    b += y * y;
  }
  return a === 0 || b === 0 ? 1 : 1 - dot / Math.sqrt(a * b);
}

/** Positions of the largest weights, ties to the lower position. */
function bestOf(weights: Float32Array, budget: number): Uint32Array {
  const order = Uint32Array.from(weights.keys());
  order.sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
  return order.subarray(0, budget);
}

function massAt(weights: Float32Array, positions: Uint32Array = new Uint32Array()): number {
  let mass = 0;
  for (const position of positions) mass += weights[position] ?? 0;
  return mass;
}

/** The smaller of two similarities of an anchor, number by number. @throws RangeError if their sizes differ */
function smaller(a: readonly number[][][], b: readonly number[][][] = []): number[][][] {
  return a.map((heads, layer) =>
    heads.map((row, head) =>
      row.map((share, of) => {
        const other = b[layer]?.[head]?.[of];
        if (other === undefined) throw new RangeError("all tokens must have the same layers and heads");
        return Math.min(share, other);
      }),
    ),
  );
}

function at(one: HeadSimilarity, anchor: number, layer: number, head: number, of: number): number {
  const share = one[anchor]?.[layer]?.[head]?.[of];
  if (share === undefined) throw new RangeError("all texts must have the same layers and heads");
  return share;
}
