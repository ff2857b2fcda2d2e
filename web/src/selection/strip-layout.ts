import { GrowingArray } from "../run/growing-array.ts";

/** Sizes of a strip: a zoom level in a width. */
export interface StripSizes {
  /** Columns of cells; a token takes one, or one a character. */
  readonly columns: number;
  /** CSS pixels of a cell, gap included. */
  readonly cellWidth: number;
  readonly rowHeight: number;
}

/** Where a token lies, in cells. */
export interface TokenPlace {
  readonly row: number;
  readonly column: number;
  readonly cells: number;
}

/**
 * Places tokens in rows of cells, from left to right, as text runs. Tokens are added at the end; earlier ones never move, so that
 * a new token costs the same at any length.
 */
export class StripLayout {
  readonly sizes: StripSizes;
  readonly #columns = new GrowingArray(new Uint32Array(1024));
  readonly #cells = new GrowingArray(new Uint32Array(1024));
  /** First position of each row. */
  readonly #rows = new GrowingArray(new Uint32Array(64));
  #next = 0;

  constructor(sizes: StripSizes) {
    this.sizes = sizes;
  }

  get length(): number {
    return this.#cells.length;
  }

  get numRows(): number {
    return this.#rows.length;
  }

  /** CSS pixels. */
  get height(): number {
    return this.numRows * this.sizes.rowHeight;
  }

  /** Places the next token. A token that is wider than a row takes the whole row. */
  add(cells: number): void {
    const { columns } = this.sizes;
    const taken = Math.max(1, Math.min(columns, cells));
    if (this.#rows.length === 0 || this.#next + taken > columns) {
      this.#rows.push(this.length);
      this.#next = 0;
    }
    this.#columns.push(this.#next);
    this.#cells.push(taken);
    this.#next += taken;
  }

  /** @throws RangeError for a position without a token */
  placeOf(position: number): TokenPlace {
    if (!(position >= 0 && position < this.length))
      throw new RangeError(`the strip has tokens 0 to ${this.length - 1}, and none at ${position}`);
    return {
      row: this.#rowOf(position),
      column: this.#columns.at(position),
      cells: this.#cells.at(position),
    };
  }

  /** The first position of a row; the number of tokens for a row after the last. */
  rowStart(row: number): number {
    return row < this.numRows ? this.#rows.at(Math.max(0, row)) : this.length;
  }

  /** The token nearest to a point, in CSS pixels from the strip's corner; undefined beside the rows. */
  positionAt(x: number, y: number): number | undefined {
    const row = Math.floor(y / this.sizes.rowHeight);
    if (!(row >= 0 && row < this.numRows)) return undefined;
    return this.nearestInRow(row, Math.floor(x / this.sizes.cellWidth));
  }

  /** The token of a row that covers a column, or the row's last one before it. */
  nearestInRow(row: number, column: number): number {
    const first = this.rowStart(row);
    let position = this.rowStart(row + 1) - 1;
    while (position > first && this.#columns.at(position) > column) position--;
    return position;
  }

  /** By position, its first column. Valid until the next `add`. */
  get columns(): Uint32Array {
    return this.#columns.view();
  }

  /** By position, its cells. Valid until the next `add`. */
  get cells(): Uint32Array {
    return this.#cells.view();
  }

  columnAt(position: number): number {
    return this.#columns.at(position);
  }

  cellsAt(position: number): number {
    return this.#cells.at(position);
  }

  #rowOf(position: number): number {
    let [low, high] = [0, this.numRows];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#rows.at(middle) <= position) low = middle + 1;
      else high = middle;
    }
    return low - 1;
  }
}

const WIDE = /[ᄀ-ᅟ⺀-꓏가-힣豈-﫿︰-﹯＀-｠￠-￦]|\p{Extended_Pictographic}/u;

/** A token's text as one line: marks in place of line ends and tabs, and of no text at all. */
export function lineOf(text: string): string {
  return text === "" ? "·" : text.replace(/\r?\n/g, "↵").replace(/\t/g, "⇥");
}

/** Cells of a line in a monospaced font: wide characters take two. */
export function cellsOf(line: string): number {
  let cells = 0;
  for (const character of line) cells += WIDE.test(character) ? 2 : 1;
  return cells;
}
