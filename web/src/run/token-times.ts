import { GrowingArray } from "./growing-array.ts";

/**
 * When the tokens of an output came, in milliseconds since the request began. A part with several tokens gives each an equal share
 * of its time.
 */
export class TokenTimes {
  readonly #now: () => number;
  #startedAt: number;
  readonly #at = new GrowingArray(new Float64Array(1024));

  constructor(now: () => number) {
    this.#now = now;
    this.#startedAt = now();
  }

  get length(): number {
    return this.#at.length;
  }

  get sizeBytes(): number {
    return this.#at.sizeBytes;
  }

  /** The request begins now. @throws TypeError after the first token */
  restart(): void {
    if (this.#at.length > 0)
      throw new TypeError("the clock of a run starts again only before its first token");
    this.#startedAt = this.#now();
  }

  /** `count` tokens came now. */
  add(count: number): void {
    const before = this.#at.length > 0 ? this.#at.at(this.#at.length - 1) : undefined;
    const at = this.#now() - this.#startedAt;
    const from = before ?? at;
    for (let i = 1; i <= count; i++) this.#at.push(from + ((at - from) * i) / count);
  }

  /** Milliseconds from the request to its first token; undefined before it. */
  get firstMs(): number | undefined {
    return this.#at.length > 0 ? this.#at.at(0) : undefined;
  }

  /** Milliseconds of the output's token `index`, from the one before it. NaN for the first, whose time is the prompt's. */
  msAt(index: number): number {
    return this.#at.at(index) - this.#at.at(index - 1);
  }

  /** Mean milliseconds of the last `count` tokens, or of as many as there are; undefined before the second token. */
  meanOfLast(count: number): number | undefined {
    const last = this.#at.length - 1;
    const first = Math.max(0, last - count);
    return last > first ? (this.#at.at(last) - this.#at.at(first)) / (last - first) : undefined;
  }

  /** Mean milliseconds of the tokens `from` to `to` - 1, tokens that came at once included. NaN if there are none. */
  meanBetween(from: number, to: number): number {
    const [first, last] = [Math.max(0, from - 1), Math.min(this.#at.length, to) - 1];
    return last > first ? (this.#at.at(last) - this.#at.at(first)) / (last - first) : Number.NaN;
  }
}
