import { BackendError, ShapeError } from "../../base/errors.ts";
import type { WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights, LayerOutputWeights, LayerTensors, NextLayer } from "../backend.ts";
import type { CommandLists } from "./command-lists.ts";
import { actFile, type GpuContext, type LayerRope, paddedHeadDim, stepConstants } from "./context.ts";
import type { Kernel } from "./kernel-compiler.ts";
import type { Bindings, Params } from "./kernel-params.ts";
import type { KvCache } from "./kv-cache.ts";
import { LayerStages } from "./layer-stages.ts";
import { headStore, type StageText, stageConstants, stageFiles } from "./layer-text.ts";
import { reduceLanesOf } from "./quantised-sizes.ts";
import { type NumberedBuffer, type PendingCombine, WebGpuTensor, WebGpuWeight } from "./refs.ts";
import type { Constants, ShaderFile } from "./shader.ts";
import { isQuantised } from "./weight-rows.ts";

/** layer-mailbox.wgsl: the content of a mailbox word before its value arrives; a NaN that is never posted. */
const UNSET = 0xffffffff;
/** Storage buffers of a kernel that ends in the next layer's heads. */
const BUFFERS = 12;

/** One dispatch from one attention to the next. */
interface LayerDispatch {
  readonly from: LayerOutputWeights;
  readonly next: NextLayer | undefined;
  readonly attended: WebGpuTensor;
  /** Present if the kernel combines split-KV partials itself. */
  readonly pending: PendingCombine | undefined;
  readonly x: WebGpuTensor;
  readonly query: WebGpuTensor;
  readonly mailbox: NumberedBuffer;
  /** The set of mailboxes it uses; it clears the other. */
  readonly set: 0 | 1;
}

/** The parts of a layer that the kernel supports, and their command lists. */
export class LayerFit {
  readonly from: LayerOutputWeights;
  readonly next: NextLayer | undefined;
  /** True if the kernel supports one row's output projection and feed-forward. */
  readonly isSupported: boolean;
  /** True if the kernel supports the next layer's q, k and v behind them. */
  readonly isNextSupported: boolean;
  readonly #lists: CommandLists;
  /** Inputs and result of the last look-up: the same in most steps. */
  #tensors: LayerTensors | undefined;
  #pending: PendingCombine | undefined;
  #nodes: readonly [CommandLists, CommandLists];

  constructor(of: Pick<LayerFit, "from" | "next" | "isSupported" | "isNextSupported">, lists: CommandLists) {
    this.from = of.from;
    this.next = of.next;
    this.isSupported = of.isSupported;
    this.isNextSupported = of.isNextSupported;
    this.#lists = lists;
    this.#nodes = [lists, lists];
  }

  nodeOf(tensors: LayerTensors, pending: PendingCombine | undefined, set: 0 | 1): CommandLists {
    if (tensors !== this.#tensors || pending !== this.#pending) {
      const lists = this.#lists
        .at(WebGpuTensor.of(tensors.x).id)
        .at(WebGpuTensor.of(tensors.query).id)
        .at(pending ? pending.partials.id : WebGpuTensor.of(tensors.attended).id)
        .at(pending?.splits ?? 0);
      this.#nodes = [lists.at(0), lists.at(1)];
      this.#tensors = tensors;
      this.#pending = pending;
    }
    return this.#nodes[set];
  }
}

/** The stages of a dispatch and the workgroups of each. */
interface LayerPlan {
  readonly stages: readonly StageText[];
  readonly workgroups: {
    readonly first: number;
    readonly o: number;
    readonly gateUp: number;
    readonly down: number;
    readonly input: number;
  };
}

/** About a second of looks at memory. */
const POLL_LIMIT = 1_000_000;
/** On a CPU a look takes 10 ns, and the thread of a producer may wait for its core while others run. */
const SOFTWARE_POLL_LIMIT = 1_000_000_000;

/**
 * The persistent layer kernel (layer-kernel.wgsl): the products of one row between two attentions in one dispatch. Separate
 * dispatches each wait for the end of the one before and then for their first weights; here the weights of the next stage
 * load meanwhile.
 */
export class LayerKernel {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  /** Receives q, k and v of heads with norms: f32 [(query + 2 kv heads) * headDim]. */
  readonly #projected: NumberedBuffer;
  readonly #stages: LayerStages;
  readonly #lists: CommandLists;
  readonly #kernels = new Map<string, Kernel>();
  readonly #fits = new WeakMap<LayerOutputWeights, LayerFit>();
  /** Of steps that also read heads before RoPE. */
  readonly #fitsBesideRaw = new WeakMap<LayerOutputWeights, LayerFit>();
  #numFits = 0;
  #mailbox: NumberedBuffer | undefined;
  #set: 0 | 1 = 0;

