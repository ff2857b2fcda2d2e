import { expect, test } from "vitest";
import { decodeRate } from "./throughput.ts";

const stream = (arrivals: readonly number[], completionTokens = arrivals.length) => ({
  arrivals,
  completionTokens,
});

test("the rate of decoding counts from the last first token to the first end, and several tokens an event", () => {
  expect(decodeRate([stream([0, 100, 200, 300, 400])])).toBeCloseTo(10);
  // from 200, when the second stream begins, to 400, when the first ends
  expect(
    decodeRate([stream([0, 100, 200, 300, 400]), stream([200, 250, 300, 350, 400, 450, 500])]),
  ).toBeCloseTo(30);
  expect(decodeRate([stream([0, 100, 200, 300, 400], 10)])).toBeCloseTo(20);
  // no time at which both decode
  expect(decodeRate([stream([0, 100]), stream([200, 300])])).toBeNaN();
});
