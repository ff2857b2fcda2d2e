import { ShapeError } from "../../base/errors.ts";
import type { TensorRef, WeightRef } from "../../base/tensor-ref.ts";
import type { AttentionInputWeights, AttentionOutputWeights, FeedForwardWeights } from "../backend.ts";
import { type GpuContext, paddedHeadDim, stepConstants } from "./context.ts";
import type { HeldCombine } from "./decode-attention.ts";
import type { KvCache } from "./kv-cache.ts";
import { DTYPE_CODES, type NumberedBuffer, pieceElements, WebGpuTensor, WebGpuWeight } from "./refs.ts";
import type { ShaderFile } from "./shader.ts";

/** What a chain takes from one attention to the next. */
export interface LayerKernelOps {
  /** What was attended, or what makes it. */
  readonly attended: HeldCombine | WebGpuTensor;
  readonly x: TensorRef;
  readonly output: AttentionOutputWeights;
  readonly feed: FeedForwardWeights;
}

/** The next layer's slice of a chain. */
export interface NextLayerInput {
  readonly layer: number;
  readonly weights: AttentionInputWeights;
  readonly query: TensorRef;
  /** Takes queries, keys and values where heads have a norm of their own: f32 [(query + 2 kv heads) * headDim]. */
  readonly projected: NumberedBuffer;
}

/** layer-kernel.wgsl: no link is this before its value is there. */
const UNSET = 0xffffffff;
/** Storage buffers of a chain to heads. */
const BUFFERS = 12;
/** Sums that invocations bring together at once, at most. */
const MAX_ROWS = 32;

/** Rows of one stage. */
interface Stage {
  readonly rows: number;
  readonly turns: number;
  /** Pieces of an invocation at a time. */
  readonly chunk: number;
}

/**
 * The products of one row between two attentions in one dispatch (layer-kernel.wgsl). A dispatch alone waits for the last of the one
 * before it and for its first weights; here the next weights are on their way meanwhile.
 */
export class LayerKernel {
  readonly #context: GpuContext;
  readonly #cache: KvCache;
  #links: NumberedBuffer | undefined;
  /** Which half of the links the next dispatch uses; the other is cleared by it. */
  #isOdd = false;

  constructor(context: GpuContext, cache: KvCache) {
    this.#context = context;
    this.#cache = cache;
  }

  /** Whether attention output and feed-forward can be a chain. */
  takes({ o, oBias }: AttentionOutputWeights, feed: FeedForwardWeights): boolean {
    const { traits, model } = this.#context;
    const { forwardProgress, minSubgroupSize, storageBuffers } = traits;
    if (forwardProgress === undefined || minSubgroupSize < 4 || storageBuffers < BUFFERS || oBias)
      return false;
    const matrices = [o, feed.gate, feed.up, feed.down].map((ref) => WebGpuWeight.of(ref));
    return (
      isOneKind(matrices) &&
      chunkOf(feed.gate) === chunkOf(feed.up) &&
      this.#outputStage(true) !== undefined &&
      this.#stage(2 * model.intermediateSize, model.hiddenSize, 2) !== undefined &&
      this.#stage(model.hiddenSize, model.intermediateSize, 1) !== undefined &&
      WebGpuWeight.of(feed.norm).vector % 4 === 0
    );
  }

  /** Whether the next layer's queries, keys and values can follow. */
  takesInput(input: AttentionInputWeights, { o }: AttentionOutputWeights): boolean {
    const { q, k, v, norm } = input;
    const matrices = [o, q, k, v].map((ref) => WebGpuWeight.of(ref));
    const isNear = chunkOf(q) === chunkOf(k) && chunkOf(q) === chunkOf(v);
    return (
      isOneKind(matrices) &&
      isNear &&
      this.#inputStage(hasHeadNorm(input)) !== undefined &&
      WebGpuWeight.of(norm).vector % 4 === 0
    );
  }

  record({ attended, x, output, feed }: LayerKernelOps, input?: NextLayerInput): void {
    const links = this.#linkBuffer;
    const set = Number(this.#isOdd);
    this.#isOdd = !this.#isOdd;
    const ids = [output.o, feed.gate, input?.weights.q].map((ref) => ref && WebGpuWeight.of(ref).id);
    const tensors = [x, input?.query].map((ref) => ref && WebGpuTensor.of(ref).id);
    this.#context.recorder.plan(
      `chain ${set},${ids},${tensors},${input?.layer},${sourceOf(attended).id},${splitsOf(attended)}`,
      () => this.#record({ attended, x, output, feed }, input, links, set),
    );
  }