  constructor(context: GpuContext, cache: KvCache, projected: NumberedBuffer) {
    this.#context = context;
    this.#cache = cache;
    this.#projected = projected;
    this.#stages = new LayerStages(context);
    this.#lists = context.recorder.newCommandLists();
  }

  /** Determines, once per layer, which parts the kernel supports on this device. hasRaw: somebody reads heads before RoPE */
  fit(from: LayerOutputWeights, next: NextLayer | undefined, hasRaw: boolean): LayerFit {
    const fits = hasRaw ? this.#fitsBesideRaw : this.#fits;
    const known = fits.get(from);
    if (known && known.next === next) return known;
    const isSupported = this.#supports(from);
    const isNextSupported =
      isSupported && !hasRaw && next !== undefined && this.#supportsInput(from, next.weights);
    const fit = new LayerFit({ from, next, isSupported, isNextSupported }, this.#lists.at(this.#numFits++));
    fits.set(from, fit);
    return fit;
  }

  #supports({ output, feedForward }: LayerOutputWeights): boolean {
    const { forwardProgress, minSubgroupSize, storageBuffers } = this.#context.traits;
    if (forwardProgress === undefined || minSubgroupSize < 4 || storageBuffers < BUFFERS || output.oBias)
      return false;
    if (feedForward.kind === "experts" || feedForward.outputNorm || output.outputNorm) return false;
    const { gate, up, down, norm } = feedForward;
    return (
      areWhole([output.o, gate, up, down]) &&
      haveOneDtype([output.o, gate, down]) &&
      areAlike(gate, up) &&
      this.#stages.output(output.o.format, true) !== undefined &&
      this.#stages.gateUp(gate.format) !== undefined &&
      this.#stages.down(down.format) !== undefined &&
      WebGpuWeight.of(norm).vector % 4 === 0
    );
  }

