import type { AttentionGroup } from "../attention/attend.ts";
import { isSparseAt } from "../attention/attend.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { type BackendShape, DRAWN_TOKEN, type StepBatch } from "../backend/backend.ts";

/** Writes a position's RoPE row: headDim/2 cos, then headDim/2 sin. */
export interface RopeWriter {
  writeRow(position: number, out: Float32Array, offset: number): void;
}

/** One sequence's part in a step. */
export interface SequenceRun {
  readonly tokens: ArrayLike<number>;
  /** Row of the last draw that holds the token after `tokens`, where it is drawn but not read. */
  readonly unreadRow?: number | undefined;
  readonly pages: readonly number[];
  readonly firstPosition: number;
  readonly numRows: number;
  readonly isPrefill: boolean;
  readonly policy: AttentionPolicy;
}

/** The arrays of a step, made once and filled anew. */
export class StepBatchBuilder implements StepBatch {
  numRows = 0;
  numSequences = 0;
  readonly tokenIds: Uint32Array;
  readonly slots: Uint32Array;
  readonly rope: Float32Array;
  readonly firstRows: Uint32Array;
  readonly rowCounts: Uint32Array;
  readonly lengths: Uint32Array;
  readonly pageTables: Uint32Array;
  readonly maxPagesPerSequence: number;
  /** Attention groups of the step, in order of sequences. */
  groups: readonly AttentionGroup[] = [];
  readonly #rope: RopeWriter;
  readonly #headDim: number;
  readonly #pageSize: number;

  constructor(shape: BackendShape, rope: RopeWriter) {
    this.#rope = rope;
    this.#headDim = shape.headDim;
    this.#pageSize = shape.pageSize;
    this.maxPagesPerSequence = Math.ceil(shape.maxSequenceLength / shape.pageSize);
    this.tokenIds = new Uint32Array(shape.maxBatchRows);
    this.slots = new Uint32Array(shape.maxBatchRows);
    this.rope = new Float32Array(shape.maxBatchRows * shape.headDim);
    this.firstRows = new Uint32Array(shape.maxBatchSequences);
    this.rowCounts = new Uint32Array(shape.maxBatchSequences);
    this.lengths = new Uint32Array(shape.maxBatchSequences);
    this.pageTables = new Uint32Array(shape.maxBatchSequences * this.maxPagesPerSequence);
  }

  /**
   * Fills the arrays. Runs are put in an order in which those that share a policy and attend alike stand together;
   * returns that order.
   */
  fill(runs: readonly SequenceRun[]): readonly SequenceRun[] {
    const policies = [...new Set(runs.map((run) => run.policy))];
    const rank = (run: SequenceRun) => policies.indexOf(run.policy) * 2 + Number(isSparse(run));
    const ordered = runs.length > 1 ? [...runs].sort((a, b) => rank(a) - rank(b)) : runs;
    this.numRows = 0;
    this.numSequences = 0;
    for (const run of ordered) this.#add(run);
    this.groups = groupRuns(ordered);
    return ordered;
  }

  #add(run: SequenceRun): void {
    const sequence = this.numSequences++;
    this.firstRows[sequence] = this.numRows;
    this.rowCounts[sequence] = run.numRows;
    this.lengths[sequence] = run.firstPosition + run.numRows;
    this.pageTables.set(run.pages, sequence * this.maxPagesPerSequence);
    for (let i = 0; i < run.numRows; i++) {
      const position = run.firstPosition + i;
      const row = this.numRows++;
      this.tokenIds[row] = run.tokens[position] ?? DRAWN_TOKEN | (run.unreadRow ?? 0);
      const page = run.pages[Math.floor(position / this.#pageSize)] ?? 0;
      this.slots[row] = page * this.#pageSize + (position % this.#pageSize);
      this.#rope.writeRow(position, this.rope, row * this.#headDim);
    }
  }
}

function isSparse(run: SequenceRun): boolean {
  return !run.isPrefill && isSparseAt(run.policy, run.firstPosition + run.numRows);
}

function groupRuns(runs: readonly SequenceRun[]): AttentionGroup[] {
  const groups: AttentionGroup[] = [];
  runs.forEach((run, sequence) => {
    const last = groups[groups.length - 1];
    const sparse = isSparse(run);
    if (last && last.policy === run.policy && last.isSparse === sparse)
      groups[groups.length - 1] = {
        ...last,
        range: { first: last.range.first, count: last.range.count + 1 },
      };
    else groups.push({ policy: run.policy, range: { first: sequence, count: 1 }, isSparse: sparse });
  });
  return groups;
}
