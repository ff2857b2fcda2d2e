import fc from "fast-check";
import type { StepTrace } from "lessismore";
import { describe, expect, it, test } from "vitest";
import { jaccard } from "../../../eval/metrics/jaccard.ts";
import { overlapOf } from "./overlap.ts";
import { decodeSelections, encodeSelections, type KeptSelection } from "./selection-bytes.ts";
import { SelectionLog } from "./selection-log.ts";

const positions = fc
  .uniqueArray(fc.nat(100_000), { maxLength: 300 })
  .map((all) => Uint32Array.from(all.sort((a, b) => a - b)));

test("selections survive their encoding: sets, heads and ends", () => {
  const selection = fc
    .record({
      sets: fc.array(positions, { minLength: 1, maxLength: 4 }),
      hasHeads: fc.boolean(),
      sinks: fc.option(fc.nat(9)),
    })
    .map(
      ({ sets, hasHeads, sinks }): KeptSelection => ({
        sets,
        ...(hasHeads && { heads: Int16Array.from(sets[0] ?? [], (_, i) => (i % 40) - 1) }),
        ...(sinks !== null && { ends: { sinks, recent: 3 * sinks } }),
      }),
    );
  fc.assert(
    fc.property(fc.array(selection, { maxLength: 3 }), (selections) => {
      expect(decodeSelections(encodeSelections(selections))).toEqual(selections);
    }),
    { numRuns: 300 },
  );
});

test("a set of 256 tokens in 8,000 takes at most 300 bytes", () => {
  const set = Uint32Array.from({ length: 256 }, (_, i) => 31 * i);
  expect(encodeSelections([{ sets: [set] }]).length).toBeLessThanOrEqual(300);
});

it("refuses bytes that end too soon", () => {
  expect(() => decodeSelections(Uint8Array.of(1, 0, 1, 5, 1))).toThrow("end too soon");
});

test("the overlap is that of sets", () => {
  fc.assert(
    fc.property(positions, positions, (a, b) => {
      const [left, right] = [new Set(a), new Set(b)];
      const either = new Set([...a, ...b]).size;
      const shared = [...left].filter((position) => right.has(position)).length;
      expect(jaccard(a, b)).toBeCloseTo(either === 0 ? 1 : shared / either, 12);
    }),
  );
  expect(overlapOf([Uint32Array.of(1)], [Uint32Array.of(1), Uint32Array.of(2)])).toBeUndefined();
  expect(overlapOf([Uint32Array.of(1), Uint32Array.of(2)], [Uint32Array.of(1), Uint32Array.of(3)])).toBe(0.5);
});

/** A step whose one layer attends to the set that another has made. */
function traceOf(step: number, set: Uint32Array): StepTrace {
  const selection = [set];
  return {
    ...{ step, length: step + 101, isSparse: true, numQueryHeads: 2, layerBytes: 100 },
    layers: [
      { layer: 0, role: { attends: "all", selects: true }, kvBytes: 100, selection },
      { layer: 1, role: { attends: "selected", selects: false }, kvBytes: 50, selection },
    ],
  };
}

describe("a log", () => {
  const fill = (limitBytes: number, steps: number) => {
    const log = new SelectionLog(limitBytes);
    for (let step = 0; step < steps; step++) {
      const set = Uint32Array.from({ length: 50 }, (_, i) => i + step);
      const trace = traceOf(step, set);
      log.add(trace, [{ sets: trace.layers[0]?.selection ?? [] }]);
    }
    return log;
  };

  it("gives each step with its layers and sets, and the kept one before a position that has none", () => {
    const log = fill(1 << 20, 20);
    const step = log.at(107);
    expect(step).toMatchObject({ step: 7, position: 107, isSparse: true });
    expect(step?.layers).toEqual([
      { layer: 0, attends: "all", selects: true, selection: 0 },
      { layer: 1, attends: "selected", selects: false, selection: 0 },
    ]);
    expect([...(step?.selections[0]?.sets[0] ?? [])].slice(0, 2)).toEqual([7, 8]);
    expect(log.at(99)).toBeUndefined();
    expect(log.at(1000)?.position).toBe(119);
    expect([log.neighbour(107, 1), log.neighbour(100, -1), log.neighbour(119, 5)]).toEqual([108, 100, 119]);
  });

  it("stays within its bytes by keeping every second, fourth, … step, evenly", () => {
    const log = fill(10_000, 1000);
    expect(log.sizeBytes).toBeLessThanOrEqual(10_000);
    expect(log.keptEvery).toBeGreaterThan(1);
    const kept = Array.from({ length: log.length }, (_, i) => log.at(100 + i * log.keptEvery)?.step);
    expect(kept).toEqual(Array.from({ length: log.length }, (_, i) => i * log.keptEvery));
    expect((kept.at(-1) ?? 0) + log.keptEvery).toBeGreaterThanOrEqual(1000);
  });
});
