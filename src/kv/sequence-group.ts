import type { PagePool } from "./page-pool.ts";
import { SequenceCache } from "./sequence-cache.ts";

/** Sizes of sequences that begin alike. */
export interface GroupSizes {
  readonly numSequences: number;
  /** Tokens of each sequence, the shared ones included. */
  readonly tokens: number;
  /** First tokens, which all sequences share; whole pages. */
  readonly sharedTokens: number;
}

/**
 * Sequences that begin alike. All their pages are reserved from the start: those of the prefix, which the caller fills once, and
 * those that the forks take afterwards.
 */
export class SequenceGroup {
  readonly prefix: SequenceCache;
  readonly #pool: PagePool;
  readonly #sizes: GroupSizes;
  /** Holds the pages of the forks until they take them. */
  readonly #spare: SequenceCache;
  #forks: readonly SequenceCache[] = [];

  /** Takes the pages. @throws RangeError if the pool lacks them */
  constructor(pool: PagePool, sizes: GroupSizes) {
    this.#pool = pool;
    this.#sizes = sizes;
    this.prefix = new SequenceCache(pool);
    this.#spare = new SequenceCache(pool);
    const { pageSize } = pool;
    const own = pagesOfGroup(pool, sizes) - pool.pagesFor(sizes.sharedTokens);
    if (!this.prefix.reserve(sizes.sharedTokens) || !this.#spare.reserve(own * pageSize))
      throw new RangeError(
        `a group of ${sizes.numSequences} sequences takes ${pagesOfGroup(pool, sizes)} pages, but ${pool.numAvailable} are free`,
      );
  }

  /** Pages that it holds; a shared one counts once. */
  get numPages(): number {
    return pagesOfGroup(this.#pool, this.#sizes);
  }

  /** Returns the sequences, which begin with the tokens of the prefix. Called once. @throws RangeError if it has others */
  fork(): readonly SequenceCache[] {
    const { numSequences, tokens, sharedTokens } = this.#sizes;
    if (this.prefix.length !== sharedTokens)
      throw new RangeError(`forking a prefix of ${this.prefix.length} tokens, expected ${sharedTokens}`);
    this.#spare.release();
    this.#forks = Array.from({ length: numSequences }, () => this.prefix.fork());
    for (const fork of this.#forks)
      if (!fork.reserve(tokens)) throw new RangeError("the reserved pages of a fork are not free");
    return this.#forks;
  }

  /** Releases all pages. Calling it twice is allowed. */
  release(): void {
    this.prefix.release();
    this.#spare.release();
    for (const fork of this.#forks) fork.release();
  }
}

/** Pages that a group takes. */
export function pagesOfGroup(
  pool: Pick<PagePool, "pagesFor">,
  { numSequences, tokens, sharedTokens }: GroupSizes,
): number {
  const shared = pool.pagesFor(sharedTokens);
  return shared + numSequences * (pool.pagesFor(tokens) - shared);
}

/** The sizes of one sequence. */
export function oneSequence(tokens: number): GroupSizes {
  return { numSequences: 1, tokens, sharedTokens: 0 };
}
