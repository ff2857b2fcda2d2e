/**
 * The self-test of what only some families have: GELU and output norms (Gemma 3), experts (Qwen3-MoE). Kernels of an activation are
 * those of a whole model, so this takes a backend of its own.
 */
import { full } from "../attention/policies/full.ts";
import type {
  Backend,
  Capacity,
  ExpertShape,
  FeedForwardWeights,
  LayerOutputWeights,
  ModelShape,
} from "../backend/backend.ts";
import { plainShape } from "../backend/plain-shape.ts";
import type { TensorRef, WeightRef, WeightSpec } from "../base/tensor-ref.ts";
import type { FloatFormat } from "../base/weight-format.ts";
import { StepBatchBuilder } from "../engine/step-batch.ts";
import { createRope } from "../model/rope.ts";
import {
  randomFloats,
  randomWeights,
  relativeError,
  type SelfTestRow,
  selfTestRow,
} from "./self-test-numbers.ts";

/** Rows of the chunk: more than a kernel of few rows takes. */
const CHUNK_ROWS = 9;
export const EXPERTS: ExpertShape = {
  numExperts: 6,
  topExperts: 2,
  intermediateSize: 64,
  isNormalised: true,
};

export const FAMILY_TEST_MODEL: ModelShape = {
  ...plainShape({
    numLayers: 1,
    hiddenSize: 128,
    intermediateSize: 192,
    numQueryHeads: 4,
    numKvHeads: 2,
    headDim: 64,
    vocabSize: 320,
    rmsNormEps: 1e-6,
  }),
  activation: "gelu_tanh",
  experts: EXPERTS,
};

export const FAMILY_TEST_CAPACITY: Capacity = {
  pageSize: 16,
  maxPages: 1,
  maxSequenceLength: 16,
  maxBatchRows: CHUNK_ROWS,
  maxBatchSequences: 1,
};

/**
 * Runs `advance` of each kind on both backends, which were opened with `FAMILY_TEST_MODEL` and `FAMILY_TEST_CAPACITY`, for a chunk
 * and a decode step.
 */
export async function runFamilyTest(
  tested: Backend,
  reference: Backend,
  allowed: number,
): Promise<readonly SelfTestRow[]> {
  const sides = [makeSide(tested), makeSide(reference)] as const;
  const batch = new StepBatchBuilder({ model: FAMILY_TEST_MODEL, capacity: FAMILY_TEST_CAPACITY }, [
    createRope({ type: "default", theta: 10000, headDim: FAMILY_TEST_MODEL.headDim }),
  ]);
  const rows: SelfTestRow[] = [];
  for (const [step, numRows] of [
    ["chunk", CHUNK_ROWS],
    ["decode", 1],
  ] as const)
    for (const kind of ["dense", "experts"] as const) {
      fillBatch(batch, numRows);
      const [actual, expected] = await Promise.all(sides.map((side) => advanced(side, batch, kind)));
      const what = kind === "dense" ? "GELU, output norms" : "experts";
      const error = relativeError(actual.subarray(0, expected.length), expected);
      rows.push(selfTestRow(`${what}, ${step}`, error, allowed));
    }
  return rows;
}

function fillBatch(batch: StepBatchBuilder, numRows: number): void {
  const tokens = Array.from({ length: CHUNK_ROWS }, (_, i) => i);
  const run = { name: "self-test", tokens, pages: [0], firstPosition: 0, numRows };
  batch.fill([{ ...run, isPrefill: numRows > 1, policy: full() }]);
}

/** A backend with the weights of a layer of either kind. */
interface Side {
  readonly backend: Backend;
  readonly weights: Readonly<Record<FeedForwardWeights["kind"], LayerOutputWeights>>;
  readonly x: TensorRef;
  readonly attended: TensorRef;
  readonly query: TensorRef;
}

function makeSide(backend: Backend): Side {
  const { hiddenSize, numQueryHeads, headDim } = FAMILY_TEST_MODEL;
  const width = numQueryHeads * headDim;
  return {
    backend,
    weights: makeWeights(backend),
    x: backend.createTensor("f32", [CHUNK_ROWS, hiddenSize]),
    attended: backend.createTensor("f32", [CHUNK_ROWS, width]),
    query: backend.createTensor("f32", [CHUNK_ROWS, width]),
  };
}

function makeWeights(backend: Backend): Side["weights"] {
  const { hiddenSize, intermediateSize, numQueryHeads, headDim } = FAMILY_TEST_MODEL;
  const { numExperts, intermediateSize: inner } = EXPERTS;
  // All are placed before the first is written, as for a checkpoint.
  const writes: (() => void)[] = [];
  const place = (spec: WeightSpec): WeightRef => {
    const ref = backend.createWeight(spec);
    const seed = writes.length + 100;
    writes.push(() => void backend.writeWeight(ref, 0, randomWeights(ref.format, ref.rows * ref.cols, seed)));
    return ref;
  };
  const norm = (name: string) => place({ kind: "vector", name, format: "f32", size: hiddenSize });
  const matrix = (name: string, format: FloatFormat, rows: number, cols: number, experts?: number) =>
    place({ kind: "matrix", name, format, rows, cols, ...(experts !== undefined && { experts }) });
  const o = matrix("o", "bf16", hiddenSize, numQueryHeads * headDim);
  const weights: Side["weights"] = {
    dense: {
      output: { o, outputNorm: norm("attention output norm") },
      feedForward: {
        kind: "dense",
        norm: norm("feed-forward norm"),
        gate: matrix("gate", "f16", intermediateSize, hiddenSize),
        up: matrix("up", "f16", intermediateSize, hiddenSize),
        down: matrix("down", "bf16", hiddenSize, intermediateSize),
        outputNorm: norm("output norm"),
      },
    },
    experts: {
      output: { o },
      feedForward: {
        kind: "experts",
        norm: norm("expert norm"),
        router: matrix("router", "f32", numExperts, hiddenSize),
        gate: matrix("gate of experts", "bf16", inner, hiddenSize, numExperts),
        up: matrix("up of experts", "bf16", inner, hiddenSize, numExperts),
        down: matrix("down of experts", "f16", hiddenSize, inner, numExperts),
      },
    },
  };
  for (const write of writes) write();
  return weights;
}

/** The rows of x after a layer of a kind. */
async function advanced(
  { backend, weights, x, attended, query }: Side,
  batch: StepBatchBuilder,
  kind: FeedForwardWeights["kind"],
): Promise<Float32Array> {
  const { hiddenSize, numQueryHeads, headDim } = FAMILY_TEST_MODEL;
  backend.beginStep(batch);
  backend.write(x, randomFloats(batch.numRows * hiddenSize, 1));
  backend.write(attended, randomFloats(batch.numRows * numQueryHeads * headDim, 2));
  backend.advance(weights[kind], undefined, { attended, x, query });
  const values = await backend.read(x);
  return Float32Array.from(values.subarray(0, batch.numRows * hiddenSize));
}
