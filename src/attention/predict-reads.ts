import type { CacheDtype, SequenceRange } from "../backend/backend.ts";
import type { TensorDtype } from "../base/dtype.ts";
import { Attention } from "./attend.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import { budgetAt, isSparseAt } from "./budget.ts";
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
  const isSparse = isSparseAt(policy, length);
  const group = { policy, range: ONE, isSparse, budget: budgetAt(policy, length) };
  const none = { dtype: "f32", shape: [0] } as const;
  attention.begin({ lengths: Uint32Array.of(length), numSequences: 1 });
  for (let layer = 0; layer < model.numLayers; layer++) attention.attend(layer, [group], none, none);
  for (const thrown of attention.takeFailures().values()) throw thrown;
  return attention.reads.of(0);
}

function idleBackend(length: number, cacheDtype: CacheDtype): AttentionBackend {
  const nothing = () => {};
  return {
    capacity: {
      maxBatchRows: 1,
      maxBatchSequences: 1,
      maxSequenceLength: length,
      maxPages: 1,
      pageSize: length,
    },
    cacheDtype,
    createTensor: (dtype: TensorDtype, shape: readonly number[]) => ({ dtype, shape }),
    createPageTensor: (dtype: TensorDtype, shape: readonly number[]) => ({ dtype, shape: [1, ...shape] }),
    addPageBounds: nothing,
    attendAll: nothing,
    attendSelected: nothing,
    scores: nothing,
    selectedScores: nothing,
    randomScores: nothing,
    updatePageBounds: nothing,
    pageScores: nothing,
    updateBlockKeys: nothing,
    blockScores: nothing,
    poolScores: nothing,
    updateKeySketch: nothing,
    sketchScores: nothing,
    topK: nothing,
    unitsAbove: nothing,
    mergeByRank: nothing,
    expandSelection: nothing,
    mapHeads: nothing,
  };
}
