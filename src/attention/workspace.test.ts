/** The driver's memory of a policy: which handles the calls of a selection step get. */
import { describe, expect, it } from "vitest";
import type { TensorRef } from "../base/tensor-ref.ts";
import { Attention } from "./attend.ts";
import type { AttentionBackend } from "./attention-backend.ts";
import {
  type AttentionModel,
  type AttentionPolicy,
  type LayerRole,
  REUSES,
  SELECTS,
  SELECTS_FOR_ITSELF,
} from "./policy.ts";

const MODEL: AttentionModel = {
  numLayers: 4,
  numQueryHeads: 6,
  numKvHeads: 2,
  headDim: 8,
  pageSize: 16,
  defaultSelectionLayers: [1],
  defaultSelectionLayersFrom: "guess",
};
const QUERY: TensorRef = { dtype: "f32", shape: [1, 48] };

/** A backend that computes nothing and remembers its tensors and what its calls were given. */
class CountingBackend {
  readonly tensors: TensorRef[] = [];
  readonly given: object[][] = [];
  readonly calls: string[] = [];
  readonly backend: AttentionBackend;

  constructor() {
    const note =
      (name: string) =>
      (...args: readonly unknown[]) => {
        this.calls.push(name);
        this.given.push(args.filter(isHandle));
      };
    const createTensor = (dtype: TensorRef["dtype"], shape: readonly number[]) => {
      const tensor = { dtype, shape };
      this.tensors.push(tensor);
      return tensor;
    };
    this.backend = {
      capacity: { maxPages: 32, pageSize: 16, maxBatchRows: 4, maxBatchSequences: 4, maxSequenceLength: 512 },
      cacheDtype: "f32" as const,
      createTensor,
      createPageTensor: (dtype: TensorRef["dtype"], shape: readonly number[]) =>
        createTensor(dtype, [32, ...shape]),
      addPageBounds: note("addPageBounds"),
      attendAll: note("attendAll"),
      attendSelected: note("attendSelected"),
      scores: note("scores"),
      selectedScores: note("selectedScores"),
      randomScores: note("randomScores"),
      updatePageBounds: note("updatePageBounds"),
      pageScores: note("pageScores"),
      poolScores: note("poolScores"),
      topK: note("topK"),
      unitsAbove: note("unitsAbove"),
      mergeByRank: note("mergeByRank"),
      expandSelection: note("expandSelection"),
      mapHeads: note("mapHeads"),
      updateBlockKeys: note("updateBlockKeys"),
      blockScores: note("blockScores"),
      updateKeySketch: note("updateKeySketch"),
      sketchScores: note("sketchScores"),
    };
  }
}

/** Selects for itself in every layer; budgetOf: tokens of a layer in a step. */
function selecting(budgetOf: (layer: number) => number): AttentionPolicy {
  return {
    name: "selecting",
    settings: {},
    tokenBudget: 8,
    layerRole: () => SELECTS_FOR_ITSELF,
    select(selector) {
      const scores = selector.poolScores(selector.scores(), { how: "softmax-mean", heads: "kv" });
      const ends = { sinks: 0, recent: 1 };
      return selector.expandSelection(selector.topK(scores, budgetOf(selector.layer), ends), ends);
    },
  };
}

function step(attention: Attention, policy: AttentionPolicy, sequences: number): void {
  const range = { first: 0, count: sequences };
  attention.begin({ lengths: new Uint32Array(sequences).fill(300), numSequences: sequences });
  for (let layer = 0; layer < MODEL.numLayers; layer++)
    attention.attend(layer, [{ policy, range, isSparse: true }], QUERY, QUERY);
  for (const thrown of attention.takeFailures().values()) throw thrown;
}

describe("layers with budgets of their own", () => {
  it("get the same handles in every step, and different ones where budgets differ", () => {
    const counting = new CountingBackend();
    const attention = new Attention(counting.backend, MODEL);
    const policy = selecting((layer) => 10 * (layer + 1));
    step(attention, policy, 1);
    const first = counting.given.splice(0);
    const tensors = counting.tensors.length;
    step(attention, policy, 1);
    expect(counting.tensors).toHaveLength(tensors);
    expect(counting.given).toHaveLength(first.length);
    for (const [i, args] of counting.given.entries())
      for (const [k, handle] of args.entries()) expect(handle).toBe(first[i][k]);
    const sets = new Set(first.flat().filter((handle) => "units" in handle));
    expect(sets.size).toBe(MODEL.numLayers);
  });

  it("keep them when more sequences come, then give all tensors back with the policy", () => {
    const counting = new CountingBackend();
    const attention = new Attention(counting.backend, MODEL);
    const policy = selecting((layer) => 10 * (layer + 1));
    step(attention, policy, 1);
    step(attention, policy, 3);
    const tensors = counting.tensors.length;
    for (const sequences of [1, 3, 2]) step(attention, policy, sequences);
    expect(counting.tensors).toHaveLength(tensors);
    attention.forget(policy);
    const another = selecting((layer) => 10 * (layer + 1));
    step(attention, another, 3);
    expect(counting.tensors).toHaveLength(tensors);
  });
});

