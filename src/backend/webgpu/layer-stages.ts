import type { GpuContext } from "./context.ts";

/**
 * Elements by which the layer kernel pads mailboxes and splits rows: one 16-byte vector of 16-bit weights, two of f32. WGSL's
 * `VECTOR_ELEMENTS` is the elements of one vector of the weights' dtype.
 */
export const MAILBOX_UNIT = 8;
/** Maximum sums that the invocations of a workgroup reduce at once. */
const MAX_ROWS = 32;

/** The rows of one stage of the layer kernel. */
export interface Stage {
  /** Rows that a workgroup computes at once. */
  readonly rows: number;
  /** Iterations of a workgroup over such rows. */
  readonly turns: number;
  /** Vectors of each row in flight in an invocation. */
  readonly strip: number;
}

interface StageSize {
  readonly rows: number;
  readonly cols: number;
  /** Minimum rows of a workgroup. */
  readonly least: number;
  /** The rows of a workgroup must not cross a multiple of this. Default: all rows. */
  readonly unit?: number;
  /** Loads in flight. Default: the tuning's. */
  readonly loads?: number;
  /** Maximum rows of a workgroup. Default: the tuning's. */
  readonly most?: number;
}

/** Sizes the stages of the persistent layer kernel for one model on one device. Pure. */
export class LayerStages {
  readonly #context: GpuContext;
  /** Invocations of a workgroup: fewer for short rows. */
  readonly threads: number;

  constructor(context: GpuContext) {
    this.#context = context;
    const { model, tuning, traits } = context;
    const vectors = 2 ** Math.floor(Math.log2(model.hiddenSize / MAILBOX_UNIT));
    const least = Math.max(16, traits.maxSubgroupSize);
    this.threads = Math.max(least, Math.min(tuning.layerThreads, traits.maxInvocations, vectors));
  }

  /**
   * Sizes the attention output; undefined, as below, if its rows do not divide evenly. If this stage waits for the combine,
   * it waits longest of all stages, so it has as many weights as possible in flight meanwhile, in one iteration.
   */
  output(isCombined: boolean): Stage | undefined {
    const { model, tuning } = this.#context;
    const cols = model.numQueryHeads * model.headDim;
    const most = isCombined ? { loads: 2 * tuning.layerLoads, most: 1 } : {};
    return this.#stage({ rows: model.hiddenSize, cols, least: 1, ...most });
  }

  /** Sizes gate and up, whose rows alternate. */
  gateUp(): Stage | undefined {
    const { hiddenSize, intermediateSize } = this.#context.model;
    return this.#stage({ rows: 2 * intermediateSize, cols: hiddenSize, least: 2 });
  }

  down(): Stage | undefined {
    const { hiddenSize, intermediateSize } = this.#context.model;
    return this.#stage({ rows: hiddenSize, cols: intermediateSize, least: 1 });
  }

  /** Sizes the next layer's q, k and v. RoPE in this stage needs two even runs of rows of a head, half a head apart. */
  input(hasRope: boolean): Stage | undefined {
    const { hiddenSize, numKvHeads, headDim } = this.#context.model;
    const rows = this.inputRows;
    if (!hasRope) return this.#stage({ rows, cols: hiddenSize, least: 1, unit: numKvHeads * headDim });
    if (headDim % 4 !== 0) return undefined;
    return this.#stage({ rows, cols: hiddenSize, least: 4, unit: headDim });
  }

  get inputRows(): number {
    const { numQueryHeads, numKvHeads, headDim } = this.#context.model;
    return (numQueryHeads + 2 * numKvHeads) * headDim;
  }

  /** Returns the words of a mailbox for `size` elements: whole 16-byte vectors for every invocation. */
  mailboxWords(size: number): number {
    return Math.ceil(size / MAILBOX_UNIT / this.threads) * MAILBOX_UNIT * this.threads;
  }

  /** The words of one set of mailboxes: attended, hidden twice, gated, and the ticket. */
  get setWords(): number {
    const { hiddenSize, intermediateSize, numQueryHeads, headDim } = this.#context.model;
    const attended = this.mailboxWords(numQueryHeads * headDim);
    return attended + 2 * this.mailboxWords(hiddenSize) + this.mailboxWords(intermediateSize) + 1;
  }

  #stage({ rows, cols, least, unit = rows, loads, most }: StageSize): Stage | undefined {
    const { tuning } = this.#context;
    const vectors = Math.ceil(cols / MAILBOX_UNIT / this.threads);
    const strip = Math.min(vectors, tuning.layerVectors);
    const inFlight = Math.min(MAX_ROWS, (loads ?? tuning.layerLoads) / strip);
    const atOnce = 2 ** Math.floor(Math.log2(Math.max(least, inFlight)));
    let all = Math.max(atOnce, Math.min(MAX_ROWS, most ?? tuning.layerRows));
    // enough workgroups for all of a device
    while (all > least && (unit % all !== 0 || rows / all < tuning.layerWorkgroups)) all /= 2;
    if (unit % all !== 0 || cols % MAILBOX_UNIT !== 0) return undefined;
    const turnRows = Math.min(atOnce, all);
    return { rows: turnRows, turns: all / turnRows, strip };
  }
}

/** Returns the rows of a workgroup. */
export function rowsOf({ rows, turns }: Stage): number {
  return rows * turns;
}
