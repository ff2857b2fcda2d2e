import type { WeightFormat } from "../../base/weight-format.ts";
import type { GpuContext } from "./context.ts";
import { piecesIn, piecesInFlight, reduceLanesOf } from "./quantised-sizes.ts";
import { isQuantised, type QuantisedFormat } from "./weight-rows.ts";

/**
 * Elements by which the layer kernel splits rows of floats: one 16-byte vector of 16-bit weights, two of f32. WGSL's
 * `VECTOR_ELEMENTS` is the elements of one vector of the weights' dtype.
 */
const FLOAT_UNIT = 8;
/** Elements that an invocation takes from the mailbox at once where weights are quantised: half a piece. */
const QUANTISED_UNIT = 16;
/** Maximum sums that the invocations of a workgroup reduce at once. */
const MAX_ROWS = 32;
/** Workgroup memory of the kernel besides the digits of a vector: the combine of attention, and sums. */
const OTHER_BYTES = 20992;

/** The rows of one stage of the layer kernel. */
export type Stage = FloatStage | QuantisedStage;

export interface FloatStage {
  readonly kind: "float";
  /** Rows of a workgroup. */
  readonly all: number;
  /** Rows that a workgroup computes at once. */
  readonly rows: number;
  /** Iterations of a workgroup over such rows. */
  readonly turns: number;
  /** Vectors of each row in flight in an invocation. */
  readonly strip: number;
}

/** Sizes of layer-stage-quantised.wgsl. */
export interface QuantisedStage {
  readonly kind: "quantised";
  /** Rows of a workgroup. */
  readonly all: number;
  /** Rows that a reduce group computes at once. */
  readonly rows: number;
  readonly turns: number;
  /** Pieces of each row in flight in an invocation. */
  readonly chunk: number;
  /** Pieces of the vector in workgroup memory. */
  readonly span: number;
  readonly strips: number;
}

interface StageSize {
  readonly format: WeightFormat;
  /** Name in the tuning. */
  readonly name: "o" | "gateUp" | "down" | "input";
  readonly rows: number;
  readonly cols: number;
  /** Minimum rows of a workgroup; of a reduce group, where weights are quantised. */
  readonly least: number;
  /** The rows of a workgroup must not cross a multiple of this, or the end. Default: they may cross the end. */
  readonly unit?: number;
  /** Loads in flight. Default: the tuning's. */
  readonly loads?: number;
  /** Maximum rows of a workgroup. Default: the tuning's. */
  readonly most?: number;
}

/** Sizes the stages of the persistent layer kernel for one model on one device. Pure. */
export class LayerStages {
  readonly #context: GpuContext;

  constructor(context: GpuContext) {
    this.#context = context;
  }

  /** Invocations of a workgroup: fewer for short rows. */
  get threads(): number {
    const { model, tuning, traits, weights } = this.#context;
    const wanted = weights.hasQuantised ? tuning.layerQuantised.threads : tuning.layerThreads;
    const vectors = 2 ** Math.floor(Math.log2(model.hiddenSize / FLOAT_UNIT));
    const least = Math.max(16, traits.maxSubgroupSize);
    return Math.max(least, Math.min(wanted, traits.maxInvocations, vectors));
  }

  /**
   * Sizes the attention output; undefined, as below, if its rows do not divide evenly. If this stage waits for the combine,
   * it waits longest of all stages, so it has as many weights as possible in flight meanwhile, in one iteration.
   */
  output(format: WeightFormat, isCombined: boolean): Stage | undefined {
    const { model, tuning } = this.#context;
    const cols = model.numQueryHeads * model.headDim;
    const most = isCombined ? { loads: 2 * tuning.layerLoads, most: 1 } : {};
    return this.#stage({ name: "o", format, rows: model.hiddenSize, cols, least: 1, ...most });
  }

  /** Sizes gate and up, whose rows alternate. */
  gateUp(format: WeightFormat): Stage | undefined {
    const { hiddenSize, intermediateSize } = this.#context.model;
    return this.#stage({ name: "gateUp", format, rows: 2 * intermediateSize, cols: hiddenSize, least: 2 });
  }

  down(format: WeightFormat): Stage | undefined {
    const { hiddenSize, intermediateSize } = this.#context.model;
    return this.#stage({ name: "down", format, rows: hiddenSize, cols: intermediateSize, least: 1 });
  }

