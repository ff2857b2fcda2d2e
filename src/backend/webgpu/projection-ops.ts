import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type {
  AttentionOutputWeights,
  DenseFeedForwardWeights,
  FeedForwardWeights,
  LayerOutputWeights,
  LayerTensors,
  NextLayer,
  RawHeads,
} from "../backend.ts";
import type { CommandLists } from "./command-lists.ts";
import type { GpuContext } from "./context.ts";
import { reducePrelude, subgroupConstants } from "./device-traits.ts";
import { ExpertOps, expertsOf } from "./expert-ops.ts";
import type { KvCache } from "./kv-cache.ts";
import { hasHeadNorm, LayerKernel } from "./layer-kernel.ts";
import { LinearOps } from "./linear-ops.ts";
import { ProductInputs, padded, type Rows } from "./product-inputs.ts";
import { type NumberedBuffer, WebGpuTensor, WebGpuWeight } from "./refs.ts";
import type { Product } from "./sections.ts";
import { SliceSums } from "./slice-sums.ts";

/** Tensors of `attentionInput`. */
interface InputTensors {
  readonly x: WebGpuTensor;
  readonly query: WebGpuTensor;
  readonly raw: RawHeads | undefined;
}

/** The ops that multiply by weights: those between attentions, and the output head. */
export class ProjectionOps {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  readonly #linear: LinearOps;
  readonly #sums: SliceSums;
  readonly #layerKernel: LayerKernel;
  /** f32 [rows, (query + 2 kv heads) * headDim] */
  readonly #projected: NumberedBuffer;
  /** f32 [rows, padded(intermediateSize)] */
  readonly #gated: NumberedBuffer;
  readonly #experts: ExpertOps | undefined;
  /** Results before their output norm: f32 [rows, hiddenSize]; made at the first. */
  #results: NumberedBuffer | undefined;
  readonly #logitRows: NumberedBuffer;
  readonly #lists: Readonly<Record<"input" | "output" | "feedForward" | "advance" | "logits", CommandLists>>;

  constructor(context: GpuContext, cache: KvCache) {
    const { buffers, model, capacity, recorder } = context;
    const rows = capacity.maxBatchRows;
    this.#context = context;
    this.#cache = cache;
    this.#sums = new SliceSums(context);
    const inputs = new ProductInputs(context, this.#sums);
    this.#linear = new LinearOps(context, inputs, this.#sums);
    this.#projected = buffers.storage("projected heads", rows * this.#projectedWidth * 4);
    this.#layerKernel = new LayerKernel(context, cache, this.#projected);
    this.#gated = buffers.storage("gated", rows * padded(model.intermediateSize) * 4);
    this.#experts = model.experts && new ExpertOps(context, model.experts, this.#linear, inputs);
    this.#logitRows = buffers.storage("logit rows", rows * 4);
    this.#lists = {
      input: recorder.newCommandLists(),
      output: recorder.newCommandLists(),
      feedForward: recorder.newCommandLists(),
      advance: recorder.newCommandLists(),
      logits: recorder.newCommandLists(),
    };
  }

