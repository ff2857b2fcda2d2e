import { expect, it } from "vitest";
import { bindAttention, firstNamed } from "./bind-attention.ts";
import { formatAttention, parseAttention } from "./spec.ts";

const MODEL = {
  ...{ numLayers: 10, numQueryHeads: 4, numKvHeads: 2, headDim: 8, pageSize: 16 },
  ...{ defaultSelectionLayers: [2, 7], defaultSelectionLayersFrom: "guess" as const },
};

it.each([
  "full",
  "less-is-more:budget=64,recency=0.5,sinks=2,layers=1+5+8",
  "tidal-decode:budget=64,layers=2+4",
  "quest:budget=64,page=32,dense-layers=1",
  "streaming-llm:budget=64,sinks=3",
  "oracle-top-k:budget=64",
  "random-tokens:budget=64,seed=9",
])("%s is read, bound and written as it was", (spec) => {
  expect(formatAttention(bindAttention(spec, MODEL))).toBe(spec);
});

it("settings that are not known yet are left out", () => {
  expect(formatAttention(parseAttention("less-is-more:budget=64"))).toBe(
    "less-is-more:budget=64,recency=0.25,sinks=4",
  );
});

it("the first attention that is named counts, and full where none is", () => {
  const policy = parseAttention("oracle-top-k:budget=64");
  expect(firstNamed(undefined, policy, "quest")).toBe(policy);
  expect(firstNamed("quest", policy)).toBe("quest");
  expect(firstNamed(undefined, undefined)).toBe("full");
});