  /** Sizes the next layer's q, k and v. RoPE in this stage needs two even runs of rows of a head, half a head apart. */
  input(format: WeightFormat, hasRope: boolean): Stage | undefined {
    const { hiddenSize, numKvHeads, headDim } = this.#context.model;
    const size = { name: "input", format, rows: this.inputRows, cols: hiddenSize } as const;
    if (!hasRope) return this.#stage({ ...size, least: 1, unit: numKvHeads * headDim });
    if (headDim % 4 !== 0) return undefined;
    const stage = this.#stage({ ...size, least: isQuantised(format) ? 1 : 4, unit: headDim });
    return stage && stage.all % 4 === 0 ? stage : undefined;
  }

  get inputRows(): number {
    const { numQueryHeads, numKvHeads, headDim } = this.#context.model;
    return (numQueryHeads + 2 * numKvHeads) * headDim;
  }

  /** Returns the words of a mailbox for `size` elements: whole units for every invocation. */
  mailboxWords(size: number): number {
    const unit = this.#context.weights.hasQuantised ? QUANTISED_UNIT : FLOAT_UNIT;
    return Math.ceil(size / unit / this.threads) * unit * this.threads;
  }

  /** The words of one set of mailboxes: attended, hidden twice, gated, and the ticket. */
  get setWords(): number {
    const { hiddenSize, intermediateSize, numQueryHeads, numKvHeads, headDim } = this.#context.model;
    const attended = this.mailboxWords(numQueryHeads * headDim);
    // keys and values wait for the scale of their head
    const heads = this.#context.cacheDtype === "q8" ? 2 * numKvHeads * headDim : 0;
    return attended + 2 * this.mailboxWords(hiddenSize) + this.mailboxWords(intermediateSize) + heads + 1;
  }

  #stage(size: StageSize): Stage | undefined {
    const { format } = size;
    return isQuantised(format) ? this.#quantised(size, format) : this.#float(size);
  }

  #float({ rows, cols, least, unit = rows, loads, most }: StageSize): FloatStage | undefined {
    const { tuning } = this.#context;
    const vectors = Math.ceil(cols / FLOAT_UNIT / this.threads);
    const strip = Math.min(vectors, tuning.layerVectors);
    const inFlight = Math.min(MAX_ROWS, (loads ?? tuning.layerLoads) / strip);
    const atOnce = 2 ** Math.floor(Math.log2(Math.max(least, inFlight)));
    let all = Math.max(atOnce, Math.min(MAX_ROWS, most ?? tuning.layerRows));
    // enough workgroups for all of a device
    while (all > least && (unit % all !== 0 || rows / all < tuning.layerWorkgroups)) all /= 2;
    if (unit % all !== 0 || cols % FLOAT_UNIT !== 0) return undefined;
    const turnRows = Math.min(atOnce, all);
    return { kind: "float", all, rows: turnRows, turns: all / turnRows, strip };
  }

  /**
   * A device runs a stage in waves of the workgroups that it holds at once, and the last wave may leave most of it idle. So a
   * workgroup takes as many turns as make waves × turns least.
   */
  #quantised(
    { name, rows: numRows, cols, least, unit }: StageSize,
    format: QuantisedFormat,
  ): QuantisedStage | undefined {
    const { tuning, traits } = this.#context;
    const { workgroups, bytes, ...stages } = tuning.layerQuantised;
    if (!traits.hasPackedDot) return undefined;
    const { rows: mostRows, chunk } = stages[name];
    const lanes = reduceLanesOf(traits);
    const groups = this.threads / lanes;
    let rows = Math.max(least, mostRows);
    while (
      rows > least &&
      (numRows < rows * groups * workgroups || (unit !== undefined && unit % (rows * groups) !== 0))
    )
      rows /= 2;
    let best: { readonly turns: number; readonly cost: number } | undefined;
    // each invocation posts one row at the end
    for (let turns = 1; turns * rows * groups <= this.threads; turns++) {
      if (unit !== undefined && unit % (turns * rows * groups) !== 0) continue;
      const waves = Math.ceil(numRows / (turns * rows * groups) / workgroups);
      const cost = waves * turns;
      if (!best || cost <= best.cost) best = { turns, cost };
    }
    if (!best) return undefined;
    const { turns } = best;
    const room = Math.min(bytes, traits.workgroupBytes - OTHER_BYTES);
    const pieces = piecesIn(room, cols, lanes, piecesInFlight(format, chunk));
    return { kind: "quantised", all: rows * turns * groups, rows, turns, ...pieces };
  }
}
