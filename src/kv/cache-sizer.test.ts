import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CacheSizer, type PoolOptions } from "./cache-sizer.ts";
import { PagePool } from "./page-pool.ts";

/** Returns a sizer on a backend that has memory for `maxPages` pages and lists its calls. `memory.pages` changes its memory. */
function sized(options: Partial<PoolOptions> = {}, maxPages = 1000) {
  const pool = new PagePool(0, 4);
  const calls: number[] = [];
  const memory = { pages: maxPages };
  const backend = {
    resizeCache: async (numPages: number) => {
      calls.push(numPages);
      return numPages <= memory.pages;
    },
  };
  const sizes = { firstPages: 10, maxPages: 100, cachePages: 100, idleMs: 50, keepMs: 200 };
  const sizer = new CacheSizer(pool, backend, { ...sizes, ...options });
  return { pool, sizer, calls, memory };
}

describe("growing", () => {
  test("adds the missing pages and a first piece, or half of its size, up to maxPages", async () => {
    const { pool, sizer, calls } = sized();
    for (const missing of [1, 1, 3, 40, 1, 1]) if (sizer.canGrow(missing)) await sizer.grow(missing);
    expect(calls).toEqual([11, 22, 35, 85, 100]);
    expect([pool.numPages, pool.numFree, sizer.canGrow(1)]).toEqual([100, 100, false]);
  });

  test("short of memory, halves the surplus down to the missing pages; tries no size twice", async () => {
    const { pool, sizer, calls } = sized({}, 36);
    for (let i = 0; i < 3; i++) await sizer.grow(1);
    expect(calls.splice(0)).toEqual([11, 22, 33]);
    await sizer.grow(2);
    expect([calls.splice(0), pool.numPages, sizer.limit]).toEqual([[50, 41, 37, 35], 35, 36]);
    expect([sizer.canGrow(2), sizer.canGrow(1)]).toEqual([false, true]);
    await sizer.grow(1);
    expect([calls, pool.numPages, sizer.canGrow(1)]).toEqual([[36], 36, false]);
  });

  test("a refusal holds for 5 seconds; then the sizer uses memory that became free, or asks once in vain", async () => {
    let time = 0;
    const { pool, sizer, calls, memory } = sized({ now: () => time }, 12);
    await sizer.grow(12);
    await sizer.grow(1);
    expect([calls.splice(0), sizer.limit, sizer.canGrow(1)]).toEqual([[22, 12, 21, 16, 14, 13], 12, false]);
    time = 4999;
    expect(sizer.canGrow(1)).toBe(false);
    time = 5000;
    expect([sizer.limit, sizer.canGrow(88), sizer.canGrow(89)]).toEqual([100, true, false]);
    await sizer.grow(1);
    expect([calls.length, pool.numPages, sizer.canGrow(1)]).toEqual([4, 12, false]);
    time = 9999;
    expect(sizer.canGrow(1)).toBe(false);
    time = 10_000;
    memory.pages = 50;
    await sizer.grow(8);
    expect([pool.numPages, sizer.limit]).toEqual([30, 100]);
  });

  test("a pool smaller than the first piece grows to its maximum at once", async () => {
    const { pool, sizer } = sized({ maxPages: 6 });
    await sizer.grow(1);
    expect([pool.numPages, sizer.canGrow(1)]).toEqual([6, false]);
  });
});

describe("idle", () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  test("calls back once after its delay; work restarts the delay", async () => {
    const { sizer } = sized();
    await sizer.grow(20);
    let idle = 0;
    const onIdle = () => {
      idle++;
    };
    sizer.idle(onIdle);
    sizer.idle(onIdle);
    vi.advanceTimersByTime(49);
    sizer.busy();
    vi.advanceTimersByTime(1000);
    expect(idle).toBe(0);
    sizer.idle(onIdle);
    vi.advanceTimersByTime(51);
    expect(idle).toBe(1);
    expect(vi.getTimerCount()).toBe(0);
  });

  test("shrinks the pool to its first piece, and may grow again", async () => {
    const { pool, sizer, calls } = sized({}, 30);
    await sizer.grow(25);
    await sizer.grow(80);
    expect(sizer.canGrow(80)).toBe(false);
    await sizer.shrink();
    expect([pool.numPages, sizer.canGrow(80), calls.at(-1)]).toEqual([10, true, 10]);
  });

  test("starts no timer for a pool of the first size", async () => {
    const { sizer } = sized();
    await sizer.grow(1);
    await sizer.shrink();
    sizer.idle(() => {});
    expect(vi.getTimerCount()).toBe(0);
  });
});
