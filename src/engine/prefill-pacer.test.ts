import { describe, expect, test } from "vitest";
import { type ArrivedStep, PrefillPacer } from "./prefill-pacer.ts";

/** Returns the milliseconds that a machine takes for a step of some rows at a position. */
type Cost = (numRows: number, position: number) => number;

interface Machine {
  readonly runsAhead: boolean;
  readonly prefillRows: number;
  readonly maxStallMs: number;
}

const CPU: Machine = { runsAhead: false, prefillRows: 256, maxStallMs: 250 };
const GPU: Machine = { runsAhead: true, prefillRows: 4096, maxStallMs: 50 };

/**
 * Runs a prompt on a machine, under a clock that only its steps move. On a device it records each step, in no time, at the arrival
 * of the step before the previous one: one step runs, and one is queued.
 */
function run(machine: Machine, cost: Cost, promptTokens: number, prefill: "alone" | "beside" = "alone") {
  const pacer = new PrefillPacer(machine, machine.maxStallMs);
  let [longest, steps, busyUntil, now] = [0, 0, 0, 0];
  let inFlight: ArrivedStep | undefined;
  for (let done = 0; done < promptTokens; steps++) {
    const numRows = Math.min(pacer.rows(prefill === "beside"), promptTokens - done);
    const elapsed = cost(numRows, done);
    longest = Math.max(longest, elapsed);
    busyUntil = Math.max(busyUntil, now) + elapsed;
    const step = { numRows, prefill, recordedAt: now, arrivedAt: busyUntil };
    const arrived = machine.runsAhead ? inFlight : step;
    inFlight = step;
    if (arrived) {
      pacer.arrived(arrived);
      now = Math.max(now, arrived.arrivedAt);
    }
    done += numRows;
  }
  return { longest, steps, rows: pacer.rows(prefill === "beside") };
}

describe("on the caller's thread, with or without decoding requests", () => {
  test.each<[string, Cost, number]>([
    ["a fast machine takes whole batches soon", (rows) => rows * 0.2, 18],
    ["a slow one takes what fits into the limit", (rows) => rows * 5, 120],
    ["attention that grows with the prompt", (rows, position) => rows * (0.5 + position / 1000), 80],
  ])("%s", (_, cost, mostSteps) => {
    for (const prefill of ["alone", "beside"] as const) {
      const { longest, steps } = run(CPU, cost, 4096, prefill);
      expect(longest).toBeLessThanOrEqual(250);
      expect(steps).toBeLessThanOrEqual(mostSteps);
    }
  });

  test("a chunk has at least 16 rows, even on the slowest machine", () => {
    const pacer = new PrefillPacer(CPU, 250);
    pacer.arrived({ numRows: 16, prefill: "alone", recordedAt: 0, arrivedAt: 10_000 });
    expect(pacer.rows(false)).toBe(16);
    pacer.arrived({ numRows: 16, prefill: "alone", recordedAt: 10_000, arrivedAt: 10_000 });
    expect(pacer.rows(false)).toBe(64);
  });

  test("a batch smaller than sixteen rows is the limit", () => {
    const pacer = new PrefillPacer({ runsAhead: false, prefillRows: 4 }, 250);
    expect(pacer.rows(false)).toBe(4);
    pacer.arrived({ numRows: 4, prefill: "alone", recordedAt: 0, arrivedAt: 0 });
    expect(pacer.rows(false)).toBe(4);
  });
});

describe("on a device", () => {
  /** Models an 8B model on an H200: a row costs less in large chunks, and more in later ones. */
  const h200: Cost = (rows, position) => (20 + 0.08 * rows) * (1 + position / 2e5);

  test("a prompt alone gets the proposed chunk from its fifth step on", () => {
    // each size comes twice, because the second chunk is recorded before the first has run
    expect(run(GPU, h200, 2 * 256 + 2 * 1024 + 2 * 4096).steps).toBe(6);
    expect(run(GPU, h200, 65536).rows).toBe(4096);
  });

  test("no chunk beside a decoding request takes longer than 50 ms", () => {
    const cost: Cost = (rows, position) => 5 + rows * 0.17 * (1 + position / 2e5);
    const { longest, steps } = run(GPU, cost, 16384, "beside");
    expect(longest).toBeLessThanOrEqual(50);
    expect(longest).toBeGreaterThan(35);
    expect(steps).toBeLessThan(90);
  });

  test("chunks alone do not size chunks beside decoding requests: a row costs less in large ones", () => {
    const pacer = new PrefillPacer(GPU, 50);
    let now = 0;
    const arrived = (numRows: number, ms: number, prefill: "alone" | "beside") => {
      pacer.arrived({ numRows, prefill, recordedAt: now, arrivedAt: now + ms });
      now += ms;
    };
    for (let i = 0; i < 4; i++) arrived(pacer.rows(false), pacer.rows(false) * 0.08, "alone");
    expect(pacer.rows(false)).toBe(4096);
    expect(pacer.rows(true)).toBe(64);
  });

  test("a step's time starts at the arrival of the previous step, not at its recording", () => {
    const pacer = new PrefillPacer(GPU, 50);
    // a decode step of 40 ms runs while a chunk of 64 rows is recorded, which takes 20 ms
    pacer.arrived({ numRows: 1, prefill: "none", recordedAt: 0, arrivedAt: 40 });
    pacer.arrived({ numRows: 64, prefill: "beside", recordedAt: 1, arrivedAt: 60 });
    expect(pacer.rows(true)).toBe(Math.floor((50 * 0.85) / (20 / 64)));
  });

  test("on a slow device chunks of a prompt alone take at most a second", () => {
    const { longest } = run(GPU, (rows) => rows * 3, 8192);
    expect(longest).toBeLessThanOrEqual(1000);
  });
});
