/**
 * Sizes of the tensors that the decoder and the policies create on a backend. Backends that must reserve memory in advance
 * use the same sizes.
 */
import type { Capacity, ModelShape } from "./backend.ts";

/** Returns the maximum rows of logits of one call: those of a batch, or 16 positions at once for the logits of a prompt. */
export function logitRows({ maxBatchSequences }: Capacity): number {
  return Math.max(16, maxBatchSequences);
}

/** Returns the dimensions of the decoder's f32 tensors. */
export function decoderTensors(
  { hiddenSize, numQueryHeads, headDim, vocabSize }: ModelShape,
  capacity: Capacity,
) {
  const { maxBatchRows } = capacity;
  return {
    x: [maxBatchRows, hiddenSize],
    query: [maxBatchRows, numQueryHeads * headDim],
    attended: [maxBatchRows, numQueryHeads * headDim],
    logits: [logitRows(capacity), vocabSize],
  } as const;
}

/** Returns the dimensions of a policy's tensor. Capacities are powers of two, so that few sizes exist and most are reused. */
export function selectionDimensions({ maxBatchSequences }: Capacity, groups: number, count: number) {
  return [maxBatchSequences, groups, 2 ** Math.ceil(Math.log2(Math.max(1, count)))] as const;
}

/** Returns the bytes of one f32 score for each query head and position of each sequence. */
export function scoreBytes({ numQueryHeads }: ModelShape, capacity: Capacity): number {
  return bytesOf(selectionDimensions(capacity, numQueryHeads, capacity.maxSequenceLength));
}

/** Sets of scores to reserve for the policies of a batch: the dense layers' and those of two policies. */
const SCORE_SETS = 3;
/** Memory to reserve for the selections of policies. */
const SELECTION_BYTES = 64 << 20;

/** Returns the bytes that a backend reserves for the decoder and for concurrent policies. */
export function decoderBytes(model: ModelShape, capacity: Capacity): number {
  const tensors = Object.values(decoderTensors(model, capacity)).reduce((sum, one) => sum + bytesOf(one), 0);
  return tensors + SCORE_SETS * scoreBytes(model, capacity) + SELECTION_BYTES;
}

function bytesOf(dimensions: readonly number[]): number {
  return dimensions.reduce((product, size) => product * size, 4);
}
