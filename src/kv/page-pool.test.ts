import { expect, test } from "vitest";
import { PagePool } from "./page-pool.ts";

test("take returns the lowest free pages first, released ones included", () => {
  const pool = new PagePool(6, 4);
  expect(pool.take(3)).toEqual([0, 1, 2]);
  expect(pool.take(2)).toEqual([3, 4]);
  pool.release([1]);
  pool.release([3]);
  expect(pool.numFree).toBe(3);
  expect(pool.take(3)).toEqual([1, 3, 5]);
});

test("take of more pages than are free returns undefined and takes none", () => {
  const pool = new PagePool(3, 4);
  pool.take(2);
  expect(pool.take(2)).toBeUndefined();
  expect(pool.numFree).toBe(1);
  expect(pool.take(0)).toEqual([]);
});

test("a page becomes free when its last holder releases it", () => {
  const pool = new PagePool(2, 4);
  const pages = pool.take(2) ?? [];
  pool.retain(pages, 1);
  pool.release(pages);
  expect([pool.numFree, pool.holders(0), pool.holders(1)]).toEqual([1, 1, 0]);
  pool.release([0]);
  expect(pool.numFree).toBe(2);
});

test("releasing or retaining a free page is an error that names it", () => {
  const pool = new PagePool(2, 4);
  expect(() => pool.release([1])).toThrow("releasing page 1 of 2: nobody holds it");
  expect(() => pool.retain([7])).toThrow("retaining page 7 of 2: nobody holds it");
});

test("a page that the pool does not have is an error, not a page without holders or bounds", () => {
  const pool = new PagePool(2, 4);
  expect(() => pool.holders(2)).toThrow("there is no page 2: the KV pool has 2 pages");
  for (const use of [
    () => pool.bounds.valid(2),
    () => pool.bounds.markValid(2, 1),
    () => pool.bounds.forget(2),
  ])
    expect(use).toThrow("key bounds: there is no page 2, the KV pool has 2");
});

test("key bounds may be valid for a page of more than 65535 tokens", () => {
  const pool = new PagePool(1, 65536);
  pool.bounds.markValid(0, 65536);
  expect(pool.bounds.valid(0)).toBe(65536);
});

test.each([
  [0, 0],
  [1, 1],
  [4, 1],
  [5, 2],
])("%i tokens fill %i pages of 4", (tokens, pages) => {
  expect(new PagePool(8, 4).pagesFor(tokens)).toBe(pages);
});

test("resize keeps pages when it grows the pool, and refuses to drop a held page", () => {
  const pool = new PagePool(2, 4);
  pool.take(2);
  pool.resize(5);
  expect([pool.numPages, pool.numFree]).toEqual([5, 3]);
  expect(pool.take(1)).toEqual([2]);
  pool.release([1]);
  expect(() => pool.resize(2)).toThrow("shrinking the KV pool from 5 to 2 pages: page 2 is held");
  pool.resize(3);
  expect([pool.numPages, pool.numFree]).toEqual([3, 1]);
  expect(pool.take(1)).toEqual([1]);
});

test("the integrity check throws for a leaked page", () => {
  const pool = new PagePool(3, 4);
  pool.checkIntegrity(0);
  pool.take(1);
  pool.checkIntegrity(1);
  expect(() => pool.checkIntegrity(0)).toThrow(
    "the KV pool of 3 pages does not add up: 2 are free, 2 were counted as free, 0 should be held",
  );
});

test("a taken page has no valid key bounds; growth keeps those of other pages", () => {
  const pool = new PagePool(2, 4);
  pool.take(2);
  pool.bounds.markValid(0, 4);
  pool.bounds.markValid(1, 3);
  pool.resize(4);
  expect([0, 1, 2].map((page) => pool.bounds.valid(page))).toEqual([4, 3, 0]);
  pool.release([1]);
  pool.take(1);
  expect([0, 1].map((page) => pool.bounds.valid(page))).toEqual([4, 0]);
});
