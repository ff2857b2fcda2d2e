import type { LayerShape, ModelShape } from "./backend.ts";

type Sizes = Pick<
  ModelShape,
  | "numLayers"
  | "hiddenSize"
  | "intermediateSize"
  | "numQueryHeads"
  | "numKvHeads"
  | "headDim"
  | "vocabSize"
  | "rmsNormEps"
>;

/** The shape of a decoder of these sizes in which all layers are alike: SiLU, one RoPE table, no window, no experts. */
export function plainShape(sizes: Sizes): ModelShape {
  return {
    ...sizes,
    activation: "silu",
    attentionScale: sizes.headDim ** -0.5,
    embeddingScale: 1,
    numRopes: 1,
    layers: plainLayers(sizes.numLayers),
  };
}

export function plainLayers(numLayers: number): readonly LayerShape[] {
  return Array.from({ length: numLayers }, () => ({ rope: 0 }));
}
