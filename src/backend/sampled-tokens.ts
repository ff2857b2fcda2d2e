import { ShapeError } from "../base/errors.ts";
import { checkAdjustments } from "./adjust-logits.ts";
import { type InFlightSample, NO_TOKEN, SAMPLED_TOKEN, type SamplingRow } from "./backend.ts";

/** Samples on the CPU, finished at once, and the last sample's tokens, which ids of the next step may refer to. */
export class SampledTokens {
  #last = new Uint32Array(0);

  readonly #vocabSize: number;

  constructor(vocabSize: number) {
    this.#vocabSize = vocabSize;
  }

  /** sampleRow: samples the token of a row from the logits of index `i`. @throws ShapeError for a row that does not fit */
  sample(rows: readonly SamplingRow[], sampleRow: (row: SamplingRow, i: number) => number): InFlightSample {
    for (const row of rows) checkAdjustments(row, this.#vocabSize);
    const tokens = Uint32Array.from(rows, sampleRow);
    this.#last = tokens;
    return { tokens: async () => tokens.slice() };
  }

  /** Replaces ids that refer to the last sample by its tokens, and `NO_TOKEN` by token 0. */
  resolve(tokenIds: Uint32Array, numRows: number): void {
    checkSampledRows(tokenIds, numRows, this.#last.length);
    for (let row = 0; row < numRows; row++) {
      const id = tokenIds[row];
      if (id < SAMPLED_TOKEN) continue;
      const sampled = this.#last[id - SAMPLED_TOKEN];
      tokenIds[row] = sampled === NO_TOKEN ? 0 : sampled;
    }
  }
}

/** @throws ShapeError when an id refers to a row beyond those of the last sample */
export function checkSampledRows(tokenIds: Uint32Array, numRows: number, sampledRows: number): void {
  for (let row = 0; row < numRows; row++) {
    const id = tokenIds[row];
    if (id >= SAMPLED_TOKEN + sampledRows)
      throw new ShapeError(
        `beginStep: row ${row} continues from row ${id - SAMPLED_TOKEN} of the last sample, which had ${sampledRows} rows`,
      );
  }
}
