import { describe, expect, it, test } from "vitest";
import { bucketMeans } from "../chart/buckets.ts";
import { RunRecord } from "../run/run-record.ts";
import { ratioAtEnd, speedPoints, speedRows } from "./speed-points.ts";

/** A run whose token `index` takes `msOf(index)`. */
function runOf(numTokens: number, msOf: (index: number) => number): RunRecord {
  let clock = 0;
  const record = new RunRecord({
    ...{ promptTokenIds: [1, 2, 3], textOf: String, attention: "full", now: () => clock },
  });
  for (let index = 0; index < numTokens; index++) {
    clock += index === 0 ? 100 : msOf(index);
    record.add({ kind: "reasoning", text: "a", tokenIds: [7] });
  }
  return record;
}

describe("the points of runs", () => {
  it("stand at the same positions, with single times and means, and end with their run", () => {
    const points = speedPoints([runOf(300, () => 2), runOf(200, (index) => index / 100)]);
    expect(points.x[0]).toBe(4); // the prompt's three, the first token, and then the first timed one
    expect(points.x).toHaveLength(299);
    expect(points.raw[0]?.every((ms) => Math.abs((ms ?? 0) - 2) < 1e-9)).toBe(true);
    expect(points.raw[1]?.[98]).toBeCloseTo(0.99, 9);
    expect(points.smooth[1]?.[98]).toBeCloseTo(0.99, 1);
    expect(points.smooth[1]?.[250]).toBeNull();
    expect(points.numAbove).toBe(0);
  });

  it("are at most 500, and an outlier does not make the chart flat", () => {
    const points = speedPoints([runOf(8000, (index) => (index === 1 ? 500 : 2))]);
    expect(points.x.length).toBeLessThanOrEqual(500);
    expect(points.numTokens).toBe(7999);
    expect(points.maxMs).toBeLessThan(30);
    expect(points.numAbove).toBe(1);
  });

  it("are none before the second token", () => {
    expect(speedPoints([runOf(1, () => 2)]).x).toEqual([]);
    expect(speedRows([runOf(1, () => 2)], 8)).toEqual([]);
  });
});

test("rows have the mean of each run in each part of the positions", () => {
  const rows = speedRows([runOf(101, () => 2), runOf(51, () => 4)], 4);
  expect(rows.map(({ from, to }) => [from, to])).toEqual([
    [4, 28],
    [29, 53],
    [54, 78],
    [79, 103],
  ]);
  expect(rows.map(({ ms }) => ms.map((one) => one && Math.round(one * 1e6) / 1e6))).toEqual([
    ...[
      [2, 4],
      [2, 4],
      [2, undefined],
      [2, undefined],
    ],
  ]);
});

test("the ratio is that of the last 64 tokens that both have", () => {
  const run = runOf(500, (index) => (index < 200 ? 1 : 100));
  expect(
    ratioAtEnd(
      run,
      runOf(200, () => 3),
    ),
  ).toBeCloseTo(3, 9);
  expect(
    ratioAtEnd(
      run,
      runOf(64, () => 3),
    ),
  ).toBeUndefined();
});

test("buckets have the mean of their values, and null without any", () => {
  expect(bucketMeans([10, 11, 12, 19], [1, 3, 5, 7], [10, 19], 5)).toEqual({
    x: [10.5, 12.5, 14.5, 16.5, 18.5],
    y: [2, 5, null, null, 7],
  });
});
