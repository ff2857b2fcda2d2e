import type { GpuContext } from "./context.ts";

/**
 * Elements of a 16-byte vector of 16-bit weights: rows, mailboxes and loads of the layer kernel count in these. f32 weights
 * take two vectors for as many.
 */
export const VECTOR_ELEMENTS = 8;
/** Most sums that the invocations of a workgroup reduce at once. */
const MAX_ROWS = 32;

/** Rows of one stage of the layer kernel. */
export interface Stage {
  /** Rows that a workgroup computes at once, and how many times. */
  readonly rows: number;
  readonly turns: number;
  /** Vectors that an invocation has in flight of each row. */
  readonly chunk: number;
}

interface StageSize {
  readonly rows: number;
  readonly cols: number;
  /** Fewest rows of a workgroup. */
  readonly least: number;
  /** Rows that no workgroup may cross a multiple of; all rows where left out. */
  readonly unit?: number;
  /** In place of the tuning's: loads in flight, and rows of a workgroup. */
  readonly loads?: number;
  readonly most?: number;
}

/** Sizes the stages of the persistent layer kernel for one model on one device. Pure. */
export class LayerStages {
  readonly #context: GpuContext;
  /** Invocations of a workgroup: fewer where rows are short. */
  readonly threads: number;

  constructor(context: GpuContext) {
    this.#context = context;
    const { model, tuning, traits } = context;
    const vectors = 2 ** Math.floor(Math.log2(model.hiddenSize / VECTOR_ELEMENTS));
    const least = Math.max(16, traits.maxSubgroupSize);
    this.threads = Math.max(least, Math.min(tuning.chainThreads, traits.maxInvocations, vectors));
  }

  /**
   * Attention output; undefined, as below, where rows do not divide evenly. Where it waits for the combine it waits longest of
   * all stages: as many of its weights as possible are in flight meanwhile, in one turn.
   */
  output(isCombined: boolean): Stage | undefined {
    const { model, tuning } = this.#context;
    const cols = model.numQueryHeads * model.headDim;
    const most = isCombined ? { loads: 2 * tuning.chainLoads, most: 1 } : {};
    return this.#stage({ rows: model.hiddenSize, cols, least: 1, ...most });
  }

  /** Gate and up, row by row in turn. */
  feed(): Stage | undefined {
    const { hiddenSize, intermediateSize } = this.#context.model;
    return this.#stage({ rows: 2 * intermediateSize, cols: hiddenSize, least: 2 });
  }

  down(): Stage | undefined {
    const { hiddenSize, intermediateSize } = this.#context.model;
    return this.#stage({ rows: hiddenSize, cols: intermediateSize, least: 1 });
  }

  /** The next layer's q, k and v. RoPE in this stage takes rows in two runs of a head, half a head apart, each even. */
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

  /** Words of a mailbox for a vector of so many elements: whole 16-byte vectors for every invocation. */
  mailboxWords(size: number): number {
    return Math.ceil(size / VECTOR_ELEMENTS / this.threads) * VECTOR_ELEMENTS * this.threads;
  }

  /** Words of one set of mailboxes: attended, hidden twice, gated, and the ticket. */
  get setWords(): number {
    const { hiddenSize, intermediateSize, numQueryHeads, headDim } = this.#context.model;
    const attended = this.mailboxWords(numQueryHeads * headDim);
    return attended + 2 * this.mailboxWords(hiddenSize) + this.mailboxWords(intermediateSize) + 1;
  }

  #stage({ rows, cols, least, unit = rows, loads, most }: StageSize): Stage | undefined {
    const { tuning } = this.#context;
    const vectors = Math.ceil(cols / VECTOR_ELEMENTS / this.threads);
    const chunk = Math.min(vectors, tuning.chainPieces);
    const inFlight = Math.min(MAX_ROWS, (loads ?? tuning.chainLoads) / chunk);
    const atOnce = 2 ** Math.floor(Math.log2(Math.max(least, inFlight)));
    let all = Math.max(atOnce, Math.min(MAX_ROWS, most ?? tuning.chainRows));
    // enough workgroups for all of a device
    while (all > least && (unit % all !== 0 || rows / all < tuning.chainGroups)) all /= 2;
    if (unit % all !== 0 || cols % VECTOR_ELEMENTS !== 0) return undefined;
    const turnRows = Math.min(atOnce, all);
    return { rows: turnRows, turns: all / turnRows, chunk };
  }
}

/** Rows of a workgroup. */
export function rowsOf({ rows, turns }: Stage): number {
  return rows * turns;
}
