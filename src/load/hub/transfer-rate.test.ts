import { expect, test } from "vitest";
import { TransferRate } from "./transfer-rate.ts";

test("the rate is that of the last seconds, and tells the time left", () => {
  let now = 0;
  const rate = new TransferRate(() => now);
  expect([rate.perSecond, rate.secondsFor(100)]).toEqual([0, undefined]);
  for (let second = 0; second < 60; second++) {
    now += 1000;
    rate.add(second < 30 ? 100 : 1000); // It becomes ten times as fast.
  }
  expect(rate.perSecond).toBeCloseTo(1000, 5);
  expect(rate.secondsFor(5000)).toBeCloseTo(5, 5);
  now += 92_000; // Nothing comes.
  expect(rate.perSecond).toBeLessThan(100);
});
