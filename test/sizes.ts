import type { Capacity, ModelShape } from "../src/backend/backend.ts";

/** Sizes of a model and of the backend that runs it, by name. */
export type Sizes = ModelShape & Capacity;

/** A small model and room for it, as `BackendFactory` takes them; name the sizes that a test is about. */
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
    {
      ...{ numLayers: 1, hiddenSize: 30, intermediateSize: 45, numQueryHeads: 4, numKvHeads: 2 },
      ...{ headDim: 6, vocabSize: 51, rmsNormEps: 1e-6 },
      ...model,
    },
    { pageSize, maxPages, maxSequenceLength, maxBatchRows, maxBatchSequences },
  ];
}
