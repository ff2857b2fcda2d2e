import { ShapeError } from "../base/errors.ts";
import { type InFlightSample, NO_TOKEN, SAMPLED_TOKEN, type SamplingRow } from "./backend.ts";

/** Samples on the CPU, done at once, and the last sample's tokens for the ids of the next step that stand for them. */
export class SampledTokens {
  #last = new Uint32Array(0);

  /** drawToken: the token of a row, whose logits are those of index `i`. */
  draw(rows: readonly SamplingRow[], drawToken: (row: SamplingRow, i: number) => number): InFlightSample {
    const tokens = Uint32Array.from(rows, drawToken);
    this.#last = tokens;
    return { tokens: async () => tokens.slice() };
  }

  /** Replaces the ids that stand for sampled tokens by those tokens, and `NO_TOKEN` by token 0. */
  resolve(tokenIds: Uint32Array, numRows: number): void {
    checkSampledRows(tokenIds, numRows, this.#last.length);
    for (let row = 0; row < numRows; row++) {
      const id = tokenIds[row];
      if (id < SAMPLED_TOKEN) continue;
      const drawn = this.#last[id - SAMPLED_TOKEN];
      tokenIds[row] = drawn === NO_TOKEN ? 0 : drawn;
    }
  }
}

/** @throws ShapeError when an id stands for a row past those of the last sample. */
export function checkSampledRows(tokenIds: Uint32Array, numRows: number, sampledRows: number): void {
  for (let row = 0; row < numRows; row++) {
    const id = tokenIds[row];
    if (id >= SAMPLED_TOKEN + sampledRows)
      throw new ShapeError(
        `beginStep: row ${row} goes on from row ${id - SAMPLED_TOKEN} of the last draw, which had ${sampledRows} rows`,
      );
  }
}
