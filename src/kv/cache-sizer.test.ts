import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { CacheSizer, type PoolOptions } from "./cache-sizer.ts";
import { PagePool } from "./page-pool.ts";

/** A sizer on a backend with memory for `most` pages, which notes each call. */
function sized(options: Partial<PoolOptions> = {}, most = 1000) {
  const pool = new PagePool(0, 4);
  const calls: number[] = [];
  const backend = {
    resizeCache: async (numPages: number) => {
      calls.push(numPages);
      return numPages <= most;
    },
  };
  const sizer = new CacheSizer(pool, backend, { firstPages: 10, maxPages: 100, idleMs: 50, ...options });
  return { pool, sizer, calls };
}

describe("growing", () => {
  test("takes the first piece, then half as much again or a piece, as much as is needed, up to the most", async () => {
    const { pool, sizer, calls } = sized();
    for (const missing of [1, 1, 3, 40, 1, 1]) if (sizer.canGrow(missing)) await sizer.grow(missing);
    expect(calls).toEqual([10, 20, 30, 70, 100]);
    expect([pool.numPages, pool.numFree, sizer.canGrow(1)]).toEqual([100, 100, false]);
  });

  test("where memory ends, takes half of what it wanted, and half of that, then nothing; no size is tried twice", async () => {
    const { pool, sizer, calls } = sized({}, 33);
    for (let i = 0; i < 3; i++) await sizer.grow(8);
    expect(calls.splice(0)).toEqual([10, 20, 30]);
    await sizer.grow(1);
    expect([calls.splice(0), pool.numPages, sizer.limit]).toEqual([[45, 37, 33], 33, 36]);
    expect([sizer.canGrow(4), sizer.canGrow(3)]).toEqual([false, true]);
    await sizer.grow(1);
    expect([calls, pool.numPages, sizer.canGrow(1), sizer.limit]).toEqual([[36, 34], 33, false, 33]);
  });

  test("a pool smaller than a piece is one piece", async () => {
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

  test("after its delay it says so, once; work puts it off", async () => {
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

  test("the pool shrinks to its first piece, and may try to grow again", async () => {
    const { pool, sizer, calls } = sized({}, 30);
    await sizer.grow(25);
    await sizer.grow(80);
    expect(sizer.canGrow(80)).toBe(false);
    await sizer.shrink();
    expect([pool.numPages, sizer.canGrow(80), calls.at(-1)]).toEqual([10, true, 10]);
  });

  test("there is nothing to wait for where there is nothing to give back", async () => {
    const { sizer } = sized();
    await sizer.grow(1);
    sizer.idle(() => {});
    expect(vi.getTimerCount()).toBe(0);
  });
});
