import type { KascadeOptions } from "../../src/index.ts";
import { chooseAnchors } from "./choose-anchors.ts";
import { type HeadSimilarity, layerSimilarity, mapHeads } from "./head-similarity.ts";

/** The settings of `kascade` that depend on the model, as JSON: `kascade({ tokenBudget, ...calibration })`. */
export type KascadeCalibration = Required<Pick<KascadeOptions, "selectionLayers" | "headMaps">>;

/**
 * Anchors and head maps from the similarity of heads.
 * importance: of each layer (`attentionImportance`)
 * @throws RangeError like `chooseAnchors`
 */
export function calibrateKascade(
  heads: HeadSimilarity,
  importance: readonly number[],
  numAnchors: number,
): KascadeCalibration {
  const { anchors } = chooseAnchors(layerSimilarity(heads), importance, numAnchors);
  return { selectionLayers: anchors, headMaps: mapHeads(heads, anchors) };
}
