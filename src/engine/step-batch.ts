import type { BatchGroup } from "../attention/attend.ts";
import { isSparseAt } from "../attention/attend.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { type Capacity, type ModelShape, SAMPLED_TOKEN, type StepBatch } from "../backend/backend.ts";

/** Writes a position's RoPE row: headDim/2 cos, then headDim/2 sin. */
export interface RopeWriter {
  writeRow(position: number, out: Float32Array, offset: number): void;
}

/** What a step is sized by: a backend has it. */
export interface StepSizes {
  readonly model: Pick<ModelShape, "headDim">;
  readonly capacity: Capacity;
}

/** One sequence's part in a step. */
export interface SequenceRun {
  /** Whose it is, for messages. */
  readonly name: string;
  readonly tokens: ArrayLike<number>;
  /** Row of the last draw that holds the token after `tokens`, where it is drawn but not read. */
  readonly inFlightRow?: number | undefined;
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
  groups: readonly BatchGroup[] = [];
  readonly #rope: RopeWriter;
  readonly #headDim: number;
  readonly #pageSize: number;

  constructor({ model, capacity }: StepSizes, rope: RopeWriter) {
    this.#rope = rope;
    this.#headDim = model.headDim;
    this.#pageSize = capacity.pageSize;
    this.maxPagesPerSequence = Math.ceil(capacity.maxSequenceLength / capacity.pageSize);
    this.tokenIds = new Uint32Array(capacity.maxBatchRows);
    this.slots = new Uint32Array(capacity.maxBatchRows);
    this.rope = new Float32Array(capacity.maxBatchRows * model.headDim);
    this.firstRows = new Uint32Array(capacity.maxBatchSequences);
    this.rowCounts = new Uint32Array(capacity.maxBatchSequences);
    this.lengths = new Uint32Array(capacity.maxBatchSequences);
    this.pageTables = new Uint32Array(capacity.maxBatchSequences * this.maxPagesPerSequence);
  }

  /**
   * Fills the arrays with runs that `check` takes. Runs are put in an order in which those that share a policy and attend alike stand together;
   * returns that order.
   */
  fill<Run extends SequenceRun>(runs: readonly Run[]): readonly Run[] {
    const policies = [...new Set(runs.map((run) => run.policy))];
    const rank = (run: SequenceRun) => policies.indexOf(run.policy) * 2 + Number(isSparse(run));
    const ordered = runs.length > 1 ? [...runs].sort((a, b) => rank(a) - rank(b)) : runs;
    this.numRows = 0;
    this.numSequences = 0;
    for (const run of ordered) this.#add(run);
    this.groups = groupRuns(ordered);
    return ordered;
  }

  /**
   * Refuses a run that would read a token or write a page that it does not have: the slot of a missing page is another
   * request's.
   * @throws RangeError naming the request.
   */
  check({ name, tokens, inFlightRow, pages, firstPosition, numRows }: SequenceRun): void {
    const length = firstPosition + numRows;
    const known = tokens.length + (inFlightRow === undefined ? 0 : 1);
    if (numRows < 1 || length > known)
      throw new RangeError(`${name}: a step to length ${length}, but it has ${known} tokens`);
    const pagesNeeded = Math.ceil(length / this.#pageSize);
    if (pages.length < pagesNeeded || pagesNeeded > this.maxPagesPerSequence)
      throw new RangeError(
        `${name}: a step to length ${length} needs ${pagesNeeded} pages; it has ${pages.length}, ` +
          `and a sequence can have ${this.maxPagesPerSequence}`,
      );
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
      this.tokenIds[row] = tokenOf(run, position);
      this.slots[row] = this.#slotOf(run, position);
      this.#rope.writeRow(position, this.rope, row * this.#headDim);
    }
  }

  #slotOf({ name, pages }: SequenceRun, position: number): number {
    const page = pages[Math.floor(position / this.#pageSize)];
    if (page === undefined) throw new RangeError(`${name}: there is no page for position ${position}`);
    return page * this.#pageSize + (position % this.#pageSize);
  }
}

function tokenOf({ name, tokens, inFlightRow }: SequenceRun, position: number): number {
  if (position < tokens.length) return tokens[position];
  if (position === tokens.length && inFlightRow !== undefined) return SAMPLED_TOKEN | inFlightRow;
  throw new RangeError(`${name}: there is no token at position ${position}`);
}

function isSparse(run: SequenceRun): boolean {
  return !run.isPrefill && isSparseAt(run.policy, run.firstPosition + run.numRows);
}

function groupRuns(runs: readonly SequenceRun[]): BatchGroup[] {
  const groups: BatchGroup[] = [];
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
