import type { BatchGroup } from "../attention/attend.ts";
import { budgetAt, isSparseAt } from "../attention/budget.ts";
import type { AttentionPolicy } from "../attention/policy.ts";
import { type Capacity, type ModelShape, SAMPLED_TOKEN, type StepBatch } from "../backend/backend.ts";

/**
 * Writes the RoPE row of a position: headDim/2 cos, then headDim/2 sin. longest: the most positions that the sequence can
 * reach, which some RoPEs depend on; it must not change while keys of the sequence are cached.
 */
export interface RopeWriter {
  writeRow(position: number, out: Float32Array, offset: number, longest?: number): void;
  /** Names what `longest` decides: sequences of different names have different keys. Absent: nothing. */
  rangeOf?(longest: number): string;
}

/** Sizes of a step; every backend has them. */
export interface StepSizes {
  readonly model: Pick<ModelShape, "headDim" | "numRopes">;
  readonly capacity: Capacity;
}

/** The rows of one request in a step. They take one sequence of the batch. */
export interface SequenceRun {
  /** Names the request in messages. */
  readonly name: string;
  readonly tokens: ArrayLike<number>;
  /** Row of the sample in flight that holds the token after `tokens`; undefined if the host has all tokens. */
  readonly inFlightRow?: number | undefined;
  readonly pages: readonly number[];
  readonly firstPosition: number;
  readonly numRows: number;
  /** First position without valid key bounds. Default: `firstPosition`. */
  readonly validBounds?: number | undefined;
  /** The most positions that the sequence can reach. Default: those of its tokens. */
  readonly longest?: number;
  readonly isPrefill: boolean;
  readonly policy: AttentionPolicy;
}

/** The arrays of a step. Allocates them once and refills them for each step. */
export class StepBatchBuilder implements StepBatch {
  numRows = 0;
  numSequences = 0;
  readonly tokenIds: Uint32Array;
  readonly slots: Uint32Array;
  readonly rope: Float32Array;
  readonly firstRows: Uint32Array;
  readonly rowCounts: Uint32Array;
  readonly lengths: Uint32Array;
  readonly validBounds: Uint32Array;
  readonly pageTables: Uint32Array;
  readonly maxPagesPerSequence: number;
  /** Batch groups of the step, in order of sequences. */
  groups: readonly BatchGroup[] = [];
  /** Of each sequence: tokens of its sparse layers, or DENSE. */
  readonly #budgets: number[] = [];
  readonly #ropes: readonly RopeWriter[];
  /** Elements of one table of `rope`. */
  readonly #ropeTable: number;
  readonly #headDim: number;
  readonly #pageSize: number;

  constructor({ model, capacity }: StepSizes, ropes: readonly RopeWriter[]) {
    this.#ropes = ropes;
    this.#ropeTable = capacity.maxBatchRows * model.headDim;
    this.#headDim = model.headDim;
    this.#pageSize = capacity.pageSize;
    this.maxPagesPerSequence = Math.ceil(capacity.maxSequenceLength / capacity.pageSize);
    this.tokenIds = new Uint32Array(capacity.maxBatchRows);
    this.slots = new Uint32Array(capacity.maxBatchRows);
    this.rope = new Float32Array(model.numRopes * this.#ropeTable);
    this.firstRows = new Uint32Array(capacity.maxBatchSequences);
    this.rowCounts = new Uint32Array(capacity.maxBatchSequences);
    this.lengths = new Uint32Array(capacity.maxBatchSequences);
    this.validBounds = new Uint32Array(capacity.maxBatchSequences);
    this.pageTables = new Uint32Array(capacity.maxBatchSequences * this.maxPagesPerSequence);
  }

  /**
   * Fills the arrays with runs that `check` accepts. Orders them so that runs of one batch group are neighbours; returns that order.
   */
  fill<Run extends SequenceRun>(runs: readonly Run[]): readonly Run[] {
    const ordered = runs.length > 1 ? inGroups(runs) : runs;
    this.numRows = 0;
    this.numSequences = 0;
    this.#budgets.length = ordered.length;
    for (let s = 0; s < ordered.length; s++) this.#add(ordered[s] as Run);
    if (!this.#isGroupedAs(ordered)) this.groups = groupRuns(ordered, this.#budgets);
    return ordered;
  }

  /** Returns true if the groups of the last step are those of this one. */
  #isGroupedAs(runs: readonly SequenceRun[]): boolean {
    let end = 0;
    for (let g = 0; g < this.groups.length; g++) {
      const { policy, range, budget } = this.groups[g] as BatchGroup;
      end = range.first + range.count;
      if (end > runs.length) return false;
      for (let s = range.first; s < end; s++)
        if (runs[s]?.policy !== policy || this.#budgets[s] !== budget) return false;
      const isSplit = runs[end]?.policy === policy && this.#budgets[end] === budget;
      if (end < runs.length && isSplit) return false;
    }
    return end === runs.length;
  }

  /**
   * Refuses a run that lacks a token or a page. A write without a page would reach a slot of another request.
   * @throws RangeError that names the request
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
    this.validBounds[sequence] = run.validBounds ?? run.firstPosition;
    this.#budgets[sequence] = budgetOf(run);
    const { pages, longest = run.tokens.length } = run;
    const table = sequence * this.maxPagesPerSequence;
    const numPages = Math.ceil(this.lengths[sequence] / this.#pageSize);
    for (let i = 0; i < numPages; i++) this.pageTables[table + i] = pages[i];
    for (let i = 0; i < run.numRows; i++) {
      const position = run.firstPosition + i;
      const row = this.numRows++;
      this.tokenIds[row] = tokenOf(run, position);
      this.slots[row] = this.#slotOf(run, position);
      for (let i = 0; i < this.#ropes.length; i++)
        this.#ropes[i]?.writeRow(position, this.rope, i * this.#ropeTable + row * this.#headDim, longest);
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

/** The budget of a run that attends to all. */
const DENSE = 0;

/** Tokens of the run's sparse layers in this step, or DENSE. */
function budgetOf({ policy, isPrefill, firstPosition, numRows }: SequenceRun): number {
  const length = firstPosition + numRows;
  return !isPrefill && isSparseAt(policy, length) ? budgetAt(policy, length) : DENSE;
}

/** Sorts runs by policy, in the order of first runs, and those of a policy by their budgets, dense ones first. */
function inGroups<Run extends SequenceRun>(runs: readonly Run[]): readonly Run[] {
  const policies = [...new Set(runs.map(({ policy }) => policy))];
  const placed = runs.map((run) => ({ run, policy: policies.indexOf(run.policy), budget: budgetOf(run) }));
  return placed.sort((a, b) => a.policy - b.policy || a.budget - b.budget).map(({ run }) => run);
}

/** runs: in the order of `inGroups` */
function groupRuns(runs: readonly SequenceRun[], budgets: readonly number[]): BatchGroup[] {
  const groups: BatchGroup[] = [];
  let part = 0;
  for (let first = 0; first < runs.length; ) {
    const policy = (runs[first] as SequenceRun).policy;
    const budget = budgets[first] ?? DENSE;
    let end = first + 1;
    while (end < runs.length && runs[end]?.policy === policy && budgets[end] === budget) end++;
    if (runs[first - 1]?.policy !== policy) part = 0;
    const isSparse = budget !== DENSE;
    groups.push({
      policy,
      range: { first, count: end - first },
      isSparse,
      budget,
      part: isSparse ? part++ : 0,
    });
    first = end;
  }
  return groups;
}
