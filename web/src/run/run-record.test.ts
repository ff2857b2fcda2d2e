import type { GenerationResult, LayerTrace, StepTrace } from "lessismore";
import { describe, expect, it, test } from "vitest";
import { RunRecord } from "./run-record.ts";

const PROMPT = [5, 6, 7, 8];

function recordWith(options: Partial<ConstructorParameters<typeof RunRecord>[0]> = {}) {
  let clock = 100;
  const record = new RunRecord({
    ...{ promptTokenIds: PROMPT, textOf: (id) => `<${id}>`, attention: "less-is-more:budget=3" },
    now: () => clock,
    ...options,
  });
  const wait = (ms: number) => {
    clock += ms;
  };
  return { record, wait };
}

function trace(step: number, sets: Readonly<Record<number, readonly number[]>>): StepTrace {
  const layers = Object.entries(sets).map(
    ([layer, set]): LayerTrace => ({
      ...{ layer: Number(layer), role: { attends: "all", selects: true }, kvBytes: 10 },
      ...{ selection: [Uint32Array.from(set)], ends: { sinks: 1, recent: 1 } },
      mergeHeads: Int16Array.from(set, (_, i) => i - 1),
    }),
  );
  return { step, length: PROMPT.length + 1 + step, isSparse: true, numQueryHeads: 2, layerBytes: 20, layers };
}

describe("a record", () => {
  it("has the prompt's tokens and the output's, with texts and origins", () => {
    const { record } = recordWith();
    record.add({ kind: "reasoning", text: "a", tokenIds: [1, 2] });
    record.add({ kind: "answer", text: "b", tokenIds: [3] });
    expect(record.length).toBe(7);
    expect([3, 4, 6, 7].map((position) => record.textAt(position))).toEqual(["<8>", "<1>", "<3>", ""]);
    expect([0, 4, 6, 7].map((position) => record.originAt(position))).toEqual([
      ...["prompt", "reasoning", "answer", undefined],
    ]);
    expect(record.answerFrom).toBe(6);
  });

  it("counts how often and how recently each token was attended, since it came", () => {
    const { record } = recordWith();
    record.observer.onStep(trace(0, { 2: [0, 2, 4], 5: [0, 3, 4] }));
    record.observer.onStep(trace(1, { 2: [0, 2, 5], 5: [0, 4, 5] }));
    expect([...record.attendedCounts]).toEqual([4, 0, 2, 1, 3, 2]);
    expect([...record.lastAttended]).toEqual([5, -1, 5, 4, 5, 5]);
    expect(record.numSets).toBe(4);
    // the token at 5 came after the first two sets
    expect([0, 1, 4, 5].map((position) => record.shareAt(position))).toEqual([1, 0, 0.75, 1]);
    expect(record.ends).toEqual({ sinks: 1, recent: 1 });
  });

  it("compares each selecting layer's set with its own last one", () => {
    const { record } = recordWith();
    record.observer.onStep(trace(0, { 2: [0, 2, 4], 5: [0, 3, 4] }));
    record.observer.onStep(trace(1, { 2: [0, 2, 5], 5: [0, 4, 5] }));
    record.observer.onStep(trace(2, { 2: [0, 2, 5], 5: [1, 3, 6] }));
    expect(
      record.overlaps.map(({ layer, positions, values }) => [
        layer,
        [...positions.view()],
        [...values.view()],
      ]),
    ).toEqual([
      [2, [5, 6], [0.5, 1]],
      [5, [5, 6], [0.5, 0]],
    ]);
  });

  it("counts a selection that layers share once, and gives who saw what in a step", () => {
    const { record } = recordWith();
    const [first] = trace(0, { 2: [0, 2, 4] }).layers;
    const shared: LayerTrace = {
      layer: 3,
      role: { attends: "selected", selects: false },
      kvBytes: 5,
      selection: first?.selection ?? [],
    };
    record.observer.onStep({ ...trace(0, {}), layers: first ? [first, shared] : [] });
    expect(record.numSets).toBe(1);
    expect(record.attendedFraction).toBe(15 / 40);
    const step = record.stepAt(4);
    expect(step?.layers.map(({ layer, selection }) => [layer, selection])).toEqual([
      [2, 0],
      [3, 0],
    ]);
    expect([...(step?.selections[0]?.heads ?? [])]).toEqual([-1, 0, 1]);
  });

  it("times tokens from the request on, those of one part evenly", () => {
    const { record, wait } = recordWith();
    wait(50);
    record.add({ kind: "reasoning", text: "a", tokenIds: [1] });
    wait(6);
    record.add({ kind: "reasoning", text: "b", tokenIds: [2, 3, 4] });
    expect(record.times.firstMs).toBe(50);
    expect([1, 2, 3].map((index) => record.times.msAt(index))).toEqual([2, 2, 2]);
    expect(record.times.meanOfLast(64)).toBe(2);
    expect(record.times.meanBetween(1, 4)).toBe(2);
    expect(() => record.restartClock()).toThrow(TypeError);
  });

  it("starts its clock again before the first token", () => {
    const { record, wait } = recordWith();
    wait(500);
    record.restartClock();
    wait(7);
    record.add({ kind: "answer", text: "a", tokenIds: [1] });
    expect(record.times.firstMs).toBe(7);
  });

  it("takes the ending token and the attended fraction of the result", () => {
    const { record } = recordWith();
    record.add({ kind: "answer", text: "a", tokenIds: [1] });
    record.finish({ tokenIds: [1, 9], attention: { attendedFraction: 0.25 } } as unknown as GenerationResult);
    expect([record.state, record.length, record.textAt(5), record.attendedFraction]).toEqual([
      "done",
      6,
      "<9>",
      0.25,
    ]);
  });

  it("tells its listeners of every change until they leave", () => {
    const { record } = recordWith();
    const versions: number[] = [];
    const leave = record.subscribe(() => versions.push(record.version));
    record.add({ kind: "answer", text: "a", tokenIds: [1] });
    record.observer.onStep(trace(0, { 2: [0, 1, 4] }));
    record.fail("stopped");
    leave();
    record.add({ kind: "answer", text: "a", tokenIds: [1] });
    expect(versions).toEqual([1, 2, 3]);
    expect([record.state, record.error]).toEqual(["failed", "stopped"]);
  });
});

test("a record of 8,000 tokens, 64 of them in each selection, takes less than 2 MiB, its selections no more than their limit", () => {
  const { record } = recordWith({ maxSelectionBytes: 1 << 20 });
  for (let step = 0; step < 8000; step++) {
    const gap = Math.max(1, Math.floor((step + PROMPT.length) / 64));
    const set = Array.from({ length: Math.min(64, step + PROMPT.length + 1) }, (_, i) => i * gap);
    record.observer.onStep(trace(step, { 2: set, 7: set }));
    record.add({ kind: "reasoning", text: "a", tokenIds: [step % 500] });
  }
  expect(record.selections.sizeBytes).toBeLessThanOrEqual(1 << 20);
  expect(record.selections.keptEvery).toBeGreaterThan(1);
  expect(record.sizeBytes).toBeLessThan(2 << 20);
  expect(record.attendedCounts[0]).toBe(16_000);
});
