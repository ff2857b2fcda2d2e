import type { Attention, BatchGroup } from "../attention/attend.ts";
import type { Backend, LayerOutputWeights, LayerTensors, NextLayer, StepBatch } from "../backend/backend.ts";
import { decoderTensors, logitRows } from "../backend/decoder-memory.ts";
import type { TensorRef } from "../base/tensor-ref.ts";
import type { ModelWeights } from "./weights.ts";

/** A layer's weights as `Backend.advance` takes them. */
interface LayerAdvance {
  readonly from: LayerOutputWeights;
  readonly next: NextLayer | undefined;
}

/** The one decoder loop: all families, all policies, all backends. Its tensors are made once. */
export class Decoder {
  readonly #backend: Backend;
  readonly #weights: ModelWeights;
  readonly #attention: Attention;
  readonly #layers: readonly LayerAdvance[];
  readonly #tensors: LayerTensors;
  /** With the heads before RoPE; made at the first step that asks for them. */
  #tensorsWithRaw: LayerTensors | undefined;
  /** f32 [logitRows, vocabSize] */
  readonly logits: TensorRef;
  /** Rows of logits that one call can compute. */
  readonly logitRows: number;

  constructor(backend: Backend, weights: ModelWeights, attention: Attention) {
    const { x, query, attended, logits } = decoderTensors(backend.model, backend.capacity);
    this.#backend = backend;
    this.#weights = weights;
    this.#attention = attention;
    this.#layers = weights.layers.map((layer, i) => ({
      from: { output: layer.attentionOutput, feedForward: layer.feedForward },
      next: nextLayer(weights, i + 1),
    }));
    this.#tensors = {
      x: backend.createTensor("f32", x),
      query: backend.createTensor("f32", query),
      attended: backend.createTensor("f32", attended),
    };
    this.logits = backend.createTensor("f32", logits);
    this.logitRows = logitRows(backend.capacity);
  }

  /**
   * Records one step for all rows of the batch: afterwards their keys and values are cached.
   * attention: attends in place of the driver, for an observed step
   */
  forward(
    batch: StepBatch,
    groups: readonly BatchGroup[],
    attention: Pick<Attention, "attend"> = this.#attention,
  ): void {
    const backend = this.#backend;
    const tensors = this.#tensorsFor(groups);
    const { x, query, attended, raw } = tensors;
    backend.beginStep(batch);
    this.#attention.begin(batch);
    backend.embed(this.#weights.embedding, x);
    const first = this.#weights.layers[0];
    if (first) backend.attentionInput(0, first.attentionInput, x, query, raw);
    for (let layer = 0; layer < this.#layers.length; layer++) {
      const { from, next } = this.#layers[layer] as LayerAdvance;
      attention.attend(layer, groups, query, attended);
      backend.advance(from, next, tensors);
    }
  }

  #tensorsFor(groups: readonly BatchGroup[]): LayerTensors {
    const raw = this.#attention.rawHeads(groups);
    if (!raw) return this.#tensors;
    this.#tensorsWithRaw ??= { ...this.#tensors, raw };
    return this.#tensorsWithRaw;
  }

  /** Records the logits of `count` rows of the last step into the first rows of `logits`. */
  computeLogits(rows: Uint32Array, count: number): void {
    this.#backend.logits(this.#weights.norm, this.#weights.output, this.#tensors.x, rows, count, this.logits);
  }
}

function nextLayer({ layers }: ModelWeights, layer: number): NextLayer | undefined {
  const weights = layers[layer];
  return weights && { layer, weights: weights.attentionInput };
}
