import type { Attention, BatchGroup } from "../attention/attend.ts";
import type { Backend, StepBatch } from "../backend/backend.ts";
import type { TensorRef } from "../base/tensor-ref.ts";
import type { ModelWeights } from "./weights.ts";

/** The one decoder loop: all families, all policies, all backends. Its tensors are made once. */
export class Decoder {
  readonly #backend: Backend;
  readonly #weights: ModelWeights;
  readonly #attention: Attention;
  readonly #x: TensorRef;
  readonly #query: TensorRef;
  readonly #attended: TensorRef;
  /** f32 [logitRows, vocabSize] */
  readonly logits: TensorRef;
  /** Rows of logits that one call can compute. */
  readonly logitRows: number;

  constructor(backend: Backend, weights: ModelWeights, attention: Attention) {
    const { hiddenSize, numQueryHeads, headDim, vocabSize } = backend.model;
    const { maxBatchRows, maxBatchSequences } = backend.capacity;
    this.#backend = backend;
    this.#weights = weights;
    this.#attention = attention;
    this.#x = backend.createTensor("f32", [maxBatchRows, hiddenSize]);
    this.#query = backend.createTensor("f32", [maxBatchRows, numQueryHeads * headDim]);
    this.#attended = backend.createTensor("f32", [maxBatchRows, numQueryHeads * headDim]);
    this.logitRows = Math.max(maxBatchSequences, 16);
    this.logits = backend.createTensor("f32", [this.logitRows, vocabSize]);
  }

  /** Records one step for all rows of the batch: afterwards their keys and values are cached. */
  forward(batch: StepBatch, groups: readonly BatchGroup[]): void {
    const backend = this.#backend;
    backend.beginStep(batch);
    this.#attention.begin(batch);
    backend.embed(this.#weights.embedding, this.#x);
    let layer = 0;
    for (const weights of this.#weights.layers) {
      backend.attentionInput(layer, weights.attentionInput, this.#x, this.#query);
      this.#attention.attend(layer, groups, this.#query, this.#attended);
      backend.attentionOutput(weights.attentionOutput, this.#attended, this.#x);
      backend.feedForward(weights.feedForward, this.#x);
      layer++;
    }
  }

  /** Records the logits of `count` rows of the last step into the first rows of `logits`. */
  computeLogits(rows: Uint32Array, count: number): void {
    this.#backend.logits(this.#weights.norm, this.#weights.output, this.#x, rows, count, this.logits);
  }
}
