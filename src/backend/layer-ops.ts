import type { TensorRef } from "../base/tensor-ref.ts";
import type {
  AttentionInputWeights,
  AttentionOutputWeights,
  FeedForwardWeights,
  LayerOutputWeights,
  LayerTensors,
  NextLayer,
  RawHeads,
} from "./backend.ts";

/** Rows of a prefill chunk on CPU backends: a chunk reads each weight once while its rows stay in cache; more rows gain nothing. */
export const CPU_PREFILL_ROWS = 256;

/** The ops of `advance`, one at a time. */
export interface LayerOps {
  /** x += o(attended) (+ bias), after `outputNorm` if there is one. */
  attentionOutput(weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void;
  /** x += down(act(gate(norm x)) * up(norm x)), after `outputNorm` if there is one; or the weighted sum of experts. */
  feedForward(weights: FeedForwardWeights, x: TensorRef): void;
  /** As in `Backend`. */
  attentionInput(
    layer: number,
    weights: AttentionInputWeights,
    x: TensorRef,
    query: TensorRef,
    raw?: RawHeads,
  ): void;
}

/** `Backend.advance` of a backend that fuses nothing. */
export function advanceByOps(
  ops: LayerOps,
  from: LayerOutputWeights,
  next: NextLayer | undefined,
  { attended, x, query, raw }: LayerTensors,
): void {
  ops.attentionOutput(from.output, attended, x);
  ops.feedForward(from.feedForward, x);
  if (next) ops.attentionInput(next.layer, next.weights, x, query, raw);
}
