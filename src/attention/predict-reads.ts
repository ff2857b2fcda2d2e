import type { CacheDtype, SequenceRange } from "../backend/backend.ts";
import type { TensorDtype } from "../base/dtype.ts";
import { Attention, isSparseAt } from "./attend.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import type { AttentionModel, AttentionPolicy } from "./policy.ts";

const ONE: SequenceRange = { first: 0, count: 1 };

/**
 * Rows (`CacheReads`) that one decode step reads over all layers with `length` tokens cached. The policy records the step
 * as it would in an engine, on ops that do nothing.
 */
export function predictReads(
  policy: AttentionPolicy,
  model: AttentionModel,
  { length, cacheDtype }: { readonly length: number; readonly cacheDtype: CacheDtype },
): number {
  const attention = new Attention(idleBackend(length, cacheDtype), model);
  const group = { policy, range: ONE, isSparse: isSparseAt(policy, length) };
  const none = { dtype: "f32", shape: [0] } as const;
  attention.begin({ lengths: Uint32Array.of(length), numSequences: 1 });
  for (let layer = 0; layer < model.numLayers; layer++) attention.attend(layer, [group], none, none);
  for (const thrown of attention.takeFailures().values()) throw thrown;
  return attention.reads.of(0);
}

function idleBackend(length: number, cacheDtype: CacheDtype): AttentionBackend {
  const nothing = () => {};
  return {
    capacity: { maxBatchSequences: 1, maxSequenceLength: length },
    cacheDtype,
    createTensor: (dtype: TensorDtype, shape: readonly number[]) => ({ dtype, shape }),
    attendAll: nothing,
    attendSelected: nothing,
    scores: nothing,
    randomScores: nothing,
    updatePageBounds: nothing,
    pageScores: nothing,
    topK: nothing,
    mergeByRank: nothing,
    expandSelection: nothing,
  };
}
