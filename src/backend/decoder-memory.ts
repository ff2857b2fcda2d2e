/**
 * Sizes of the tensors that the decoder and the policies create on a backend. Backends that must know them beforehand read
 * them here as well.
 */
import type { Capacity, ModelShape } from "./backend.ts";

/** Rows of logits that one call computes: those of a batch, and enough of a prompt at a time if all are wanted. */
export function logitRows({ maxBatchSequences }: Capacity): number {
  return Math.max(16, maxBatchSequences);
}

/** Dimensions of the decoder's f32 tensors. */
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

/**
 * Dimensions of a policy's tensor, for the sequences that run: they and capacities come in powers of two, so that few sizes
 * are made and most are reused.
 */
export function selectionDimensions(sequences: number, headGroups: number, count: number) {
  return [powerOfTwo(sequences), headGroups, powerOfTwo(count)] as const;
}

/** The power of two that is not below `least`. */
export function powerOfTwo(least: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, least)));
}

/** Bytes of one f32 score for each query head and position of as many sequences as may run. */
export function scoreBytes({ numQueryHeads }: ModelShape, capacity: Capacity): number {
  const { maxBatchSequences, maxSequenceLength } = capacity;
  return bytesOf(selectionDimensions(maxBatchSequences, numQueryHeads, maxSequenceLength));
}

/** Sets of scores that policies of one batch are given room for: the dense layers' and those of two policies. */
const SCORE_SETS = 3;
/** Room for the selections of policies. */
const SELECTION_BYTES = 64 << 20;

/** Bytes that a backend keeps free for the decoder and for the policies that run together. */
export function decoderBytes(model: ModelShape, capacity: Capacity): number {
  const tensors = Object.values(decoderTensors(model, capacity)).reduce((sum, one) => sum + bytesOf(one), 0);
  return tensors + SCORE_SETS * scoreBytes(model, capacity) + SELECTION_BYTES;
}

function bytesOf(dimensions: readonly number[]): number {
  return dimensions.reduce((product, size) => product * size, 4);
}
