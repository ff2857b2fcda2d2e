import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { PagePool } from "./page-pool.ts";
import { SequenceCache } from "./sequence-cache.ts";

test("pages follow the length; reserved pages add none", () => {
  const pool = new PagePool(4, 4);
  const cache = new SequenceCache(pool);
  expect(cache.reserve(5)).toBe(true);
  expect([cache.pages, cache.length, cache.capacity]).toEqual([[0, 1], 0, 8]);
  expect(cache.grow(8)).toBe(true);
  expect([cache.length, cache.missingPages(9), cache.missingPages(8)]).toEqual([8, 1, 0]);
  expect(cache.grow(9)).toBe(false);
  expect([cache.pages, cache.length]).toEqual([[0, 1], 8]);
  expect(cache.grow(8)).toBe(true);
  cache.release();
  cache.release();
  expect([pool.numFree, cache.length, cache.pages]).toEqual([4, 0, []]);
});

test.each([
  [11, 6, [0, 1], 6],
  [11, 8, [0, 1], 8],
  [11, 11, [0, 1, 2], 11],
  [11, 0, [], 0],
])("a sequence of %i tokens cut to %i has pages %j and length %i", (tokens, length, pages, left) => {
  const cache = new SequenceCache(new PagePool(8, 4));
  cache.grow(tokens);
  cache.truncate(length);
  expect([cache.pages, cache.length]).toEqual([pages, left]);
});

test("truncate refuses more tokens than are cached", () => {
  const cache = new SequenceCache(new PagePool(8, 4));
  cache.grow(3);
  expect(() => cache.truncate(4)).toThrow("truncating a sequence of 3 cached tokens to 4");
  expect(() => cache.truncate(Number.NaN)).toThrow(RangeError);
});

test("a fork shares full pages and starts after them", () => {
  const pool = new PagePool(8, 4);
  const cache = new SequenceCache(pool);
  cache.grow(10);
  const fork = cache.fork();
  expect([fork.pages, fork.length]).toEqual([[0, 1], 8]);
  fork.grow(2);
  expect([fork.pages, pool.numFree]).toEqual([[0, 1, 3], 4]);
  cache.release();
  expect(pool.numFree).toBe(5);
  fork.release();
  pool.checkIntegrity(0);
});

test("an owner's data cover what it marked: not a page that another sequence takes, a cut one, or another owner's", () => {
  const pool = new PagePool(4, 4);
  const [owner, other] = [{}, {}];
  const cache = new SequenceCache(pool);
  expect(cache.hasData(owner, 0)).toBe(true);
  cache.grow(6);
  expect(cache.hasData(owner, 6)).toBe(false);
  cache.markData(owner, 0);
  expect([cache.hasData(owner, 6), cache.hasData(owner, 4), cache.hasData(other, 6)]).toEqual([
    true,
    true,
    false,
  ]);
  cache.grow(1);
  expect([cache.hasData(owner, 7), cache.hasData(owner, 6)]).toEqual([false, true]);
  cache.markData(owner, 6);
  const fork = cache.fork();
  expect([fork.length, fork.hasData(owner, 4)]).toEqual([4, true]);
  cache.truncate(5);
  expect([cache.hasData(owner, 5), cache.hasData(owner, 4)]).toEqual([false, true]);
  pool.resize(6);
  expect(fork.hasData(owner, 4)).toBe(true);
  fork.release();
  cache.release();
  const next = new SequenceCache(pool);
  next.grow(4);
  expect(next.hasData(owner, 4)).toBe(false);
});

test("a sequence that is cut inside a shared page releases the page, because it must not write to it", () => {
  const pool = new PagePool(8, 4);
  const cache = new SequenceCache(pool);
  cache.grow(8);
  const fork = cache.fork();
  cache.truncate(6);
  expect([cache.pages, cache.length]).toEqual([[0], 4]);
  cache.grow(1);
  expect(cache.pages).toEqual([0, 2]);
  cache.release();
  fork.truncate(6); // the only holder now, so it may write to its page
  expect([fork.pages, fork.length]).toEqual([[0, 1], 6]);
});

describe("key bounds", () => {
  function covered(tokens: number): { pool: PagePool; cache: SequenceCache } {
    const pool = new PagePool(8, 4);
    const cache = new SequenceCache(pool);
    cache.grow(tokens);
    cache.markBoundsValid(cache.validBounds);
    return { pool, cache };
  }

  test("are valid up to 0 for a sequence that never had any, else up to the new tokens", () => {
    const cache = new SequenceCache(new PagePool(8, 4));
    cache.grow(9);
    expect(cache.validBounds).toBe(0);
    cache.markBoundsValid(0);
    expect(cache.validBounds).toBe(9);
    cache.grow(1);
    expect(cache.validBounds).toBe(9);
    cache.markBoundsValid(9);
    cache.grow(7);
    expect(cache.validBounds).toBe(10);
  });

  test("of a page that is cut inside become invalid: they cannot be cut back", () => {
    const { cache } = covered(10);
    cache.truncate(9);
    expect(cache.validBounds).toBe(8);
    cache.grow(1);
    cache.markBoundsValid(8);
    expect(cache.validBounds).toBe(10);
    cache.truncate(5);
    expect(cache.validBounds).toBe(4);
  });

  test("of another sequence's released pages are not reused", () => {
    const { pool, cache } = covered(8);
    cache.release();
    const next = new SequenceCache(pool);
    next.grow(8);
    expect([next.pages, next.validBounds]).toEqual([[0, 1], 0]);
  });

  test("are shared with forks, in both directions", () => {
    const { cache } = covered(10);
    const fork = cache.fork();
    fork.grow(1);
    expect(fork.validBounds).toBe(8);
    const plain = new SequenceCache(new PagePool(8, 4));
    plain.grow(8);
    const quest = plain.fork();
    quest.grow(1);
    expect(quest.validBounds).toBe(0);
    quest.markBoundsValid(0);
    expect([plain.validBounds, quest.validBounds]).toEqual([8, 9]);
  });
});

