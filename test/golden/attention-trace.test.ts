/** Traces of the bundled model under LessIsMore, and their metrics, against transformers and numpy. */
import { expect, test } from "vitest";
import { layerOverlap, outputError, recall, stepOverlap } from "../../eval/metrics/attention-metrics.ts";
import type { StepTrace } from "../../src/attention/observer.ts";
import { place } from "../place/here.ts";

interface Golden {
  readonly attention: string;
  readonly from: number;
  readonly tokens: readonly number[];
  readonly steps: readonly {
    readonly layers: readonly {
      readonly layer: number;
      /** Of the first 8 tokens, by head. */
      readonly weights: readonly (readonly number[])[];
      readonly selection?: readonly number[];
      readonly recall?: readonly number[];
      readonly outputError?: readonly number[];
      readonly mergeDepth?: number;
    }[];
    readonly layerOverlap: readonly (readonly (number | null)[])[];
    readonly stepOverlap?: readonly (number | null)[];
  }[];
}

const golden = JSON.parse(await place.readText("test/golden/attention-trace.json")) as Golden;
/** f32 sums, of values below 1; golden values have six digits. */
const BOUND = 2e-5;

function expectClose(actual: readonly (number | null)[] | undefined, expected: readonly (number | null)[]): void {
  expect(actual?.length).toBe(expected.length);
  for (const [i, value] of expected.entries())
    if (value === null) expect(actual?.[i]).toBeNull();
    else expect(Math.abs((actual?.[i] ?? Number.NaN) - value)).toBeLessThan(BOUND);
}

test.each(["wasm", "reference"] as const)(`%s: selections exactly, weights, recall, errors and overlaps within ${BOUND}`, async (backend) => {
  const engine = await place.openEngine({
    ...{ model: "models/pico-reasoner", backend },
    ...{ contextLength: 256, cacheDtype: "f32" },
  });
  const seen: StepTrace[] = [];
  const { attention, from, tokens: tokenIds } = golden;
  const observer = {
    wants: ["selection", "weights", "output"] as const,
    onStep: (trace: StepTrace) => seen.push(trace),
  };
  await engine.score({ tokenIds, from, attention, observer });
  await engine.close();
  expect(seen).toHaveLength(golden.steps.length);
  for (const [s, expected] of golden.steps.entries()) {
    const trace = seen[s] as StepTrace;
    for (const [l, wanted] of expected.layers.entries()) {
      const layer = trace.layers[l] as StepTrace["layers"][number];
      expect([layer.layer, layer.mergeDepth]).toEqual([wanted.layer, wanted.mergeDepth]);
      expect(layer.selection?.map((set) => [...set])).toEqual(wanted.selection && [wanted.selection]);
      for (const [h, row] of wanted.weights.entries())
        expectClose(layer.weights?.[h] && [...layer.weights[h].subarray(0, 8)], row);
      if (wanted.recall) expectClose(recall(layer), wanted.recall);
      if (wanted.outputError) expectClose(outputError(layer, 8), wanted.outputError);
      expect(outputError(layer, 8) === undefined).toBe(wanted.outputError === undefined);
    }
    for (const [l, row] of layerOverlap(trace).entries()) expectClose(row, expected.layerOverlap[l] ?? []);
    if (expected.stepOverlap) expectClose(stepOverlap(trace, seen[s - 1] as StepTrace), expected.stepOverlap);
  }
});
