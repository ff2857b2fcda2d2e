import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type {
  AttentionOutputWeights,
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
  readonly #layerKernel: LayerKernel;
  /** f32 [rows, (query + 2 kv heads) * headDim] */
  readonly #projected: NumberedBuffer;
  /** f32 [rows, padded(intermediateSize)] */
  readonly #gated: NumberedBuffer;
  readonly #experts: ExpertOps | undefined;
  /** Results before their output norm: f32 [rows, hiddenSize]; made at the first. */
  #results: NumberedBuffer | undefined;
  readonly #logitRows: NumberedBuffer;
  readonly #lists: Readonly<Record<"input" | "output" | "feedForward" | "logits", CommandLists>>;

  constructor(context: GpuContext, cache: KvCache) {
    const { buffers, model, capacity, recorder } = context;
    const rows = capacity.maxBatchRows;
    this.#context = context;
    this.#cache = cache;
    const inputs = new ProductInputs(context);
    this.#linear = new LinearOps(context, inputs);
    this.#projected = buffers.storage("projected heads", rows * this.#projectedWidth * 4);
    this.#layerKernel = new LayerKernel(context, cache, this.#projected);
    this.#gated = buffers.storage("gated", rows * padded(model.intermediateSize) * 4);
    this.#experts = model.experts && new ExpertOps(context, model.experts, this.#linear, inputs);
    this.#logitRows = buffers.storage("logit rows", rows * 4);
    this.#lists = {
      input: recorder.newCommandLists(),
      output: recorder.newCommandLists(),
      feedForward: recorder.newCommandLists(),
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

  attentionInput(
    numRows: number,
    { layer, weights }: NextLayer,
    { x, query, raw }: Pick<LayerTensors, "x" | "query" | "raw">,
  ): void {
    const from = WebGpuTensor.of(x);
    const to = WebGpuTensor.of(query);
    const rawId = raw ? WebGpuTensor.of(raw.query).id : 0;
    let node = this.#lists.input.at(from.id).at(to.id).at(numRows).at(layer).at(rawId);
    node = under(under(under(under(node, weights.norm), weights.q), weights.k), weights.v);
    node = under(under(under(node, weights.qBias), weights.kBias), weights.vBias);
    node = under(under(node, weights.qNorm), weights.kNorm);
    if (!this.#context.recorder.replay(node))
      this.#keepInput(node, { layer, weights }, { x: from, query: to, raw }, numRows);
  }

  #keepInput(node: CommandLists, next: NextLayer, { x, query, raw }: InputTensors, count: number): void {
    const rows = { storage: x, stride: this.#context.model.hiddenSize, count };
    this.#context.recorder.keep(node, () => this.#recordInput(next, rows, { query, raw }));
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
      { norm },
    );
    this.#cache.finishHeads(layer, weights, this.#projected, { query, raw, numRows: rows.count });
  }

  attentionOutput(numRows: number, weights: AttentionOutputWeights, attended: TensorRef, x: TensorRef): void {
    const from = WebGpuTensor.of(attended);
    const to = WebGpuTensor.of(x);
    let node = under(under(this.#lists.output.at(from.id).at(to.id).at(numRows), weights.o), weights.oBias);
    node = under(node, weights.outputNorm);
    if (!this.#context.recorder.replay(node)) this.#keepOutput(node, weights, from, to, numRows);
  }

  #keepOutput(
    node: CommandLists,
    { o, oBias, outputNorm }: AttentionOutputWeights,
    attended: WebGpuTensor,
    x: WebGpuTensor,
    count: number,
  ): void {
    const { hiddenSize, numQueryHeads, headDim } = this.#context.model;
    const width = numQueryHeads * headDim;
    const product = {
      weight: LinearOps.weight(o, hiddenSize, width),
      out: 0,
      bias: oBias && WebGpuWeight.of(oBias),
    };
    this.#context.recorder.keep(node, () =>
      this.#addProduct(product, { storage: attended, stride: width, count }, x, outputNorm),
    );
  }

  /** Records x += product of `from`, through a norm if there is one. */
  #addProduct(product: Product, from: Rows, x: WebGpuTensor, outputNorm: WeightRef | undefined): void {
    const { recorder, model, traits, weights, buffers, capacity } = this.#context;
    const { hiddenSize, rmsNormEps } = model;
    if (!outputNorm) {
      this.#linear.multiply([product], from, { storage: x, stride: hiddenSize }, { add: true });
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
    let node = this.#lists.feedForward.at(at.id).at(numRows);
    node = under(under(under(under(node, weights.norm), weights.gate), weights.up), weights.down);
    node = under(node, weights.kind === "experts" ? weights.router : weights.outputNorm);
    if (!this.#context.recorder.replay(node)) this.#keepFeedForward(node, weights, at, numRows);
  }

  #keepFeedForward(node: CommandLists, weights: FeedForwardWeights, x: WebGpuTensor, count: number): void {
    const { hiddenSize, intermediateSize } = this.#context.model;
    const rows = { storage: x, stride: hiddenSize, count };
    if (weights.kind === "experts") {
      const experts = expertsOf(this.#experts);
      this.#context.recorder.keep(node, () => experts.record(weights, rows));
      return;
    }
    const { norm, gate, up, down, outputNorm } = weights;
    const stride = padded(intermediateSize);
    this.#context.recorder.keep(node, () => {
      this.#linear.multiplyPair(
        { weight: LinearOps.weight(gate, intermediateSize, hiddenSize), out: 0 },
        { weight: LinearOps.weight(up, intermediateSize, hiddenSize), out: 0 },
        rows,
        { storage: this.#gated, stride },
        { norm: WebGpuWeight.of(norm) },
      );
      const product = { weight: LinearOps.weight(down, hiddenSize, intermediateSize), out: 0 };
      this.#addProduct(product, { storage: this.#gated, stride, count }, x, outputNorm);
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

/** The node of a weight, which may be left out. */
function under(lists: CommandLists, ref: WeightRef | undefined): CommandLists {
  return lists.at(ref ? WebGpuWeight.of(ref).id : 0);
}

function isInOrder(rows: Uint32Array, count: number): boolean {
  for (let i = 0; i < count; i++) if (rows[i] !== i) return false;
  return true;
}
