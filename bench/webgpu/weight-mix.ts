/** Formats of a model's matrices in benchmarks: one of all, or the mix of a published kind of file. */
import { type ModelConfig, QUANTISED_FORMATS, rowBytes, type WeightFormat } from "../../src/node/internal.ts";

/** `q4_k_m`: llama.cpp's, q4_k with q6_k for the output, and for values and down of half of the layers. */
export type WeightMix = WeightFormat | "q4_k_m";

export const WEIGHT_MIXES = ["f16", "bf16", "f32", ...QUANTISED_FORMATS, "q4_k_m"] as const;

export type MatrixName = "embedding" | "q" | "k" | "v" | "o" | "gate" | "up" | "down" | "output";

/** layer: of a matrix in a layer. */
export function matrixFormat(
  mix: WeightMix,
  { tieWordEmbeddings, numLayers }: ModelConfig,
  name: MatrixName,
  layer = 0,
): WeightFormat {
  if (mix !== "q4_k_m") return mix;
  if (name === "output" || (name === "embedding" && tieWordEmbeddings)) return "q6_k";
  const isMore = (name === "v" || name === "down") && takesMoreBits(layer, numLayers);
  return isMore ? "q6_k" : "q4_k";
}

/** The rule of llama.cpp (`use_more_bits`): the first and last eighth, and every third between. */
function takesMoreBits(layer: number, numLayers: number): boolean {
  const eighth = Math.floor(numLayers / 8);
  const last = Math.floor((7 * numLayers) / 8);
  return layer < eighth || layer >= last || (layer - eighth) % 3 === 2;
}

/** Bytes of a layer's matrices as their file has them. */
export function layerBytes(config: ModelConfig, mix: WeightMix, layer: number) {
  const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim } = config;
  const [queryWidth, kvWidth] = [numQueryHeads * headDim, numKvHeads * headDim];
  const bytes = (name: MatrixName, rows: number, cols: number) =>
    rows * rowBytes(matrixFormat(mix, config, name, layer), cols);
  return {
    qkv:
      bytes("q", queryWidth, hiddenSize) + bytes("k", kvWidth, hiddenSize) + bytes("v", kvWidth, hiddenSize),
    o: bytes("o", hiddenSize, queryWidth),
    gateUp: bytes("gate", intermediateSize, hiddenSize) + bytes("up", intermediateSize, hiddenSize),
    down: bytes("down", hiddenSize, intermediateSize),
  };
}

export function headBytes(config: ModelConfig, mix: WeightMix): number {
  return config.vocabSize * rowBytes(matrixFormat(mix, config, "output"), config.hiddenSize);
}

/** Bytes of all matrices that a decode step reads, each once. */
export function matrixBytes(config: ModelConfig, mix: WeightMix): number {
  let bytes = headBytes(config, mix);
  for (let layer = 0; layer < config.numLayers; layer++)
    for (const one of Object.values(layerBytes(config, mix, layer))) bytes += one;
  return bytes;
}
