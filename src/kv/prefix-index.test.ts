import fc from "fast-check";
import { expect, test } from "vitest";
import { PagePool } from "./page-pool.ts";
import { PrefixIndex, type PrefixPath } from "./prefix-index.ts";
import { SequenceCache } from "./sequence-cache.ts";

const PAGE = 4;
const ANY = () => true;
const NEVER = () => false;

function pathOf(tokens: readonly number[], { root = "", lineage }: { root?: string; lineage?: string } = {}) {
  const edge = (page: number) => tokens.slice(page * PAGE, (page + 1) * PAGE).join();
  const path: PrefixPath = { root, edge, lineage };
  return path;
}

/** A pool of 12 pages, its index, and sequences that fill them. */
function opened(numPages = 12) {
  const pool = new PagePool(numPages, PAGE);
  const index = new PrefixIndex(pool);
  /** Fills pages with tokens and keeps them; releases the sequence unless it is held. */
  const keep = (tokens: readonly number[], { path = pathOf(tokens), numDense = 99, isHeld = false } = {}) => {
    const cache = new SequenceCache(pool);
    expect(cache.grow(tokens.length)).toBe(true);
    const full = Math.floor(tokens.length / PAGE);
    index.keep(path, { pages: cache.pages.slice(0, full), numDense }, NEVER);
    if (!isHeld) cache.release();
    return cache;
  };
  const lengthOf = (tokens: readonly number[], path = pathOf(tokens)) =>
    index.match(path, Math.floor(tokens.length / PAGE), ANY).pages.length;
  return { pool, index, keep, lengthOf };
}

const tokens = (length: number, from = 0) => Array.from({ length }, (_, i) => from + i);

test("finds the longest run of full pages with the same tokens, and nothing in other roots", () => {
  const { index, keep, lengthOf } = opened();
  keep(tokens(11));
  expect(lengthOf(tokens(16))).toBe(2);
  expect(lengthOf([...tokens(4), 9, 9, 9, 9])).toBe(1);
  expect(lengthOf([...tokens(3), 9])).toBe(0);
  expect(index.match(pathOf(tokens(8)), 1, ANY).pages).toEqual([0]);
  expect(index.match(pathOf(tokens(8)), 2, (page) => page !== 1).pages).toEqual([0]);
  expect(lengthOf(tokens(8), pathOf(tokens(8), { root: "other" }))).toBe(0);
});

test("tokens that read alike are not alike", () => {
  const { keep, lengthOf } = opened();
  keep([1, 23, 4, 5]);
  expect(lengthOf([12, 3, 4, 5])).toBe(0);
  expect(lengthOf([1, 23, 4, 5])).toBe(1);
});

test("a page is evicted after those that follow it, and the least recently used first", () => {
  const { pool, keep, lengthOf } = opened();
  keep(tokens(12));
  keep(tokens(12, 100));
  const again = new SequenceCache(pool);
  again.adopt([0, 1, 2]);
  again.release();
  expect([pool.counts, lengthOf(tokens(12)), lengthOf(tokens(12, 100))]).toEqual([
    { free: 6, held: 0, cached: 6, total: 12 },
    3,
    3,
  ]);
  keep(tokens(28, 200));
  expect([lengthOf(tokens(12)), lengthOf(tokens(12, 100))]).toEqual([3, 2]);
  pool.checkIntegrity(0);
});

test("a held page is never evicted; when the last holder leaves it is cached", () => {
  const { pool, keep } = opened(4);
  const cache = keep(tokens(12), { isHeld: true });
  expect([pool.numAvailable, pool.take(2)]).toEqual([1, undefined]);
  expect(pool.counts).toEqual({ free: 1, held: 3, cached: 0, total: 4 });
  cache.release();
  expect(pool.counts).toEqual({ free: 1, held: 0, cached: 3, total: 4 });
  expect(pool.take(4)).toEqual([0, 1, 2, 3]);
  expect(pool.counts).toEqual({ free: 0, held: 4, cached: 0, total: 4 });
});

test("the same tokens in other pages stay out of the tree, unless they are better", () => {
  const { pool, index, keep } = opened();
  keep(tokens(8));
  const other = keep(tokens(8), { isHeld: true });
  expect(index.match(pathOf(tokens(8)), 2, ANY).pages).toEqual([0, 1]);
  index.keep(pathOf(tokens(8)), { pages: other.pages, numDense: 2 }, (page, kept) => page > kept);
  expect(index.match(pathOf(tokens(8)), 2, ANY).pages).toEqual(other.pages);
  expect(pool.counts).toEqual({ free: 10, held: 2, cached: 0, total: 12 });
  other.release();
  pool.checkIntegrity(0);
});

test("if a page is evicted before those that follow it, they leave the tree, and held ones stay with their sequences", () => {
  const { pool, index, keep, lengthOf } = opened();
  keep(tokens(8));
  const longer = keep(tokens(16), { isHeld: true }); // its own first two pages stay out of the tree
  expect(lengthOf(tokens(16))).toBe(4);
  index.evict(0);
  expect([lengthOf(tokens(16)), pool.counts]).toEqual([0, { free: 8, held: 4, cached: 0, total: 12 }]);
  longer.release();
  expect(pool.numFree).toBe(12);
  expect(() => index.evict(0)).toThrow("evicting page 0: the prefix index does not have it");
});