  get #projectedWidth(): number {
    const { numQueryHeads, numKvHeads, headDim } = this.#context.model;
    return (numQueryHeads + 2 * numKvHeads) * headDim;
  }

  /**
   * Records `advance` of one row by the persistent layer kernel, as far as it supports the device and the weights. Returns false
   * if it recorded nothing.
   */
  advanceRow(from: LayerOutputWeights, next: NextLayer | undefined, tensors: LayerTensors): boolean {
    const fit = this.#layerKernel.fit(from, next, tensors.raw !== undefined);
    if (!fit.isSupported) return false;
    this.#layerKernel.record(fit, tensors);
    if (next && !fit.isNextSupported) this.attentionInput(1, next, tensors);
    return true;
  }

  /**
   * Records `advance` of rows in one list, where products leave sums of slices to what reads them next. Returns false, with nothing
   * recorded, for a feed-forward of experts.
   */
  advanceRows(
    numRows: number,
    { output, feedForward }: LayerOutputWeights,
    next: NextLayer | undefined,
    { attended, x, query, raw }: LayerTensors,
  ): boolean {
    if (feedForward.kind === "experts") return false;
    const from = WebGpuTensor.of(attended);
    const to = WebGpuTensor.of(x);
    const heads = WebGpuTensor.of(query);
    let node = this.#lists.advance.at(from.id).at(to.id).at(heads.id).at(numRows);
    node = underFeedForward(underOutput(node, output), feedForward);
    if (next) node = underInput(node, next, raw);
    if (!this.#context.recorder.replay(node))
      this.#keepAdvance(node, numRows, { output, feedForward }, next, {
        attended: from,
        x: to,
        query: heads,
        raw,
      });
    return true;
  }

  // lists are kept by methods of their own: a closure beside `replay` would cost each replay its context
  #keepAdvance(
    node: CommandLists,
    count: number,
    {
      output,
      feedForward,
    }: { readonly output: AttentionOutputWeights; readonly feedForward: DenseFeedForwardWeights },
    next: NextLayer | undefined,
    { attended, x, query, raw }: InputTensors & { readonly attended: WebGpuTensor },
  ): void {
    this.#context.recorder.keep(node, () => {
      this.#recordOutput(output, attended, x, count);
      this.#recordFeedForward(feedForward, x, count);
      if (next) this.#recordInput(next, this.#rowsOf(x, count), { query, raw });
      this.#sums.settle();
    });
  }

  attentionInput(
    numRows: number,
    next: NextLayer,
    { x, query, raw }: Pick<LayerTensors, "x" | "query" | "raw">,
  ): void {
    const from = WebGpuTensor.of(x);
    const to = WebGpuTensor.of(query);
    const node = underInput(this.#lists.input.at(from.id).at(to.id).at(numRows), next, raw);
    if (!this.#context.recorder.replay(node))
      this.#keepInput(node, next, { x: from, query: to, raw }, numRows);
  }

  #keepInput(node: CommandLists, next: NextLayer, { x, query, raw }: InputTensors, count: number): void {
    this.#context.recorder.keep(node, () => this.#recordInput(next, this.#rowsOf(x, count), { query, raw }));
  }

  #rowsOf(x: WebGpuTensor, count: number): Rows {
    return { storage: x, stride: this.#context.model.hiddenSize, count };
  }

  #recordInput(
    { layer, weights }: NextLayer,
    rows: Rows,
    { query, raw }: Pick<InputTensors, "query" | "raw">,
  ): void {
    const { hiddenSize, numQueryHeads, numKvHeads, headDim } = this.#context.model;
    const queryWidth = numQueryHeads * headDim;
    const kvWidth = numKvHeads * headDim;
    const bias = (ref: WeightRef | undefined) => ref && WebGpuWeight.of(ref);
    const q = LinearOps.weight(weights.q, queryWidth, hiddenSize);
    const k = LinearOps.weight(weights.k, kvWidth, hiddenSize);
    const v = LinearOps.weight(weights.v, kvWidth, hiddenSize);
    const [qBias, kBias, vBias] = [bias(weights.qBias), bias(weights.kBias), bias(weights.vBias)];
    const norm = WebGpuWeight.of(weights.norm);
    // a q8 cache scales rows of whole heads, and that kernel rotates before it stores
    if (this.#context.cacheDtype !== "q8" && !hasHeadNorm(weights) && !raw) {
      const kinds = [
        { weight: q, out: 0, bias: qBias },
        { weight: k, out: 1, bias: kBias },
        { weight: v, out: 2, bias: vBias },
      ];
      const { keys, values } = this.#cache.layer(layer);
      const shape = this.#context.model.layers[layer];
      if (this.#linear.multiplyHeads(kinds, rows, norm, { query, keys, values, layer: shape })) return;
    }
    this.#linear.multiply(
      [
        { weight: q, out: 0, bias: qBias },
        { weight: k, out: queryWidth, bias: kBias },
        { weight: v, out: queryWidth + kvWidth, bias: vBias },
      ],
      rows,
      { storage: this.#projected, stride: this.#projectedWidth },
      { norm, mayLeave: true },
    );
    const left = this.#sums.take(this.#projected, this.#projectedWidth, false);
    this.#cache.finishHeads(layer, weights, left ?? this.#projected, { query, raw, numRows: rows.count });
  }

  attentionOutput(numRows: number, weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    const from = WebGpuTensor.of(attended);
    const to = WebGpuTensor.of(x);
    const node = underOutput(this.#lists.output.at(from.id).at(to.id).at(numRows), weights);
    if (!this.#context.recorder.replay(node)) this.#keepOutput(node, weights, from, to, numRows);
  }

  #keepOutput(
    node: CommandLists,
    weights: AttentionOutputWeights,
    attended: WebGpuTensor,
    x: WebGpuTensor,
    count: number,
  ): void {
    this.#context.recorder.keep(node, () => {
      this.#recordOutput(weights, attended, x, count);
      this.#sums.settle();
    });
  }

  #recordOutput(
    { o, oBias, outputNorm }: AttentionOutputWeights,
    attended: WebGpuTensor,
    x: WebGpuTensor,
    count: number,
  ): void {
    const { hiddenSize, numQueryHeads, headDim } = this.#context.model;
    const width = numQueryHeads * headDim;
    const weight = LinearOps.weight(o, hiddenSize, width);
    const product = { weight, out: 0, bias: oBias && WebGpuWeight.of(oBias) };
    this.#addProduct(product, { storage: attended, stride: width, count }, x, outputNorm);
  }

  /** Records x += product of `from`, through a norm if there is one; without one it may leave sums of slices. */
  #addProduct(product: Product, from: Rows, x: WebGpuTensor, outputNorm: WeightRef | undefined): void {
    const { recorder, model, traits, weights, buffers, capacity } = this.#context;
    const { hiddenSize, rmsNormEps } = model;
    if (!outputNorm) {
      this.#linear.multiply(
        [product],
        from,
        { storage: x, stride: hiddenSize },
        { add: true, mayLeave: true },
      );
      return;
    }
    this.#results ??= buffers.storage("results before their norm", 4 * capacity.maxBatchRows * hiddenSize);
    this.#linear.multiply([product], from, { storage: this.#results, stride: hiddenSize });
    const threads = traits.isSoftware ? 64 : 256;
    const kernel = recorder.kernel([reducePrelude(traits, threads), "add-norm"], {
      ...subgroupConstants(traits),
      ...{ THREADS: threads, LANES: threads, COLS: hiddenSize, EPS: rmsNormEps },
    });
    recorder.dispatch({
      category: "weights",
      kernel,
      params: { norm: WebGpuWeight.of(outputNorm).vector },
      bindings: { result: this.#results, vectors: weights.vectors, x },
      grid: [from.count],
    });
  }

  feedForward(numRows: number, weights: FeedForwardWeights, x: TensorRef): void {
    const at = WebGpuTensor.of(x);
    const node = underFeedForward(this.#lists.feedForward.at(at.id).at(numRows), weights);
    if (!this.#context.recorder.replay(node)) this.#keepFeedForward(node, weights, at, numRows);
  }

  #keepFeedForward(node: CommandLists, weights: FeedForwardWeights, x: WebGpuTensor, count: number): void {
    this.#context.recorder.keep(node, () => {
      if (weights.kind === "experts") expertsOf(this.#experts).record(weights, this.#rowsOf(x, count));
      else this.#recordFeedForward(weights, x, count);
      this.#sums.settle();
    });
  }

  #recordFeedForward(
    { norm, gate, up, down, outputNorm }: DenseFeedForwardWeights,
    x: WebGpuTensor,
    count: number,
  ): void {
    const { hiddenSize, intermediateSize } = this.#context.model;
    const stride = padded(intermediateSize);
    this.#linear.multiplyPair(
      { weight: LinearOps.weight(gate, intermediateSize, hiddenSize), out: 0 },
      { weight: LinearOps.weight(up, intermediateSize, hiddenSize), out: 0 },
      this.#rowsOf(x, count),
      { storage: this.#gated, stride },
      { norm: WebGpuWeight.of(norm) },
    );
    const product = { weight: LinearOps.weight(down, hiddenSize, intermediateSize), out: 0 };
    this.#addProduct(product, { storage: this.#gated, stride, count }, x, outputNorm);
  }

  logits(
    norm: WeightRef,
    output: WeightRef,
    x: TensorRef,
    rows: Uint32Array,
    count: number,
    logits: TensorRef,
  ): void {
    const gather = isInOrder(rows, count) ? undefined : this.#logitRows;
    if (gather) this.#context.recorder.write(gather, 0, rows, count);
    const from = WebGpuTensor.of(x);
    const to = WebGpuTensor.of(logits);
    const node = under(under(this.#lists.logits.at(from.id).at(to.id).at(count), norm), output).at(
      gather?.id ?? 0,
    );
    if (!this.#context.recorder.replay(node))
      this.#keepLogits(node, { norm, output }, from, to, { count, gather });
  }

  #keepLogits(
    node: CommandLists,
    { norm, output }: { readonly norm: WeightRef; readonly output: WeightRef },
    x: WebGpuTensor,
    logits: WebGpuTensor,
    { count, gather }: { readonly count: number; readonly gather: NumberedBuffer | undefined },
  ): void {
    const { hiddenSize, vocabSize } = this.#context.model;
    this.#context.recorder.keep(node, () =>
      this.#linear.multiply(
        [{ weight: LinearOps.weight(output, vocabSize, hiddenSize), out: 0 }],
        { storage: x, stride: hiddenSize, count },
        { storage: logits, stride: vocabSize },
        { norm: WebGpuWeight.of(norm), gather },
      ),
    );
  }
}

