/** What the selection steps take and give, beside a trial: scores written by the test, sets read back. */
import type { Scores, TokenSelection, UnitSet } from "../../src/backend/backend.ts";
import type { Trial } from "./trial.ts";

/** Scores of one sequence: [head][unit]. */
export type HeadScores = readonly ArrayLike<number>[];

/** Selection on the first sequences of a batch whose lengths are set by the scores written. */
export class SelectionTrial {
  readonly trial: Trial;
  constructor(trial: Trial) {
    this.trial = trial;
  }

  /** Begins a decode step of the lengths given; no step here reads the cache. */
  begin(lengths: readonly number[]): void {
    const { batch, backend } = this.trial;
    batch.numRows = lengths.length;
    batch.numSequences = lengths.length;
    lengths.forEach((length, s) => {
      batch.firstRows[s] = s;
      batch.rowCounts[s] = 1;
      batch.lengths[s] = length;
    });
    backend.beginStep(batch);
  }

  scores(sequences: readonly HeadScores[], unit = 1, spare = 5): Scores {
    const { backend } = this.trial;
    const heads = sequences[0].length;
    const capacity = Math.max(...sequences.flat().map((row) => row.length)) + spare;
    // Past the length stand the best scores of all: they must not be looked at.
    const values = new Float32Array(backend.capacity.maxBatchSequences * heads * capacity).fill(1e30);
    sequences.forEach((rows, s) => {
      rows.forEach((row, h) => {
        values.set(row, (s * heads + h) * capacity);
      });
    });
    const tensor = this.trial.tensor("f32", backend.capacity.maxBatchSequences, heads, capacity);
    backend.write(tensor, values);
    return { values: tensor, heads, unit };
  }

  units(groups: number, count: number, unit = 1, spare = 3): UnitSet {
    const { maxBatchSequences } = this.trial.backend.capacity;
    return { units: this.trial.tensor("u32", maxBatchSequences, groups, count + spare), groups, count, unit };
  }

  tokens(groups: number, capacity: number): TokenSelection {
    const { maxBatchSequences } = this.trial.backend.capacity;
    return {
      indices: this.trial.tensor("u32", maxBatchSequences, groups, capacity),
      counts: this.trial.tensor("u32", maxBatchSequences),
      groups,
    };
  }

  /** The units of one sequence and group, sorted: a set's order is not promised. */
  async read(set: UnitSet, sequence: number, group: number): Promise<number[]> {
    const units = await this.trial.integers(set.units);
    const start = (sequence * set.groups + group) * set.units.shape[2];
    return [...units.subarray(start, start + set.count)].sort((a, b) => a - b);
  }
}

export const ascending = (units: readonly number[]) => [...units].sort((a, b) => a - b);
