/** Inputs and outputs of selection ops: scores that the test writes, and sets that it reads back. */
import type { Scores, TokenSelection, UnitSet } from "../../src/backend/backend.ts";
import type { Trial } from "./trial.ts";

/** Scores of one sequence: [head][unit]. */
export type HeadScores = readonly ArrayLike<number>[];

/** Selection on the first sequences of a batch, with lengths and scores from the test. */
export class SelectionTrial {
  readonly trial: Trial;
  constructor(trial: Trial) {
    this.trial = trial;
  }

  /** Begins a decode step of the given lengths. The ops under test do not read the cache. */
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
    // the highest scores lie past the length, where no op may read
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

  units(headGroups: number, count: number, unit = 1, spare = 3): UnitSet {
    const { maxBatchSequences } = this.trial.backend.capacity;
    return {
      units: this.trial.tensor("u32", maxBatchSequences, headGroups, count + spare),
      headGroups,
      count,
      unit,
    };
  }

  tokens(headGroups: number, capacity: number): TokenSelection {
    const { maxBatchSequences } = this.trial.backend.capacity;
    return {
      indices: this.trial.tensor("u32", maxBatchSequences, headGroups, capacity),
      counts: this.trial.tensor("u32", maxBatchSequences, headGroups),
      headGroups,
    };
  }

  /** Reads the units of one sequence and head group, sorted, since the contract leaves their order open. */
  async read(set: UnitSet, sequence: number, group: number): Promise<number[]> {
    const units = await this.trial.integers(set.units);
    const start = (sequence * set.headGroups + group) * set.units.shape[2];
    return [...units.subarray(start, start + set.count)].sort((a, b) => a - b);
  }
}

export const ascending = (units: readonly number[]) => [...units].sort((a, b) => a - b);