function underInput(
  node: CommandLists,
  { layer, weights }: NextLayer,
  raw: RawHeads | undefined,
): CommandLists {
  let below = node.at(layer).at(raw ? WebGpuTensor.of(raw.query).id : 0);
  below = under(under(under(under(below, weights.norm), weights.q), weights.k), weights.v);
  below = under(under(under(below, weights.qBias), weights.kBias), weights.vBias);
  return under(under(below, weights.qNorm), weights.kNorm);
}

function underOutput(node: CommandLists, { o, oBias, outputNorm }: AttentionOutputWeights): CommandLists {
  return under(under(under(node, o), oBias), outputNorm);
}

function underFeedForward(node: CommandLists, weights: FeedForwardWeights): CommandLists {
  const below = under(under(under(under(node, weights.norm), weights.gate), weights.up), weights.down);
  return under(below, weights.kind === "experts" ? weights.router : weights.outputNorm);
}

/** The node of a weight, which may be left out. */
function under(lists: CommandLists, ref: WeightRef | undefined): CommandLists {
  return lists.at(ref ? WebGpuWeight.of(ref).id : 0);
}

function isInOrder(rows: Uint32Array, count: number): boolean {
  for (let i = 0; i < count; i++) if (rows[i] !== i) return false;
  return true;
}
