/** A small layer for self-tests of ops that only some policies use: its sizes, its weights, and its steps. */
import { full } from "../attention/policies/full.ts";
import type { Backend, Capacity, ModelShape } from "../backend/backend.ts";
import { plainShape } from "../backend/plain-shape.ts";
import type { WeightSpec } from "../base/tensor-ref.ts";
import { StepBatchBuilder } from "../engine/step-batch.ts";
import { createRope } from "../model/rope.ts";
import { randomWeights } from "./self-test-numbers.ts";

/** Rows of the chunk: no whole number of pages. */
export const CHUNK_ROWS = 75;

export const SMALL_LAYER: ModelShape = plainShape({
  numLayers: 1,
  hiddenSize: 128,
  intermediateSize: 64,
  numQueryHeads: 4,
  numKvHeads: 2,
  headDim: 64,
  vocabSize: 64,
  rmsNormEps: 1e-6,
});

export const SMALL_CAPACITY: Capacity = {
  pageSize: 16,
  maxPages: 5,
  maxSequenceLength: 80,
  maxBatchRows: CHUNK_ROWS,
  maxBatchSequences: 1,
};

export const ALL = { first: 0, count: 1 };
export const PAGES = [3, 0, 4, 1, 2];

export function newBatch(): StepBatchBuilder {
  return new StepBatchBuilder({ model: SMALL_LAYER, capacity: SMALL_CAPACITY }, [
    createRope({ type: "default", theta: 10000, headDim: SMALL_LAYER.headDim }),
  ]);
}

/** Fills a step of one sequence: a chunk, or a decode row. */
export function fillBatch(batch: StepBatchBuilder, firstPosition: number, numRows: number): void {
  const tokens = Array.from({ length: firstPosition + numRows }, (_, i) => i % SMALL_LAYER.vocabSize);
  const run = { name: "self-test", tokens, pages: PAGES, firstPosition, numRows };
  batch.fill([{ ...run, isPrefill: numRows > 1, policy: full() }]);
}

/** Weights without head norms, whose heads are rotated by another kernel if nobody reads them before. */
export function makeInput(backend: Backend) {
  const { hiddenSize, numQueryHeads, numKvHeads, headDim } = SMALL_LAYER;
  const writes: (() => void)[] = [];
  const place = (spec: WeightSpec) => {
    const ref = backend.createWeight(spec);
    const seed = writes.length + 200;
    writes.push(() => void backend.writeWeight(ref, 0, randomWeights(ref.format, ref.rows * ref.cols, seed)));
    return ref;
  };
  const matrix = (name: string, heads: number) =>
    place({ kind: "matrix", name, format: "f16", rows: heads * headDim, cols: hiddenSize });
  const weights = {
    norm: place({ kind: "vector", name: "attention norm", format: "f32", size: hiddenSize }),
    q: matrix("q", numQueryHeads),
    k: matrix("k", numKvHeads),
    v: matrix("v", numKvHeads),
  };
  for (const write of writes) write();
  return weights;
}