type Action =
  | { readonly kind: "grow" | "truncate" | "reserve"; readonly which: number; readonly tokens: number }
  | { readonly kind: "fork" | "release" | "cover"; readonly which: number }
  | { readonly kind: "resize"; readonly numPages: number };

const which = fc.nat(5);
const ACTION: fc.Arbitrary<Action> = fc.oneof(
  { weight: 5, arbitrary: fc.record({ kind: fc.constant("grow" as const), which, tokens: fc.nat(11) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("truncate" as const), which, tokens: fc.nat(30) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("reserve" as const), which, tokens: fc.nat(30) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("fork" as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("release" as const), which }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant("cover" as const), which }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("resize" as const), numPages: fc.integer({ min: 4, max: 24 }) }),
  },
);

/** Models the pool's users: the token in each slot, and the tokens in the key bounds of each page. */
class Model {
  static readonly PAGE_SIZE = 4;
  readonly pool = new PagePool(12, Model.PAGE_SIZE);
  /** Sequences with the tokens that each wrote or shares. */
  live: { readonly cache: SequenceCache; tokens: number[] }[] = [
    { cache: new SequenceCache(this.pool), tokens: [] },
  ];
  readonly #written = new Map<number, number>();
  readonly #bounds = new Map<number, number[]>();
  #next = 1;

  do(action: Action): void {
    if (action.kind === "resize") {
      this.#resize(action.numPages);
      return;
    }
    const at = action.which % Math.max(1, this.live.length);
    const one = this.live[at];
    if (!one) {
      this.live.push({ cache: new SequenceCache(this.pool), tokens: [] });
      return;
    }
    const { cache } = one;
    if (action.kind === "grow") this.#grow(one, action.tokens);
    else if (action.kind === "reserve") cache.reserve(action.tokens);
    else if (action.kind === "cover") this.#cover(one);
    else if (action.kind === "truncate") {
      const length = Math.min(action.tokens, cache.length);
      cache.truncate(length);
      expect(length - cache.length).toBeLessThan(Model.PAGE_SIZE);
      one.tokens = one.tokens.slice(0, cache.length);
    } else if (action.kind === "fork") {
      const fork = cache.fork();
      this.live.push({ cache: fork, tokens: one.tokens.slice(0, fork.length) });
    } else {
      cache.release();
      this.live.splice(at, 1);
    }
  }

  #grow(one: { readonly cache: SequenceCache; tokens: number[] }, count: number): void {
    const before = one.cache.length;
    if (!one.cache.grow(count)) {
      expect(one.cache.missingPages(before + count)).toBeGreaterThan(this.pool.numFree);
      return;
    }
    for (let position = before; position < before + count; position++) {
      expect(this.pool.holders(one.cache.pages[Math.floor(position / Model.PAGE_SIZE)] ?? -1)).toBe(1);
      this.#written.set(this.#slot(one.cache, position), this.#next);
      one.tokens.push(this.#next++);
    }
  }

  /** Updates key bounds as a backend does: extends a page from the given position, or resets it at its first token. */
  #cover({ cache, tokens }: { readonly cache: SequenceCache; readonly tokens: readonly number[] }): void {
    const from = cache.validBounds;
    for (let position = from; position < cache.length; position++) {
      const page = cache.pages[Math.floor(position / Model.PAGE_SIZE)] ?? -1;
      const token = tokens[position] ?? -1;
      const before = position % Model.PAGE_SIZE === 0 ? [] : (this.#bounds.get(page) ?? []);
      this.#bounds.set(page, [...before, token]);
    }
    cache.markBoundsValid(from);
    expect(cache.validBounds).toBe(cache.length);
    const made = cache.pages
      .slice(0, Math.ceil(cache.length / Model.PAGE_SIZE))
      .flatMap((page) => this.#bounds.get(page));
    expect(made).toEqual(tokens);
  }

  #resize(numPages: number): void {
    const held = new Set(this.live.flatMap(({ cache }) => cache.pages));
    const most = Math.max(-1, ...held);
    if (most >= numPages) expect(() => this.pool.resize(numPages)).toThrow(`page`);
    else this.pool.resize(numPages);
  }

  #slot(cache: SequenceCache, position: number): number {
    return (
      (cache.pages[Math.floor(position / Model.PAGE_SIZE)] ?? -1) * Model.PAGE_SIZE +
      (position % Model.PAGE_SIZE)
    );
  }

  check(): void {
    this.pool.checkIntegrity(new Set(this.live.flatMap(({ cache }) => cache.pages)).size);
    for (const { cache, tokens } of this.live) {
      expect(cache.length).toBe(tokens.length);
      expect(cache.capacity).toBeGreaterThanOrEqual(cache.length);
      expect(tokens.map((_, position) => this.#written.get(this.#slot(cache, position)))).toEqual(tokens);
    }
  }
}

test("after any actions of sequences, pages add up, each reads its own tokens, and key bounds are those of its tokens", () => {
  fc.assert(
    fc.property(fc.array(ACTION, { maxLength: 60, size: "max" }), (actions) => {
      const model = new Model();
      for (const action of actions) {
        model.do(action);
        model.check();
      }
      for (const { cache } of model.live) cache.release();
      model.pool.checkIntegrity(0);
    }),
    { numRuns: 200 },
  );
});
