/** Metrics by hand. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ConfigError, type LayerTrace, openEngine, type StepTrace } from "../../src/node/index.ts";
import {
  attendedFraction,
  describeStep,
  headOverlap,
  jaccard,
  layerOverlap,
  outputError,
  recall,
  stepOverlap,
  TraceAccumulator,
  type TraceRecord,
  TraceWriter,
} from "./index.ts";

const DENSE = { attends: "all", selects: false } as const;
const REUSES = { attends: "selected", selects: false } as const;
const SELECTS = { attends: "all", selects: true } as const;
const sets = (...lists: number[][]) => lists.map((list) => Uint32Array.from(list));

/** Four heads over five tokens; two groups. */
const GROUPED: LayerTrace = {
  ...{ layer: 3, role: REUSES, kvBytes: 30 },
  selection: sets([0, 4], [1, 2, 4]),
  weights: [
    [0.5, 0.1, 0.1, 0.1, 0.2],
    [0.125, 0.125, 0.25, 0.25, 0.25],
    [0, 0.5, 0.25, 0, 0.25],
    [0.5, 0, 0, 0.5, 0],
  ].map((row) => Float32Array.from(row)),
  output: Float32Array.of(3, 4, 0, 1, 5, 5, 0, 0),
  denseOutput: Float32Array.of(3, 0, 0, 1, 5, 0, 0, 0),
};
const SHARED = sets([0, 1, 4]);
const MERGED: LayerTrace = { layer: 1, role: SELECTS, kvBytes: 100, selection: SHARED, mergeDepth: 7 };
const REUSED: LayerTrace = { layer: 2, role: REUSES, kvBytes: 20, selection: SHARED };
const STEP: StepTrace = {
  ...{ step: 16, length: 5, isSparse: true, numQueryHeads: 4, layerBytes: 100 },
  layers: [{ layer: 0, role: DENSE, kvBytes: 100 }, MERGED, REUSED, GROUPED],
};

test("recall is the dense mass on the positions of each head's group", () => {
  const values = recall(GROUPED) ?? [];
  for (const [i, value] of [0.7, 0.375, 1, 0].entries()) expect(values[i]).toBeCloseTo(value, 6);
  expect(recall(MERGED)).toBeUndefined();
});

test("the output error is relative to the dense output of each head; equal outputs have none", () => {
  expect(outputError(GROUPED, 4)).toEqual([4 / 3, 0, 1, 0]);
  expect(outputError(MERGED, 4)).toBeUndefined();
});

test.each([
  [[], [], 1],
  [[1, 2], [], 0],
  [[1, 2, 3], [2, 3, 4], 0.5],
  [[5, 9], [5, 9], 1],
  [[0, 7], [3, 8], 0],
])("the overlap of %j and %j is %d", (a, b, value) => {
  expect(jaccard(a, b)).toBe(value);
  expect(jaccard(b, a)).toBe(value);
});

test("overlaps of heads, layers and steps", () => {
  expect(headOverlap(GROUPED, 4)).toEqual([
    [1, 1, 0.25, 0.25],
    [1, 1, 0.25, 0.25],
    [0.25, 0.25, 1, 1],
    [0.25, 0.25, 1, 1],
  ]);
  expect(headOverlap(MERGED, 4)).toBeUndefined();
  const mixed = (2 * (2 / 3) + 2 * (2 / 4)) / 4; // of {0, 1, 4} with {0, 4}, and with {1, 2, 4}
  expect(layerOverlap(STEP)).toEqual([
    [null, null, null, null],
    [null, 1, 1, mixed],
    [null, 1, 1, mixed],
    [null, mixed, mixed, 1],
  ]);
  const before = {
    ...STEP,
    layers: [
      { ...MERGED, selection: sets([1, 2, 3, 4]) },
      { ...REUSED, layer: 9 },
    ],
  };
  expect(stepOverlap(STEP, before)).toEqual([null, 0.4, null, null]);
});

test("the attended fraction counts the observed layers", () => {
  expect(attendedFraction(STEP)).toBe(250 / 400);
  expect(attendedFraction({ ...STEP, layers: [REUSED] })).toBe(0.2);
  expect(attendedFraction({ ...STEP, layers: [] })).toBe(1);
});

