import type { LayerRole } from "./policy.ts";

/** What an observer wants of each layer besides its role and the bytes that it reads. */
export const OBSERVED = ["selection", "weights", "output"] as const;

/** What an observer may ask for. */
export type Observed = (typeof OBSERVED)[number];

/**
 * Watches the attention of one request, or of one call of `score`, in sampled decode steps. Prefill is not observed, since it is dense.
 * Observing changes no token: it reads copies, and computes dense attention beside the policy's own.
 */
export interface AttentionObserver {
  /** Observes every n-th decode step, the first one included. Default 1. */
  readonly every?: number;
  /** Layers to observe. Default: all. */
  readonly layers?: readonly number[];
  /**
   * selection: the selected tokens, those of them that are always kept, and the depth and the heads of the merge. weights: dense attention weights of each head, which cost a read of all
   * keys. output: the outputs of sparse and of dense attention in sparse layers, which cost a read of all keys and values.
   */
  readonly wants: readonly Observed[];
  /** Receives each observed step, in order. If it throws, the request fails. The arrays are the receiver's. */
  onStep(trace: StepTrace): void;
}

/** One decode step of one sequence. */
export interface StepTrace {
  /** Number of the decode step, from 0: the one that feeds the first token after the prompt. */
  readonly step: number;
  /** Cached tokens that the step sees, its own included: its position is length - 1. */
  readonly length: number;
  /** False while the sequence fits the budget, so that every layer is dense. */
  readonly isSparse: boolean;
  readonly numQueryHeads: number;
  /** Bytes of the keys and values of these tokens in one layer. */
  readonly layerBytes: number;
  /** The observed layers, ascending. */
  readonly layers: readonly LayerTrace[];
}

/** Always-kept tokens of a selection: the first `sinks` and the last `recent` of the sequence. */
export interface SelectionEnds {
  readonly sinks: number;
  readonly recent: number;
}

/** One layer of a step. */
export interface LayerTrace {
  readonly layer: number;
  /** What the layer does in this step: dense in every layer if the step is, and in a sliding layer. */
  readonly role: LayerRole;
  /** Tokens that a sliding layer sees at most. */
  readonly window?: number;
  /** Bytes of the cache and its key bounds that the layer's attention and selection read. */
  readonly kvBytes: number;
  /**
   * Selected positions by head group, ascending: the set that the layer attends to, or the one that it has made while it attends to
   * all. Groups: one for all heads, one a kv head, or one a query head. Layers that share a selection share the arrays.
   */
  readonly selection?: readonly Uint32Array[];
  /** The tokens of `selection` that it keeps whatever their scores. Present beside it. */
  readonly ends?: SelectionEnds;
  /** Ranks that `mergeByRank` visited until its count was full, in a layer that selects with it. */
  readonly mergeDepth?: number;
  /**
   * By position of `selection[0]`: the head of the merged scores that put it there, which is a query head unless the policy pooled
   * them; -1 for tokens that are always kept. Present beside `mergeDepth`.
   */
  readonly mergeHeads?: Int16Array;
  /** Softmax of the logits of all cached tokens, by query head: f32 [length] each. Absent in sliding layers. */
  readonly weights?: readonly Float32Array[];
  /** Output of the layer's attention: f32 [numQueryHeads * headDim]. Present in layers that attend to a selection. */
  readonly output?: Float32Array;
  /** Output of dense attention to the same cache, for the same query. Present beside `output`. */
  readonly denseOutput?: Float32Array;
}

/** An observer whose options are resolved. */
export interface ResolvedObserver {
  readonly every: number;
  /** By layer, true for an observed one. */
  readonly layers: readonly boolean[];
  readonly wants: ReadonlySet<Observed>;
  readonly onStep: (trace: StepTrace) => void;
}
