/** Time that is left for a search, and what fits into it at the pace that was measured. */
export class Pace {
  readonly #endsAt: number;
  readonly #now: () => number;
  #prefillMs = 0;
  #prefillTokens = 0;
  #decodeMs = 0;
  #rows = 0;

  /** minutes: Infinity for as long as it takes */
  constructor(minutes: number, now: () => number = () => performance.now()) {
    this.#now = now;
    this.#endsAt = now() + 60_000 * minutes;
  }

  get leftMs(): number {
    return this.#endsAt - this.#now();
  }

  /** Takes the times of a call: of its shared prompt, and of its decode steps, one row for each setting. */
  took(
    { prefillMs, decodeMs }: { readonly prefillMs: number; readonly decodeMs: number },
    { tokens, rows }: { readonly tokens: number; readonly rows: number },
  ): void {
    this.#prefillMs += prefillMs;
    this.#prefillTokens += tokens;
    this.#decodeMs += decodeMs;
    this.#rows += rows;
  }

  /**
   * How many settings fit into a share of the time that is left, at least 0; Infinity while no pace is known.
   * text: tokens of the prompt, and decode steps
   */
  settingsWithin(
    share: number,
    { tokens, steps }: { readonly tokens: number; readonly steps: number },
  ): number {
    if (this.leftMs === Number.POSITIVE_INFINITY || this.#prefillTokens === 0 || this.#rows === 0)
      return Number.POSITIVE_INFINITY;
    const prefill = (this.#prefillMs / this.#prefillTokens) * tokens;
    // One more row: full attention.
    const rows = (share * this.leftMs - prefill) / ((this.#decodeMs / this.#rows) * steps);
    return Math.max(0, Math.floor(rows) - 1);
  }
}
