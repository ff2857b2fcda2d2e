import type { BackendShape } from "../../src/backend/backend.ts";

/** Sizes of a decoder, as in its config.json. */
export interface ModelShape {
  readonly numLayers: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly numQueryHeads: number;
  readonly numKvHeads: number;
  readonly headDim: number;
  readonly vocabSize: number;
  readonly isTied: boolean;
  readonly hasQkNorm: boolean;
  /** Layers at which policies select where a spec names none. */
  readonly selectionLayers: readonly number[];
}

const qwen3 = { headDim: 128, vocabSize: 151936, hasQkNorm: true, numKvHeads: 8 };

export const SHAPES: Readonly<Record<string, ModelShape>> = {
  "llama-3.1-8b": {
    numLayers: 32,
    hiddenSize: 4096,
    intermediateSize: 14336,
    numQueryHeads: 32,
    numKvHeads: 8,
    headDim: 128,
    vocabSize: 128256,
    isTied: false,
    hasQkNorm: false,
    selectionLayers: [2, 13],
  },
  "qwen3-8b": {
    ...qwen3,
    numLayers: 36,
    hiddenSize: 4096,
    intermediateSize: 12288,
    numQueryHeads: 32,
    isTied: false,
    selectionLayers: [2, 12],
  },
  "qwen3-4b": {
    ...qwen3,
    numLayers: 36,
    hiddenSize: 2560,
    intermediateSize: 9728,
    numQueryHeads: 32,
    isTied: true,
    selectionLayers: [2, 20],
  },
  "qwen3-1.7b": {
    ...qwen3,
    numLayers: 28,
    hiddenSize: 2048,
    intermediateSize: 6144,
    numQueryHeads: 16,
    isTied: true,
    selectionLayers: [2, 9],
  },
  "qwen3-0.6b": {
    ...qwen3,
    numLayers: 28,
    hiddenSize: 1024,
    intermediateSize: 3072,
    numQueryHeads: 16,
    isTied: true,
    selectionLayers: [2, 9],
  },
  "pico-reasoner": {
    numLayers: 10,
    hiddenSize: 256,
    intermediateSize: 640,
    numQueryHeads: 8,
    numKvHeads: 2,
    headDim: 64,
    vocabSize: 512,
    isTied: true,
    hasQkNorm: true,
    selectionLayers: [2, 7],
  },
};

/** The backend's shape for one sequence of up to `context` tokens, `rows` of them a batch. */
export function backendShape(shape: ModelShape, context: number, rows: number): BackendShape {
  const pageSize = 16;
  const { numLayers, hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize } = shape;
  return {
    ...{ numLayers, hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize },
    rmsNormEps: 1e-6,
    pageSize,
    numPages: Math.ceil(context / pageSize),
    maxSequenceLength: context,
    maxBatchRows: rows,
    maxBatchSequences: 1,
  };
}

/** Bytes one decode step must read: all matrices once, and the keys and values of `attendedRows` rows over all layers. */
export function stepBytes(
  shape: ModelShape,
  weightBytes: number,
  cacheBytes: number,
  attendedRows: number,
): number {
  const { hiddenSize: hidden, intermediateSize, numQueryHeads, numKvHeads, headDim, vocabSize } = shape;
  const layer = hidden * (2 * numQueryHeads + 2 * numKvHeads) * headDim + 3 * hidden * intermediateSize;
  const weights = (shape.numLayers * layer + vocabSize * hidden) * weightBytes;
  return weights + attendedRows * 2 * numKvHeads * headDim * cacheBytes;
}