  #supportsInput({ output, feedForward }: LayerOutputWeights, input: AttentionInputWeights): boolean {
    const { q, k, v, norm } = input;
    return (
      areWhole([q, k, v]) &&
      haveOneDtype([output.o, feedForward.gate, feedForward.down, q]) &&
      areAlike(q, k) &&
      slabOf(q) === slabOf(v) &&
      (!isValueApart(input) || (isQuantised(q.format) && isQuantised(v.format))) &&
      this.#stages.input(q.format, !hasHeadNorm(input)) !== undefined &&
      WebGpuWeight.of(norm).vector % 4 === 0
    );
  }

  /** Records the supported part of `advance`. Consumes `attended`. */
  record(fit: LayerFit, tensors: LayerTensors): void {
    const mailbox = this.#mailboxBuffer;
    const set = this.#set;
    const { recorder } = this.#context;
    if (!recorder.isDry) this.#set = set === 0 ? 1 : 0;
    const attended = WebGpuTensor.of(tensors.attended);
    const { pending } = attended;
    attended.pending = undefined;
    const node = fit.nodeOf(tensors, pending, set);
    if (!recorder.replay(node)) this.#keep(node, dispatchOf(fit, tensors, { pending, mailbox, set }));
  }

  #keep(node: CommandLists, dispatch: LayerDispatch): void {
    this.#context.recorder.keep(node, () => this.#dispatch(dispatch));
  }

  #dispatch(layer: LayerDispatch): void {
    const { recorder } = this.#context;
    const plan = this.#plan(layer);
    const { first, o, gateUp, down, input } = plan.workgroups;
    recorder.dispatch({
      category: "weights",
      kernel: this.#kernel(layer, plan),
      params: this.#params(layer),
      bindings: this.#bindings(layer),
      grid: [first + o + gateUp + down + input],
    });
    const { next, query } = layer;
    if (next && hasHeadNorm(next.weights))
      this.#cache.finishHeads(next.layer, next.weights, this.#projected, { query, numRows: 1 });
  }

  /** The kernel of a dispatch: the same for all layers of the same formats and all lengths, so that a new number of splits costs little. */
  #kernel(layer: LayerDispatch, plan: LayerPlan): Kernel {
    const input = layer.next && (hasHeadNorm(layer.next.weights) ? "to rows" : "to heads");
    const { rope, queryRope } = layer.next ? this.#ropeOf(layer.next) : {};
    const formats = plan.stages.map(({ format }) => format);
    const key = `${formats.join(" ")}, ${input}, ${rope}, ${queryRope}, ${layer.pending !== undefined}`;
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = this.#context.recorder.kernel(this.#filesOf(layer, plan), this.#constants(layer, plan));
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  #plan({ from: { output, feedForward }, next, pending }: LayerDispatch): LayerPlan {
    const { hiddenSize, intermediateSize, numQueryHeads, headDim } = this.#context.model;
    const { gate, down } = feedForward;
    const sizes = this.#stages;
    const o = sizes.output(output.o.format, pending !== undefined);
    const gateUp = sizes.gateUp(gate.format);
    const last = sizes.down(down.format);
    const input = next && sizes.input(next.weights.q.format, !hasHeadNorm(next.weights));
    if (!o || !gateUp || !last || (next && !input))
      throw new BackendError(
        "backend webgpu: recording the layer kernel: this model's rows do not divide evenly",
      );
    const width = numQueryHeads * headDim;
    const stages: StageText[] = [
      { name: "o", stage: o, format: output.o.format, cols: width, isNormed: false },
      { name: "gate_up", stage: gateUp, format: gate.format, cols: hiddenSize, isNormed: true },
      { name: "down", stage: last, format: down.format, cols: intermediateSize, isNormed: false },
    ];
    if (next && input) {
      const { q, v } = next.weights;
      stages.push({ name: "input", stage: input, format: q.format, cols: hiddenSize, isNormed: true });
      if (isValueApart(next.weights))
        stages.push({ name: "value", stage: input, format: v.format, cols: hiddenSize, isNormed: true });
    }
    const isToHeads = next && !hasHeadNorm(next.weights);
    const stores = isToHeads ? headStore(this.#context, sizes.threads).workgroups : 0;
    const workgroups = {
      first: pending ? numQueryHeads : Math.ceil(width / sizes.threads),
      o: Math.ceil(hiddenSize / o.all),
      gateUp: Math.ceil((2 * intermediateSize) / gateUp.all),
      down: Math.ceil(hiddenSize / last.all),
      input: input ? sizes.inputRows / input.all + stores : 0,
    };
    return { stages, workgroups };
  }

  #filesOf({ next, pending }: LayerDispatch, { stages }: LayerPlan): ShaderFile[] {
    const files: ShaderFile[] = [...stageFiles(stages), actFile(this.#context.model), "layer-core"];
    if (pending) files.push("combine-core", "layer-combine");
    else files.push("layer-copy");
    if (next) files.push(isValueApart(next.weights) ? "layer-input-value" : "layer-input");
    if (!next) files.push("layer-to-end");
    else if (hasHeadNorm(next.weights)) files.push("layer-to-rows");
    else files.push("step", ...headStore(this.#context, this.#stages.threads).files, "layer-to-heads");
    files.push("layer-kernel");
    return files;
  }

  #constants(layer: LayerDispatch, plan: LayerPlan): Constants {
    const { model, cacheDtype } = this.#context;
    const { numQueryHeads, numKvHeads, headDim } = model;
    const isToHeads = layer.next && !hasHeadNorm(layer.next.weights);
    const isToRows = layer.next && !isToHeads;
    return {
      ...this.#sharedConstants(layer, plan),
      ...stageConstants(plan.stages, this.#stages.threads / reduceLanesOf(this.#context.traits)),
      ...(layer.pending && { PADDED4: paddedHeadDim(model, cacheDtype) / 4 }),
      ...(isToRows && { QUERY_ROWS: numQueryHeads * headDim, KV_ROWS: numKvHeads * headDim }),
      ...(isToHeads && {
        ...stepConstants(this.#context, this.#ropeOf(layer.next)),
        ...headStore(this.#context, this.#stages.threads).constants,
      }),
    };
  }

  #ropeOf({ layer }: NextLayer): LayerRope {
    return this.#context.model.layers[layer] ?? { rope: 0 };
  }

  /** Constants of layer-core.wgsl. */
  #sharedConstants({ next }: LayerDispatch, { workgroups }: LayerPlan): Constants {
    const { traits, model } = this.#context;
    const { hiddenSize, intermediateSize, numQueryHeads, headDim } = model;
    return {
      THREADS: this.#stages.threads,
      REDUCE_LANES: reduceLanesOf(traits),
      EPS: model.rmsNormEps,
      POLL_LIMIT: traits.isSoftware ? SOFTWARE_POLL_LIMIT : POLL_LIMIT,
      TICKETED: traits.forwardProgress === "ticketed",
      INPUT: next !== undefined,
      FIRST_WORKGROUPS: workgroups.first,
      O_WORKGROUPS: workgroups.o,
      GATE_UP_WORKGROUPS: workgroups.gateUp,
      DOWN_WORKGROUPS: workgroups.down,
      QUERY_HEADS: numQueryHeads,
      HEAD_DIM: headDim,
      HIDDEN: hiddenSize,
      INTERMEDIATE: intermediateSize,
      ATTENDED_WORDS: this.#stages.mailboxWords(numQueryHeads * headDim),
      HIDDEN_WORDS: this.#stages.mailboxWords(hiddenSize),
      GATED_WORDS: this.#stages.mailboxWords(intermediateSize),
      SET_WORDS: this.#stages.setWords,
    };
  }

  #params({ from: { output, feedForward }, next, pending, set }: LayerDispatch): Params {
    const { norm, gate, up, down } = feedForward;
    const { q, k, v, qBias, kBias, vBias, norm: inputNorm } = next?.weights ?? {};
    const { setWords } = this.#stages;
    return {
      splits: pending?.splits ?? 0,
      ...{ o: firstVector(output.o), gate: firstVector(gate), up: firstVector(up), down: firstVector(down) },
      feed_norm: WebGpuWeight.of(norm).vector / 4,
      ...{ mailbox: set * setWords, stale: (1 - set) * setWords },
      input_norm: inputNorm ? WebGpuWeight.of(inputNorm).vector / 4 : 0,
      ...{ q: firstVector(q), k: firstVector(k), v: firstVector(v) },
      ...{ q_bias: biasStart(qBias), k_bias: biasStart(kBias), v_bias: biasStart(vBias) },
    };
  }

  #bindings({ from, next, attended, pending, x, query, mailbox }: LayerDispatch): Bindings {
    const { weights, stepBuffer } = this.#context;
    const { gate, down } = from.feedForward;
    const bindings = {
      ...{ vectors: weights.vectors, x, mailbox },
      ...{ weights_o: slabOf(from.output.o), weights_gate_up: slabOf(gate), weights_down: slabOf(down) },
      ...(pending ? { partials: pending.partials } : { attended }),
    };
    if (!next) return bindings;
    const weights_input = slabOf(next.weights.q);
    if (hasHeadNorm(next.weights)) return { ...bindings, weights_input, projected: this.#projected };
    const { keys, values } = this.#cache.layer(next.layer);
    return { ...bindings, weights_input, step: stepBuffer.storage, query, keys, values };
  }

  get #mailboxBuffer(): NumberedBuffer {
    const sizeBytes = 8 * this.#stages.setWords;
    this.#mailbox ??= this.#context.buffers.storage("mailboxes of the layer kernel", sizeBytes, UNSET);
    return this.#mailbox;
  }
}