it("a budget that changes in every step makes tensors of few sizes", () => {
  const counting = new CountingBackend();
  const attention = new Attention(counting.backend, MODEL);
  let budget = 20;
  const policy = selecting(() => budget);
  for (; budget < 120; budget++) step(attention, policy, 1);
  expect(counting.tensors.length).toBeLessThan(30);
});

it("poolScores and scoresOf refuse other options and handles of others", () => {
  const attention = new Attention(new CountingBackend().backend, MODEL);
  const failing = (select: NonNullable<AttentionPolicy["select"]>) => () =>
    step(attention, { ...selecting(() => 4), select }, 1);
  const how: string = "mean";
  expect(
    failing((selector) => {
      selector.poolScores(selector.scores(), JSON.parse(`{ "how": "${how}", "heads": "kv" }`));
      return selector.expandSelection(undefined, { sinks: 1, recent: 1 });
    }),
  ).toThrow(/how must be softmax-mean or max, got "mean"/);
  expect(
    failing((selector) => {
      selector.poolScores(selector.scores(), JSON.parse('{ "how": "max", "heads": 2 }'));
      return selector.expandSelection(undefined, { sinks: 1, recent: 1 });
    }),
  ).toThrow(/heads must be kv or all, got 2/);
  expect(
    failing((selector) => {
      const own = selector.expandSelection(undefined, { sinks: 1, recent: 1 });
      selector.scoresOf({ ...own });
      return own;
    }),
  ).toThrow(/scoresOf: expected what an earlier call of this selection step gave/);
});

describe("head maps of reuse layers", () => {
  const headMap = [1, 0];
  const mapping = (roles: readonly LayerRole[]): AttentionPolicy => ({
    ...selecting(() => 10),
    layerRole: (layer) => roles[layer] ?? REUSES,
  });
  function calls(counting: CountingBackend): string[] {
    return counting.calls.filter((call) => call === "mapHeads" || call === "attendSelected");
  }

  it("map once for layers in a row that share a map, and anew after each selection", () => {
    const counting = new CountingBackend();
    const attention = new Attention(counting.backend, MODEL);
    const mapped = { ...REUSES, headMap };
    const policy = mapping([SELECTS, mapped, mapped, { ...REUSES, headMap: [0, 0] }]);
    for (let i = 0; i < 2; i++) {
      counting.calls.length = 0;
      step(attention, policy, 1);
      expect(calls(counting)).toEqual([
        ...["mapHeads", "attendSelected", "attendSelected", "mapHeads", "attendSelected"],
      ]);
    }
    // four layers: all tokens, then three times 11 of each kv head
    expect(attention.reads.of(0)).toBe(300 + 3 * 11);
  });

  it("need one set per kv head", () => {
    const attention = new Attention(new CountingBackend().backend, MODEL);
    const policy: AttentionPolicy = {
      ...mapping([SELECTS, { ...REUSES, headMap }]),
      select: (selector) => selector.expandSelection(undefined, { sinks: 1, recent: 1 }),
    };
    expect(() => step(attention, policy, 1)).toThrow(/one set for each of 2 kv heads, got 1/);
  });

  it.each<[string, LayerRole, RegExp]>([
    ["of a layer that selects", { ...SELECTS, headMap }, /only a layer that reuses a selection has one/],
    ["of fewer heads", { ...REUSES, headMap: [1] }, /a kv head from 0 to 1 for each of 2, got \[1\]/],
    ["of a head past the last", { ...REUSES, headMap: [0, 2] }, /a kv head from 0 to 1 for each of 2/],
  ])("%s are refused", (_, role, message) => {
    const attention = new Attention(new CountingBackend().backend, MODEL);
    expect(() => step(attention, mapping([SELECTS, role]), 1)).toThrow(message);
  });
});

function isHandle(value: unknown): value is object {
  if (typeof value !== "object" || value === null) return false;
  return "values" in value || "units" in value || "indices" in value;
}
