/** Limit on the work of one comparison, counted and not timed, so that a verdict is the same on every machine. */

/** About what a microsecond of arithmetic costs; 2,000,000 are reached within seconds whatever the answer says. */
export class Work {
  #left: number;

  constructor(amount = 1_000_000) {
    this.#left = amount;
  }

  /** Takes an amount; false when nothing is left. */
  spend(amount: number): boolean {
    this.#left -= amount;
    return this.#left > 0;
  }
}
