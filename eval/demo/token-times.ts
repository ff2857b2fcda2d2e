import { median } from "./median.ts";

/** Time of the decode steps whose tokens fall into a stretch of positions. */
export interface Stretch {
  /** Tokens cached at the end of the stretch. */
  readonly position: number;
  /** Median over its tokens: a collection of garbage in one of them does not move it. */
  readonly msPerToken: number;
}

/** Tokens of a stretch. */
const STRETCH_TOKENS = 256;
/** A stretch with fewer timed tokens has no time. */
const FEWEST_TOKENS = 32;

/** Notes when each token of a generation came, and tells the time of a token by its position. */
export class TokenTimes {
  readonly #promptTokens: number;
  readonly #times = new Map<number, number[]>();
  #tokens = 0;
  #last: number | undefined;

  constructor(promptTokens: number) {
    this.#promptTokens = promptTokens;
  }

  /** Notes `count` tokens that came at `now`, in ms. The first ones end the prefill and have no time of their own. */
  note(count: number, now: number): void {
    if (count === 0) return;
    if (this.#last !== undefined) {
      const stretch = Math.floor((this.#promptTokens + this.#tokens) / STRETCH_TOKENS);
      const times = this.#times.get(stretch) ?? [];
      times.push((now - this.#last) / count);
      this.#times.set(stretch, times);
    }
    this.#tokens += count;
    this.#last = now;
  }

  /** Stretches in order of position. */
  stretches(): Stretch[] {
    return [...this.#times]
      .filter(([, times]) => times.length >= FEWEST_TOKENS)
      .sort(([a], [b]) => a - b)
      .map(([stretch, times]) => ({
        position: (stretch + 1) * STRETCH_TOKENS,
        msPerToken: median(times),
      }));
  }
}

/** How many times as long a token takes in `slow` as in `fast` at the last position that both have; undefined if they share none. */
export function ratioAtEnd(
  slow: readonly Stretch[],
  fast: readonly Stretch[],
): { readonly position: number; readonly ratio: number } | undefined {
  for (const { position, msPerToken } of [...fast].reverse()) {
    const other = slow.find((stretch) => stretch.position === position);
    if (other !== undefined) return { position, ratio: other.msPerToken / msPerToken };
  }
  return undefined;
}
