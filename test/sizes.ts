import type { Capacity, ModelShape } from "../src/backend/backend.ts";
import { plainShape } from "../src/backend/plain-shape.ts";

/** Sizes of a model and of the backend that runs it, by name. */
export type Sizes = ModelShape & Capacity;

const MODEL = {
  ...{ numLayers: 1, hiddenSize: 30, intermediateSize: 45, numQueryHeads: 4, numKvHeads: 2 },
  ...{ headDim: 6, vocabSize: 51, rmsNormEps: 1e-6 },
};

/** Returns the arguments of `BackendFactory` for a small model. A test overrides the sizes that it is about. */
export function sizesOf(overrides: Partial<Sizes> = {}): [model: ModelShape, capacity: Capacity] {
  const {
    pageSize = 16,
    maxPages = 64,
    maxSequenceLength = 512,
    maxBatchRows = 64,
    maxBatchSequences = 8,
    ...model
  } = overrides;
  return [
    { ...plainShape({ ...MODEL, ...model }), ...model },
    { pageSize, maxPages, maxSequenceLength, maxBatchRows, maxBatchSequences },
  ];
}
