import type { WeightRef } from "../base/tensor-ref.ts";

/** Weights of `attentionInput`. Norms and biases are vectors; absent ones are left out. */
export interface AttentionInputWeights {
  readonly norm: WeightRef; // [hiddenSize]
  readonly q: WeightRef; // [numQueryHeads * headDim, hiddenSize]
  readonly k: WeightRef; // [numKvHeads * headDim, hiddenSize]
  readonly v: WeightRef; // [numKvHeads * headDim, hiddenSize]
  readonly qBias?: WeightRef;
  readonly kBias?: WeightRef;
  readonly vBias?: WeightRef;
  /** [headDim] RMS norm of each head before RoPE (Qwen3). */
  readonly qNorm?: WeightRef;
  readonly kNorm?: WeightRef;
}

export interface AttentionOutputWeights {
  readonly o: WeightRef; // [hiddenSize, numQueryHeads * headDim]
  readonly oBias?: WeightRef;
  /** [hiddenSize] RMS norm of the projection before it is added to the residual stream (Gemma). */
  readonly outputNorm?: WeightRef;
}

export type FeedForwardWeights = DenseFeedForwardWeights | ExpertFeedForwardWeights;

export interface DenseFeedForwardWeights {
  readonly kind: "dense";
  readonly norm: WeightRef; // [hiddenSize]
  readonly gate: WeightRef; // [intermediateSize, hiddenSize]
  readonly up: WeightRef; // [intermediateSize, hiddenSize]
  readonly down: WeightRef; // [hiddenSize, intermediateSize]
  /** [hiddenSize] RMS norm of the result before it is added to the residual stream (Gemma). */
  readonly outputNorm?: WeightRef;
}

/**
 * A mixture of experts: softmax of the router's logits, the `topExperts` largest (ties to the lower expert), scaled to a sum of
 * 1 if `isNormalised`; the result is the weighted sum of those experts' down(act(gate x) * up x).
 */
export interface ExpertFeedForwardWeights {
  readonly kind: "experts";
  readonly norm: WeightRef; // [hiddenSize]
  readonly router: WeightRef; // [numExperts, hiddenSize]
  readonly gate: WeightRef; // experts of [experts.intermediateSize, hiddenSize]
  readonly up: WeightRef; // experts of [experts.intermediateSize, hiddenSize]
  readonly down: WeightRef; // experts of [hiddenSize, experts.intermediateSize]
}