function dispatchOf(
  { from, next, isNextSupported }: LayerFit,
  { attended, x, query }: LayerTensors,
  how: Pick<LayerDispatch, "pending" | "mailbox" | "set">,
): LayerDispatch {
  return {
    ...{ from, next: isNextSupported ? next : undefined, attended: WebGpuTensor.of(attended) },
    ...{ x: WebGpuTensor.of(x), query: WebGpuTensor.of(query) },
    ...how,
  };
}

/** Heads with norms of their own are finished by a dispatch that sees each head whole. */
export function hasHeadNorm({ qNorm, kNorm }: AttentionInputWeights): boolean {
  return qNorm !== undefined || kNorm !== undefined;
}

/** True if each lies whole in one slab. */
function areWhole(refs: readonly WeightRef[]): boolean {
  return refs.every((ref) => WebGpuWeight.of(ref).slices.length === 1);
}

/** True if those that are floats have one format; each quantised one may have its own. */
function haveOneDtype(refs: readonly WeightRef[]): boolean {
  return new Set(refs.map(({ format }) => format).filter((format) => !isQuantised(format))).size <= 1;
}

/** True if one stage can read both. */
function areAlike(one: WeightRef, other: WeightRef): boolean {
  return one.format === other.format && slabOf(one) === slabOf(other);
}

/** True if values need a stage of their own beside queries and keys, as in files that keep them in more bits. */
function isValueApart({ q, v }: AttentionInputWeights): boolean {
  return q.format !== v.format;
}

function slabOf(ref: WeightRef): NumberedBuffer | undefined {
  return WebGpuWeight.of(ref).slices[0]?.slab;
}

/** First element of a bias + 1; 0 without a bias. */
function biasStart(ref: WeightRef | undefined): number {
  return ref ? WebGpuWeight.of(ref).vector + 1 : 0;
}

/** First 16-byte vector of a matrix in its slab; 0 without a matrix. */
function firstVector(ref: WeightRef | undefined): number {
  if (!ref) return 0;
  const [slice] = WebGpuWeight.of(ref).slices;
  if (!slice) throw new ShapeError(`weight ${ref.name} is a vector; the layer kernel takes matrices`);
  return slice.offset / 16;
}
