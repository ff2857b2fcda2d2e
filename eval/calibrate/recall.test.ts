/** Recall between layers, against the runs of single selection layers: a small checkpoint, on the CPU. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { type Engine, openEngine, type StepTrace } from "../../src/node/index.ts";
import { repositoryPath } from "../../test/golden/open-fixture.ts";
import { recall as recallOf } from "../metrics/index.ts";
import { Pace } from "./pace.ts";
import { traceRecall } from "./recall.ts";

const BUDGET = 16;
const layers = Array.from({ length: 10 }, (_, layer) => layer);
const signal = new AbortController().signal;
let engine: Engine;
/** One decode step, so that every run has the same cache. */
let text: { tokenIds: number[]; from: number };

beforeAll(async () => {
  engine = await openEngine({
    model: repositoryPath("models/pico-reasoner"),
    backend: "wasm",
    contextLength: 512,
  });
  const tokenIds = engine.tokenizer.encode("a = 1\nb = a + 2\nc = b - a\n".repeat(20)).slice(0, 120);
  text = { tokenIds, from: 118 };
});
afterAll(() => engine.close());

const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;

it.each([
  "less-is-more",
  "tidal-decode",
])("of %s is what the next layer finds in a selection", async (policy) => {
  const { shares } = await traceRecall(engine, text, {
    ...{ policy, tokenBudget: BUDGET, layers, numKvHeads: 2, signal, pace: new Pace(1) },
  });
  for (const layer of [2, 6]) {
    const traces: StepTrace[] = [];
    // The layer after the only selection layer has the same input as under full attention.
    await engine.score({
      ...{ ...text, attention: `${policy}:budget=${BUDGET},layers=${layer}` },
      observer: { wants: ["selection", "weights"], onStep: (trace) => traces.push(trace) },
    });
    const next = traces[0]?.layers[layer + 1];
    expect(next?.role).toMatchObject({ attends: "selected", selects: false });
    expect(shares[layer]?.[layer + 1]).toBeCloseTo(mean(next ? (recallOf(next) ?? []) : []), 4);
  }
  expect(shares[6]?.[2]).toBe(0);
  for (const [a, row] of shares.entries())
    for (const share of row.slice(a)) {
      expect(share).toBeGreaterThan(0);
      expect(share).toBeLessThanOrEqual(1.0001);
    }
});

it("of kascade compares kv heads: a head finds all of its own best tokens", async () => {
  const { shares, heads } = await traceRecall(engine, text, {
    ...{ policy: "kascade", tokenBudget: BUDGET, layers, numKvHeads: 2, signal, pace: new Pace(1) },
  });
  for (const layer of layers) {
    expect(shares[layer]?.[layer]).toBeCloseTo(1);
    expect(heads?.[layer]?.[layer]?.map((row, head) => row[head])).toEqual([1, 1]);
  }
  expect(shares[5]?.[3]).toBe(0);
});
