import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights, AttentionOutputWeights, FeedForwardWeights } from "../backend.ts";
import type { GpuContext } from "./context.ts";
import type { DecodeAttention, HeldCombine } from "./decode-attention.ts";
import type { KvCache } from "./kv-cache.ts";
import { hasHeadNorm, LayerKernel } from "./layer-kernel.ts";
import { LinearOps } from "./linear-ops.ts";
import { padded, type Rows } from "./prepared-rows.ts";
import { type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";

/** Steps that may yet become parts of a chain. */
interface HeldSteps {
  readonly output: AttentionOutputWeights;
  readonly attended: TensorRef;
  /** What makes `attended`, where that is yet to be done. */
  readonly merge: HeldCombine | undefined;
  readonly x: TensorRef;
  feed: FeedForwardWeights | undefined;
}

/**
 * The steps of a layer that multiply by weights, and the output head. Those of one row are held back until it is known
 * whether the next ones go into the same dispatch; whatever else is recorded must call `release` first.
 */
export class ProjectionOps {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  readonly #attention: DecodeAttention;
  readonly #linear: LinearOps;
  readonly #chain: LayerKernel;
  #held: HeldSteps | undefined;
  /** f32 [rows, (query + 2 kv heads) * headDim] */
  readonly #projected: NumberedBuffer;
  /** f32 [rows, padded(intermediateSize)] */
  readonly #gated: NumberedBuffer;
  readonly #logitRows: NumberedBuffer;

  constructor(context: GpuContext, cache: KvCache, attention: DecodeAttention) {
    const { buffers, model, capacity } = context;
    const rows = capacity.maxBatchRows;
    this.#context = context;
    this.#cache = cache;
    this.#attention = attention;
    this.#linear = new LinearOps(context);
    this.#chain = new LayerKernel(context, cache);
    this.#projected = buffers.storage("projected heads", rows * this.#projectedWidth * 4);
    this.#gated = buffers.storage("gated", rows * padded(model.intermediateSize) * 4);
    this.#logitRows = buffers.storage("logit rows", rows * 4);
  }

  get #projectedWidth(): number {
    const { numQueryHeads, numKvHeads, headDim } = this.#context.model;
    return (numQueryHeads + 2 * numKvHeads) * headDim;
  }

  /** Records what was held back, the merge of attention aside. */
  release(): void {
    const held = this.#held;
    if (!held) return;
    this.#held = undefined;
    const { output, attended, merge, x, feed } = held;
    if (feed) {
      this.#chain.record({ attended: merge ?? WebGpuTensor.of(attended), x, output, feed });
      return;
    }
    if (merge) this.#attention.merge(merge);
    this.#recordOutput(1, output, attended, x);
  }

  attentionInput(
    numRows: number,
    layer: number,
    weights: AttentionInputWeights,
    x: TensorRef,
    query: TensorRef,
  ): void {
    const held = this.#held;
    if (held?.feed && held.x === x && this.#chain.takesInput(weights, held.output)) {
      this.#held = undefined;
      const { output, feed } = held;
      const attended = held.merge ?? WebGpuTensor.of(held.attended);
      this.#chain.record(
        { attended, x, output, feed },
        { layer, weights, query, projected: this.#projected },
      );
      if (hasHeadNorm(weights)) this.#finishHeads(layer, weights, query, numRows);
      return;
    }
    this.release();
    this.#attention.release();
    const rows = { storage: WebGpuTensor.of(x), stride: this.#context.model.hiddenSize, count: numRows };
    const out = WebGpuTensor.of(query);
    const { norm, q, k, v, qBias, kBias, vBias, qNorm, kNorm } = weights;
    const key = idsOf(norm, q, k, v, qBias, kBias, vBias, qNorm, kNorm);
    this.#context.recorder.plan(`input ${layer},${numRows},${rows.storage.id},${out.id},${key}`, () =>
      this.#recordInput(layer, weights, rows, out),
    );
  }

  #finishHeads(layer: number, weights: AttentionInputWeights, query: TensorRef, numRows: number): void {
    const key = `heads ${layer},${numRows},${WebGpuTensor.of(query).id},${idsOf(weights.qNorm, weights.kNorm)}`;
    this.#context.recorder.plan(key, () =>
      this.#cache.finishHeads(layer, weights, this.#projected, query, numRows),
    );
  }

  #recordInput(layer: number, weights: AttentionInputWeights, rows: Rows, query: WebGpuTensor): void {
    const { hiddenSize, numQueryHeads, numKvHeads, headDim } = this.#context.model;
    const queryWidth = numQueryHeads * headDim;
    const kvWidth = numKvHeads * headDim;
    const bias = (ref: WeightRef | undefined) => ref && WebGpuWeight.of(ref);
    const q = LinearOps.weight(weights.q, queryWidth, hiddenSize);
    const k = LinearOps.weight(weights.k, kvWidth, hiddenSize);
    const v = LinearOps.weight(weights.v, kvWidth, hiddenSize);
    const [qBias, kBias, vBias] = [bias(weights.qBias), bias(weights.kBias), bias(weights.vBias)];
    const norm = WebGpuWeight.of(weights.norm);
    if (!hasHeadNorm(weights)) {
      const kinds = [
        { weight: q, out: 0, bias: qBias },
        { weight: k, out: 1, bias: kBias },
        { weight: v, out: 2, bias: vBias },
      ];
      const { keys, values } = this.#cache.layer(layer);
      if (this.#linear.multiplyHeads(kinds, rows, norm, { query, keys, values })) return;
    }
    this.#linear.multiply(
      [
        { weight: q, out: 0, bias: qBias },
        { weight: k, out: queryWidth, bias: kBias },
        { weight: v, out: queryWidth + kvWidth, bias: vBias },
      ],
      rows,
      { storage: this.#projected, stride: this.#projectedWidth },
      { norm },
    );
    this.#cache.finishHeads(layer, weights, this.#projected, query, rows.count);
  }

  attentionOutput(numRows: number, output: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    this.release();
    const merge = numRows === 1 ? this.#attention.takeCombine(WebGpuTensor.of(attended)) : undefined;
    this.#attention.release();
    if (numRows === 1) this.#held = { output, attended, merge, x, feed: undefined };
    else this.#recordOutput(numRows, output, attended, x);
  }

  #recordOutput(numRows: number, weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    const { hiddenSize, numQueryHeads, headDim } = this.#context.model;
    const width = numQueryHeads * headDim;
    const [source, target] = [WebGpuTensor.of(attended), WebGpuTensor.of(x)];
    const { o, oBias } = weights;
    const key = `output ${numRows},${source.id},${target.id},${idsOf(o, oBias)}`;
    this.#context.recorder.plan(key, () =>
      this.#linear.multiply(
        [{ weight: LinearOps.weight(o, hiddenSize, width), out: 0, bias: oBias && WebGpuWeight.of(oBias) }],
        { storage: source, stride: width, count: numRows },
        { storage: target, stride: hiddenSize },
        { add: true },
      ),
    );
  }

  feedForward(numRows: number, weights: FeedForwardWeights, x: TensorRef): void {
    const held = this.#held;
    if (held && !held.feed && held.x === x && this.#chain.takes(held.output, weights)) {
      held.feed = weights;
      return;
    }
    this.release();
    this.#attention.release();
    const { hiddenSize, intermediateSize } = this.#context.model;
    const rows = { storage: WebGpuTensor.of(x), stride: hiddenSize, count: numRows };
    const stride = padded(intermediateSize);
    const { norm, gate, up, down } = weights;
    const key = `feed ${numRows},${rows.storage.id},${idsOf(norm, gate, up, down)}`;
    this.#context.recorder.plan(key, () => {
      this.#linear.multiplyPair(
        { weight: LinearOps.weight(gate, intermediateSize, hiddenSize), out: 0 },
        { weight: LinearOps.weight(up, intermediateSize, hiddenSize), out: 0 },
        rows,
        { storage: this.#gated, stride },
        { norm: WebGpuWeight.of(norm) },
      );
      this.#linear.multiply(
        [{ weight: LinearOps.weight(down, hiddenSize, intermediateSize), out: 0 }],
        { storage: this.#gated, stride, count: numRows },
        { storage: rows.storage, stride: hiddenSize },
        { add: true },
      );
    });
  }

  logits(
    norm: WeightRef,
    output: WeightRef,
    x: TensorRef,
    rows: Uint32Array,
    count: number,
    logits: TensorRef,
  ): void {
    this.release();
    const { hiddenSize, vocabSize } = this.#context.model;
    const { recorder } = this.#context;
    const gather = isInOrder(rows, count) ? undefined : this.#logitRows;
    if (gather) recorder.write(gather, 0, rows, count);
    const source = { storage: WebGpuTensor.of(x), stride: hiddenSize, count };
    const target = { storage: WebGpuTensor.of(logits), stride: vocabSize };
    const key = `logits ${count},${gather?.id},${source.storage.id},${target.storage.id},${idsOf(norm, output)}`;
    recorder.plan(key, () =>
      this.#linear.multiply(
        [{ weight: LinearOps.weight(output, vocabSize, hiddenSize), out: 0 }],
        source,
        target,
        { norm: WebGpuWeight.of(norm), gather },
      ),
    );
  }
}

/** Numbers of weights, for the keys of plans. */
function idsOf(...refs: readonly (WeightRef | undefined)[]): string {
  let key = "";
  for (const ref of refs) key += ref ? `${WebGpuWeight.of(ref).id},` : ",";
  return key;
}

function isInOrder(rows: Uint32Array, count: number): boolean {
  for (let i = 0; i < count; i++) if (rows[i] !== i) return false;
  return true;
}
