/**
 * Anchor layers by dynamic programming.
 * source: arXiv 2512.16391, section 3.4; github.com/microsoft/kascade at 76aea84, `src/runners/stats_runner.py`
 */

/** Similarity of layers: [anchor][layer] for layer ≥ anchor, how much of the layer's best the anchor's selection finds. */
export type LayerSimilarity = readonly (readonly number[])[];

export interface AnchorChoice {
  /** Ascending; the first is layer 0. */
  readonly anchors: readonly number[];
  /** Sum over layers of importance times the similarity of the last anchor at or before the layer. */
  readonly score: number;
}

/**
 * The `count` anchors with the largest score: layer 0, and those that make the layers up to the next anchor resemble them. Of
 * equal choices the one with the lowest last anchor, then second to last, and so on.
 * importance: weight of each layer. similarity: entries below the diagonal are not read.
 * @throws RangeError if count is not 1 to the number of layers, or the sizes do not fit
 */
export function chooseAnchors(
  similarity: LayerSimilarity,
  importance: readonly number[],
  count: number,
): AnchorChoice {
  const numLayers = importance.length;
  if (!Number.isInteger(count) || count < 1 || count > numLayers)
    throw new RangeError(`choosing anchors: expected 1 to ${numLayers} of them, got ${count}`);
  if (similarity.length !== numLayers || similarity.some((row) => row.length !== numLayers))
    throw new RangeError(`choosing anchors: expected similarities of ${numLayers} × ${numLayers} layers`);
  const block = blockScores(similarity, importance);
  // best[end]: largest score of layers before `end` with as many anchors as rounds
  let best = Array.from({ length: numLayers + 1 }, (_, end) => (end === 0 ? 0 : Number.NEGATIVE_INFINITY));
  const last: number[][] = [];
  for (let round = 0; round < count; round++) {
    const next = best.map(() => Number.NEGATIVE_INFINITY);
    const from = best.map(() => 0);
    for (let end = 1; end <= numLayers; end++)
      for (let anchor = 0; anchor < end; anchor++) {
        const score = (best[anchor] ?? 0) + (block[anchor]?.[end] ?? 0);
        if (!(score > (next[end] ?? 0))) continue;
        next[end] = score;
        from[end] = anchor;
      }
    best = next;
    last.push(from);
  }
  const anchors: number[] = [];
  for (let end = numLayers, round = count - 1; round >= 0; round--) {
    end = last[round]?.[end] ?? 0;
    anchors.unshift(end);
  }
  return { anchors, score: best[numLayers] ?? 0 };
}

/** [anchor][end]: score of the layers anchor to end - 1 under that anchor. */
function blockScores(similarity: LayerSimilarity, importance: readonly number[]): number[][] {
  return similarity.map((row, anchor) => {
    const sums = Array.from({ length: importance.length + 1 }, () => 0);
    for (let layer = anchor; layer < importance.length; layer++)
      sums[layer + 1] = (sums[layer] ?? 0) + (row[layer] ?? 0) * (importance[layer] ?? 0);
    return sums;
  });
}
