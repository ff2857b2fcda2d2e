/** The level of a page's title. */
const ABOVE = 1;
const LOWEST = 6;

/** Levels of an answer's headings below the page's title. They skip none, whatever depths the model chose, so that a reader can jump by them. */
export class HeadingLevels {
  readonly #depths: number[] = [];

  /** depth: number signs of the next heading */
  next(depth: number): number {
    while ((this.#depths.at(-1) ?? 0) >= depth) this.#depths.pop();
    this.#depths.push(depth);
    return Math.min(LOWEST, ABOVE + this.#depths.length);
  }
}