test("decoded pages, and all after them, are found under their lineage alone; a longer way wins", () => {
  const { keep, index, lengthOf } = opened();
  const all = tokens(16);
  keep(all, { path: pathOf(all, { lineage: "quest" }), numDense: 2 });
  expect(lengthOf(all)).toBe(2);
  expect(lengthOf(all, pathOf(all, { lineage: "full" }))).toBe(2);
  expect(index.match(pathOf(all, { lineage: "quest" }), 4, ANY)).toEqual({
    pages: [0, 1, 2, 3],
    numDense: 2,
  });
  keep(tokens(12)); // prefill of one more page
  expect(index.match(pathOf(all), 4, ANY)).toEqual({ pages: [0, 1, 6], numDense: 3 });
  expect(index.match(pathOf(all, { lineage: "quest" }), 4, ANY).pages).toEqual([0, 1, 2, 3]);
});

test("clearing frees every cached page and forgets every root", () => {
  const { pool, index, keep, lengthOf } = opened();
  for (let i = 0; i < 5; i++) keep(tokens(8), { path: pathOf(tokens(8), { root: `salt ${i}` }) });
  const held = keep(tokens(4, 50), { isHeld: true });
  index.clear();
  expect(pool.counts).toEqual({ free: 11, held: 1, cached: 0, total: 12 });
  expect(lengthOf(tokens(8), pathOf(tokens(8), { root: "salt 1" }))).toBe(0);
  held.release();
  pool.checkIntegrity(0);
});

test("a pool that shrinks evicts what it loses, and keeps the rest", () => {
  const { pool, keep, lengthOf } = opened();
  keep(tokens(24));
  expect(pool.numUsed).toBe(6);
  pool.resize(4);
  expect([lengthOf(tokens(24)), pool.counts]).toEqual([4, { free: 0, held: 0, cached: 4, total: 4 }]);
  pool.resize(8);
  keep(tokens(16, 60));
  expect([lengthOf(tokens(24)), pool.counts]).toEqual([4, { free: 0, held: 0, cached: 8, total: 8 }]);
});

test("a kept page that nobody else holds is not written to", () => {
  const { pool, keep } = opened();
  const cache = keep(tokens(8), { isHeld: true });
  cache.truncate(6);
  expect([cache.length, cache.pages]).toEqual([4, [0]]);
  cache.release();
  expect(pool.counts).toEqual({ free: 10, held: 0, cached: 2, total: 12 });
});

const PROMPT = fc.array(fc.constantFrom(1, 2), { minLength: 1, maxLength: 20 });
type Action =
  | { readonly kind: "start"; readonly prompt: readonly number[]; readonly root: string }
  | { readonly kind: "end"; readonly which: number }
  | { readonly kind: "resize"; readonly numPages: number };
const ACTION: fc.Arbitrary<Action> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      kind: fc.constant("start" as const),
      prompt: PROMPT,
      root: fc.constantFrom("a", "b"),
    }),
  },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant("end" as const), which: fc.nat(9) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant("resize" as const), numPages: fc.integer({ min: 1, max: 24 }) }),
  },
);

test("after any requests, pages add up, and every page that one finds holds its tokens after the same ones of the same root", () => {
  fc.assert(
    fc.property(fc.array(ACTION, { maxLength: 60, size: "max" }), (actions) => {
      const pool = new PagePool(12, PAGE);
      const index = new PrefixIndex(pool);
      /** What was written to each page: all tokens of its sequence up to its end, and the root. */
      const written = new Map<number, string>();
      const live: SequenceCache[] = [];
      for (const action of actions) {
        if (action.kind === "resize") {
          const held = Math.max(-1, ...live.flatMap(({ pages }) => pages));
          if (held < action.numPages) pool.resize(action.numPages);
        } else if (action.kind === "end") live.splice(action.which, 1)[0]?.release();
        else {
          const { prompt, root } = action;
          const path = pathOf(prompt, { root });
          const contentOf = (page: number) => `${root} ${prompt.slice(0, (page + 1) * PAGE).join()}`;
          const { pages } = index.match(path, Math.floor(prompt.length / PAGE), ANY);
          for (const [i, page] of pages.entries()) expect(written.get(page)).toBe(contentOf(i));
          const cache = new SequenceCache(pool);
          cache.adopt(pages);
          if (!cache.grow(prompt.length - cache.length)) {
            cache.release();
            continue;
          }
          live.push(cache);
          for (let i = pages.length; i < cache.pages.length; i++)
            written.set(cache.pages[i] ?? -1, contentOf(i));
          const full = Math.floor(prompt.length / PAGE);
          index.keep(path, { pages: cache.pages.slice(0, full), numDense: full }, NEVER);
        }
        pool.checkIntegrity(new Set(live.flatMap(({ pages }) => pages)).size);
      }
      for (const cache of live) cache.release();
      index.clear();
      expect(pool.numFree).toBe(pool.numPages);
    }),
    { numRuns: 300 },
  );
});
