/** Calibration of Kascade: similarity of heads from recorded attention, anchor layers, head maps. */
export { calibrateKascade, type KascadeCalibration } from "./calibration.ts";
export { type AnchorChoice, chooseAnchors, type LayerSimilarity } from "./choose-anchors.ts";
export {
  attentionImportance,
  averageSimilarity,
  type HeadSimilarity,
  headSimilarity,
  layerSimilarity,
  mapHeads,
  poolWeights,
  type StepWeights,
} from "./head-similarity.ts";
