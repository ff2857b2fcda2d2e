import { ShapeError } from "../base/errors.ts";
import { DRAWN_TOKEN, type Draw, type SamplingRow } from "./backend.ts";
import { sampleToken } from "./sample-token.ts";

/** Draws on the CPU, done at once, and the last draw's tokens for the ids of the next step that stand for them. */
export class DrawnTokens {
  #last = new Uint32Array(0);

  /** logitsOf: the logits of a row; overwritten where its repetition penalty is not 1. */
  draw(rows: readonly SamplingRow[], logitsOf: (row: number) => Float32Array): Draw {
    const tokens = Uint32Array.from(rows, (row, i) => sampleToken(logitsOf(i), row));
    this.#last = tokens;
    return { tokens: async () => tokens.slice() };
  }

  /** Puts drawn tokens in the place of the ids that stand for them. */
  resolve(tokenIds: Uint32Array, numRows: number): void {
    checkDrawnRows(tokenIds, numRows, this.#last.length);
    for (let row = 0; row < numRows; row++) {
      const id = tokenIds[row] ?? 0;
      if (id >= DRAWN_TOKEN) tokenIds[row] = this.#last[id - DRAWN_TOKEN] ?? 0;
    }
  }
}

/** @throws ShapeError when an id stands for a row past those of the last draw. */
export function checkDrawnRows(tokenIds: Uint32Array, numRows: number, drawnRows: number): void {
  for (let row = 0; row < numRows; row++) {
    const id = tokenIds[row] ?? 0;
    if (id >= DRAWN_TOKEN + drawnRows)
      throw new ShapeError(
        `beginStep: row ${row} goes on from row ${id - DRAWN_TOKEN} of the last draw, which had ${drawnRows} rows`,
      );
  }
}
