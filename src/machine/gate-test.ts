/**
 * The self-test of gates of blocks (SeerAttention-R): heads before RoPE, keys of blocks and their scores. Only policies with a gate
 * use these kernels, so no opening waits for them; `doctor` runs the test.
 */
import type { Backend, BlockGate, RawHeads, Scores } from "../backend/backend.ts";
import type { TensorRef } from "../base/tensor-ref.ts";
import type { StepBatchBuilder } from "../engine/step-batch.ts";
import { createRope } from "../model/rope.ts";
import { randomFloats, relativeError, type SelfTestRow, selfTestRow } from "./self-test-numbers.ts";
import {
  ALL,
  CHUNK_ROWS,
  fillBatch,
  makeInput,
  newBatch,
  PAGES,
  SMALL_CAPACITY,
  SMALL_LAYER,
} from "./small-layer.ts";

/** Blocks of two pages; the chunk has two of them and a part of a third. */
const BLOCK_SIZE = 32;
const GATE_DIM = 48;

/**
 * Runs the ops of gates on both backends, which were opened with `SMALL_LAYER` and `SMALL_CAPACITY`, for a chunk and a
 * decode step.
 */
export async function runGateTest(
  tested: Backend,
  reference: Backend,
  allowed: number,
): Promise<readonly SelfTestRow[]> {
  const [one, other] = [makeSide(tested), makeSide(reference)];
  const { numQueryHeads, numKvHeads, headDim } = SMALL_LAYER;
  const batch = newBatch();
  const rows: SelfTestRow[] = [];
  // the tested side continues with the reference's numbers
  const compare = async (op: string, pick: (side: Side) => TensorRef, count: number) => {
    const expected = (await reference.read(pick(other))).subarray(0, count);
    const actual = (await tested.read(pick(one))).subarray(0, count);
    tested.write(pick(one), expected);
    rows.push(selfTestRow(op, relativeError(actual, expected), allowed));
  };
  for (const [step, firstPosition, numRows] of [
    ["chunk", 0, CHUNK_ROWS],
    ["decode", CHUNK_ROWS, 1],
  ] as const) {
    fillBatch(batch, firstPosition, numRows);
    for (const side of [one, other]) recordHeads(side, batch);
    await compare(`raw queries, ${step}`, ({ raw }) => raw.query, numRows * numQueryHeads * headDim);
    await compare(`raw keys, ${step}`, ({ raw }) => raw.keys, numRows * numKvHeads * headDim);
    for (const { backend, raw, gate } of [one, other]) backend.updateBlockKeys(ALL, raw.keys, gate);
    await compare(
      `pools of pages, ${step}`,
      ({ gate }) => gate.pools,
      PAGES.length * numKvHeads * 3 * headDim,
    );
  }
  await compare("keys of blocks", ({ gate }) => gate.blockKeys, PAGES.length * numKvHeads * GATE_DIM);
  for (const { backend, raw, gate, scores } of [one, other])
    backend.blockScores(ALL, raw.query, gate, scores);
  await compare("scores of blocks", ({ scores }) => scores.values, numKvHeads * 3);
  return rows;
}

/** A backend with the weights and tensors of the test. */
interface Side {
  readonly backend: Backend;
  readonly input: ReturnType<typeof makeInput>;
  readonly gate: BlockGate;
  readonly x: TensorRef;
  readonly query: TensorRef;
  readonly raw: RawHeads;
  readonly scores: Scores;
}

function makeSide(backend: Backend): Side {
  const { hiddenSize, numQueryHeads, numKvHeads, headDim } = SMALL_LAYER;
  const rows = (width: number) => backend.createTensor("f32", [CHUNK_ROWS, width]);
  return {
    backend,
    input: makeInput(backend),
    gate: makeGate(backend),
    x: rows(hiddenSize),
    query: rows(numQueryHeads * headDim),
    raw: { query: rows(numQueryHeads * headDim), keys: rows(numKvHeads * headDim) },
    scores: { values: backend.createTensor("f32", [1, numKvHeads, 3]), heads: numKvHeads, unit: BLOCK_SIZE },
  };
}

function recordHeads({ backend, input, x, query, raw }: Side, batch: StepBatchBuilder): void {
  backend.beginStep(batch);
  backend.write(x, randomFloats(batch.numRows * SMALL_LAYER.hiddenSize, batch.numRows));
  backend.attentionInput(0, input, x, query, raw);
}

function makeGate(backend: Backend): BlockGate {
  const { numQueryHeads, numKvHeads, headDim } = SMALL_LAYER;
  const { maxPages, maxSequenceLength } = SMALL_CAPACITY;
  const tensor = (shape: readonly number[], values: Float32Array) => {
    const made = backend.createTensor("f32", shape);
    backend.write(made, values);
    return made;
  };
  const random = (shape: readonly number[], seed: number) =>
    tensor(
      shape,
      randomFloats(
        shape.reduce((a, b) => a * b, 1),
        seed,
      ),
    );
  const table = new Float32Array(maxSequenceLength * GATE_DIM);
  const rope = createRope({ type: "default", theta: 10000, headDim: GATE_DIM });
  for (let position = 0; position < maxSequenceLength; position++)
    rope.writeRow(position, table, position * GATE_DIM);
  return {
    ...{ blockSize: BLOCK_SIZE, gateDim: GATE_DIM, normEps: 1e-6 },
    q: random([numQueryHeads, headDim, GATE_DIM], 301),
    k: random([numKvHeads, 3 * headDim, GATE_DIM], 302),
    qNorm: random([GATE_DIM], 303),
    kNorm: random([GATE_DIM], 304),
    rope: tensor([maxSequenceLength, GATE_DIM], table),
    pools: backend.createTensor("f32", [maxPages, numKvHeads, 3, headDim]),
    blockKeys: backend.createTensor("f32", [maxPages, numKvHeads, GATE_DIM]),
  };
}