  #record(
    { attended, x, output, feed }: LayerKernelOps,
    input: NextLayerInput | undefined,
    links: NumberedBuffer,
    set: number,
  ): void {
    const { recorder, traits, model, weights, step, cacheDtype } = this.#context;
    const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim } = model;
    const width = numQueryHeads * headDim;
    const dtype = WebGpuWeight.of(output.o).dtype;
    const stages = {
      o: this.#outputStage(splitsOf(attended) > 0) as Stage,
      feed: this.#stage(2 * intermediateSize, hiddenSize, 2) as Stage,
      down: this.#stage(hiddenSize, intermediateSize, 1) as Stage,
      ...(input && { input: this.#inputStage(hasHeadNorm(input.weights)) as Stage }),
    };
    const sums = Object.values(stages).map(({ rows, turns }) => rows * turns);
    const splits = splitsOf(attended);
    const threads = this.#threads;
    const blocks = {
      first: splits > 0 ? numQueryHeads : Math.ceil(width / threads),
      o: hiddenSize / rowsOf(stages.o),
      feed: (2 * intermediateSize) / rowsOf(stages.feed),
      down: hiddenSize / rowsOf(stages.down),
      input: stages.input ? ((numQueryHeads + 2 * numKvHeads) * headDim) / rowsOf(stages.input) : 0,
    };
    const constants: Record<string, number | boolean> = {
      THREADS: threads,
      DTYPE: DTYPE_CODES[dtype],
      FOLD: Math.min(32, traits.minSubgroupSize),
      EPS: model.rmsNormEps,
      TICKETS: traits.forwardProgress === "ticketed",
      INPUT: input !== undefined,
      FIRST_BLOCKS: blocks.first,
      O_BLOCKS: blocks.o,
      FEED_BLOCKS: blocks.feed,
      DOWN_BLOCKS: blocks.down,
      QUERY_HEADS: numQueryHeads,
      HEAD_DIM: headDim,
      ...(splits > 0 && { PADDED4: paddedHeadDim(model, cacheDtype) / 4 }),
      HIDDEN: hiddenSize,
      ATTENDED_LINKS: this.#linksOf(width),
      HIDDEN_LINKS: this.#linksOf(hiddenSize),
      FEED_LINKS: this.#linksOf(intermediateSize),
      SET_LINKS: this.#setLinks,
      SPACE: Math.max(...sums) + 1,
      ...stageConstants("o", width, dtype, stages.o),
      ...stageConstants("feed", hiddenSize, dtype, stages.feed, true),
      ...stageConstants("down", intermediateSize, dtype, stages.down),
    };
    const files: ShaderFile[] = ["storage", "subgroup-reduce", "layer-mailbox"];
    files.push("layer-stage:o", "layer-stage:feed", "layer-stage:down");
    if (stages.input) {
      files.push("layer-stage:input");
      Object.assign(constants, stageConstants("input", hiddenSize, dtype, stages.input, true));
    }
    files.push("layer-core");
    if (splits > 0) files.push("combine-core", "layer-combine");
    else files.push("layer-copy");
    const { projected, query } = input ?? {};
    const bindings: Record<string, NumberedBuffer | undefined> = {
      ...{ vectors: weights.vectors, x: WebGpuTensor.of(x), links },
      ...{ weights_o: chunkOf(output.o), weights_feed: chunkOf(feed.gate), weights_down: chunkOf(feed.down) },
      ...(input && { weights_input: chunkOf(input.weights.q) }),
      [splits > 0 ? "partials" : "attended"]: sourceOf(attended),
    };
    if (!input || !query) {
      files.push("layer-to-end");
    } else if (hasHeadNorm(input.weights)) {
      files.push("layer-to-rows");
      Object.assign(constants, { QUERY_ROWS: width, KV_ROWS: numKvHeads * headDim });
      bindings.projected = projected;
    } else {
      const { keys, values } = this.#cache.layer(input.layer);
      files.push("step", "layer-to-heads");
      Object.assign(constants, stepConstants(this.#context), { CACHE_IS_F16: cacheDtype === "f16" });
      Object.assign(bindings, { step: step.storage, query: WebGpuTensor.of(query), keys, values });
    }
    const { norm, q, k, v, qBias, kBias, vBias } = input?.weights ?? {};
    files.push("layer-kernel");
    const piece = (ref: WeightRef | undefined) => (ref ? firstPiece(ref) : 0);
    const biasPlace = (ref: WeightRef | undefined) => (ref ? WebGpuWeight.of(ref).vector + 1 : 0);
    recorder.dispatch({
      category: "weights",
      kernel: recorder.kernel(files, constants),
      params: {
        splits,
        ...{ o: piece(output.o), gate: piece(feed.gate), up: piece(feed.up), down: piece(feed.down) },
        feed_norm: WebGpuWeight.of(feed.norm).vector / 4,
        ...{ links: set * this.#setLinks, stale: (1 - set) * this.#setLinks },
        input_norm: norm ? WebGpuWeight.of(norm).vector / 4 : 0,
        ...{ q: piece(q), k: piece(k), v: piece(v) },
        ...{ q_bias: biasPlace(qBias), k_bias: biasPlace(kBias), v_bias: biasPlace(vBias) },
      },
      bindings,
      grid: [Object.values(blocks).reduce((sum, count) => sum + count, 0)],
    });
  }

  /** Invocations of a workgroup: fewer where rows are short. */
  get #threads(): number {
    const { model, tuning, traits } = this.#context;
    const pieces = 2 ** Math.floor(Math.log2(model.hiddenSize / 8));
    const least = Math.max(16, traits.maxSubgroupSize);
    return Math.max(least, Math.min(tuning.chainThreads, traits.maxInvocations, pieces));
  }

  /** How workgroups go about `rows` rows of `cols` columns, not across units of rows; undefined where they do not come out even. */
  #stage(
    rows: number,
    cols: number,
    least: number,
    { unit = rows, loads = this.#context.tuning.chainLoads, most = this.#context.tuning.chainRows } = {},
  ): Stage | undefined {
    const { tuning } = this.#context;
    const { chainGroups } = tuning;
    // pieces of f16; f32 weights take twice the registers
    const pieces = Math.ceil(cols / 8 / this.#threads);
    const chunk = Math.min(pieces, tuning.chainPieces);
    const atOnce = 2 ** Math.floor(Math.log2(Math.max(least, Math.min(MAX_ROWS, loads / chunk))));
    let all = Math.max(atOnce, Math.min(MAX_ROWS, most));
    // enough workgroups for all of a device
    while (all > least && (unit % all !== 0 || rows / all < chainGroups)) all /= 2;
    if (unit % all !== 0 || cols % 8 !== 0) return undefined;
    const turnRows = Math.min(atOnce, all);
    return { rows: turnRows, turns: all / turnRows, chunk };
  }

  /**
   * Attention output. Where attention is yet to be brought together it waits longest of all: as many of its weights as can
   * be are on their way meanwhile, in one turn.
   */
  #outputStage(isMerged: boolean): Stage | undefined {
    const { model, tuning } = this.#context;
    const most = isMerged ? { loads: 2 * tuning.chainLoads, most: 1 } : {};
    return this.#stage(model.hiddenSize, model.numQueryHeads * model.headDim, 1, most);
  }

  /** Where heads are finished at once, rows come in two runs of a head, half a head apart, each of an even number. */
  #inputStage(isUnfinished: boolean): Stage | undefined {
    const { hiddenSize, numQueryHeads, numKvHeads, headDim } = this.#context.model;
    const rows = (numQueryHeads + 2 * numKvHeads) * headDim;
    if (isUnfinished) return this.#stage(rows, hiddenSize, 1, { unit: numKvHeads * headDim });
    return headDim % 4 === 0 ? this.#stage(rows, hiddenSize, 4, { unit: headDim }) : undefined;
  }

  /** Words that the links of a vector take: whole pieces for every invocation. */
  #linksOf(size: number): number {
    return Math.ceil(size / 8 / this.#threads) * 8 * this.#threads;
  }

  get #setLinks(): number {
    const { hiddenSize, intermediateSize, numQueryHeads, headDim } = this.#context.model;
    const attended = this.#linksOf(numQueryHeads * headDim);
    return attended + 2 * this.#linksOf(hiddenSize) + this.#linksOf(intermediateSize) + 1;
  }

  get #linkBuffer(): NumberedBuffer {
    if (!this.#links) {
      const { buffers, recorder } = this.#context;
      const words = new Uint32Array(2 * this.#setLinks).fill(UNSET);
      this.#links = buffers.storage("links of chains", words.byteLength);
      recorder.write(this.#links, 0, words, words.length);
    }
    return this.#links;
  }
}

function stageConstants(
  name: string,
  cols: number,
  dtype: WebGpuWeight["dtype"],
  { rows, turns, chunk }: Stage,
  isNormed = false,
): Record<string, number | boolean> {
  return {
    [`STRIDE_${name}`]: cols / pieceElements(dtype),
    [`ROWS_${name}`]: rows,
    [`TURNS_${name}`]: turns,
    [`CHUNK_${name}`]: chunk,
    [`NORM_${name}`]: isNormed,
  };
}

/** Heads with a norm of their own are finished by a dispatch that sees them whole. */
export function hasHeadNorm({ qNorm, kNorm }: AttentionInputWeights): boolean {
  return qNorm !== undefined || kNorm !== undefined;
}

function sourceOf(attended: HeldCombine | WebGpuTensor): NumberedBuffer {
  return attended instanceof WebGpuTensor ? attended : attended.partials;
}

/** 0 where nothing has to be brought together. */
function splitsOf(attended: HeldCombine | WebGpuTensor): number {
  return attended instanceof WebGpuTensor ? 0 : attended.splits;
}

function rowsOf({ rows, turns }: Stage): number {
  return rows * turns;
}

/** Whether all lie whole in a buffer each, in one dtype. */
function isOneKind(weights: readonly WebGpuWeight[]): boolean {
  return weights.every(({ dtype, slices }) => dtype === weights[0]?.dtype && slices.length === 1);
}

function chunkOf(ref: AttentionOutputWeights["o"]): NumberedBuffer | undefined {
  return WebGpuWeight.of(ref).slices[0]?.slab;
}

/** Where a matrix begins in its buffer, in pieces of 16 bytes. */
function firstPiece(ref: AttentionOutputWeights["o"]): number {
  const [slice] = WebGpuWeight.of(ref).slices;
  if (!slice) throw new ShapeError(`weight ${ref.name} is a vector; a chain takes matrices`);
  return slice.offset / 16;
}