test("a record has what the trace has, with four digits", () => {
  const record = describeStep(STEP, { attention: "a", task: "t" }, { ...STEP, layers: [MERGED] });
  expect(record).toMatchObject({
    attention: "a",
    task: "t",
    step: 16,
    position: 5,
    isSparse: true,
    kvBytes: 250,
  });
  expect(record.layers).toEqual([
    { layer: 0, attends: "all", selects: false, kvBytes: 100 },
    { layer: 1, attends: "all", selects: true, kvBytes: 100, tokens: [3], mergeDepth: 7 },
    { layer: 2, attends: "selected", selects: false, kvBytes: 20, tokens: [3] },
    {
      ...{ layer: 3, attends: "selected", selects: false, kvBytes: 30, tokens: [2, 3] },
      ...{ recall: [0.7, 0.375, 1, 0], outputError: [1.333, 0, 1, 0], headOverlap: headOverlap(GROUPED, 4) },
    },
  ]);
  expect(record.layerOverlap?.[1]).toEqual([null, 1, 1, 0.5833]);
  expect(record.stepOverlap).toEqual([null, 1, null, null]);
  const dense = describeStep(
    { ...STEP, isSparse: false, layers: STEP.layers.slice(0, 1) },
    { attention: "a" },
  );
  expect(Object.keys(dense)).not.toContain("layerOverlap");
});

test("an accumulator gives means over the steps that have a value", () => {
  const all = new TraceAccumulator("a");
  const first = describeStep(STEP, { attention: "a" });
  const merged = { ...MERGED, mergeDepth: 10 };
  const grouped = { ...GROUPED, weights: GROUPED.weights?.map(() => Float32Array.of(0, 0, 0, 0, 1)) ?? [] };
  const second = describeStep({ ...STEP, layers: [merged, REUSED, grouped] }, { attention: "a" }, STEP);
  for (const record of [first, second]) all.add(record);
  const { layers, ...rest } = all.summary;
  expect(rest).toMatchObject({ attention: "a", steps: 2, sparseSteps: 2, kvBytes: 200 });
  expect(layers.map(({ layer }) => layer)).toEqual([0, 1, 2, 3]);
  expect(layers[1]).toEqual({ layer: 1, mergeDepth: 8.5, maxMergeDepth: 10, stepOverlap: 1 });
  const mixed = 0.5833; // as rounded in both records
  expect(rest.layerOverlap).toEqual([
    [null, null, null, null],
    [null, 1, 1, mixed],
    [null, 1, 1, mixed],
    [null, mixed, mixed, 1],
  ]);
  const means = layers[3]?.recall ?? [];
  for (const [i, value] of [0.85, 0.6875, 1, 0.5].entries()) expect(means[i]).toBeCloseTo(value, 6);
  expect(new TraceAccumulator("b").summary).toMatchObject({ steps: 0, layers: [] });
});

describe("a trace file", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "trace-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  test("has one line a sampled step of each request, appended to what it had", async () => {
    const path = join(folder, "trace.jsonl");
    await writeFile(path, '{"attention":"before"}\n');
    const records: TraceRecord[] = [];
    const writer = new TraceWriter(path, { every: 4, onRecord: (record) => records.push(record) });
    const engine = await openEngine({ backend: "wasm", threads: 1, contextLength: 256 });
    const tokenIds = Array.from({ length: 60 }, (_, i) => 20 + ((i * 37) % 200));
    const attention = "less-is-more:budget=24,layers=2+7";
    for (const problemId of ["1", "2"])
      await engine
        .generate({
          ...{ tokenIds, attention, maxTokens: 10, ignoreEos: true },
          observer: writer.observe({ attention, task: "t", problemId }),
        })
        .result();
    await engine.close();
    writer.close();
    writer.close();
    const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
    expect(lines.map((line) => JSON.parse(line))).toEqual([{ attention: "before" }, ...records]);
    expect(records.map(({ problemId, step }) => [problemId, step])).toEqual(
      ["1", "2"].flatMap((id) => [0, 4, 8].map((step) => [id, step])),
    );
    for (const { step, layers, layerOverlap: overlap, stepOverlap: steps } of records) {
      expect([layers.length, overlap?.length, steps?.length]).toEqual([10, 10, step === 0 ? undefined : 10]);
      expect(layers[5]?.recall).toHaveLength(8);
      expect(layers[5]?.outputError?.every((error) => error > 0 && error < 2)).toBe(true);
    }
  });

  test("that cannot be written is a ConfigError with its path", () => {
    expect(() => new TraceWriter(folder)).toThrow(ConfigError);
    expect(() => new TraceWriter(join(folder, "no", "file"))).toThrow("opening the trace");
  });
});
