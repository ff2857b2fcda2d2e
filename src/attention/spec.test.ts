import { describe, expect, it } from "vitest";
import { ConfigError } from "../base/errors.ts";
import { bindAttention, firstNamed } from "./bind-attention.ts";
import { rolesOf } from "./roles.ts";
import { formatAttention, parseAttention } from "./spec.ts";

const MODEL = {
  ...{ numLayers: 10, numQueryHeads: 4, numKvHeads: 2, headDim: 8, pageSize: 16 },
  ...{ defaultSelectionLayers: [2, 7], defaultSelectionLayersFrom: "guess" as const },
};

it.each([
  "full",
  "less-is-more:budget=64,recency=0.5,sinks=2,layers=1+5+8",
  "less-is-more:budget=64,recency=0.5,sinks=2,layers=2+7,sets=kv",
  "tidal-decode:budget=64,layers=2+4",
  "quest:budget=64,page=32,dense-layers=1",
  "seer-attention-r:gate=hf:org/gates@v1,budget=64,dense-layers=2",
  "seer-attention-r:gate=./a folder/x=1.pth,budget=64",
  "streaming-llm:budget=64,sinks=3",
  "oracle-top-k:budget=64",
  "random-tokens:budget=64,seed=9",
])("%s is read, bound and written as it was", (spec) => {
  expect(formatAttention(bindAttention(spec, MODEL))).toBe(spec);
});

it.each([
  [
    "less-is-more:sets=heads",
    'sets must be all, kv, head, for one set for all heads, one a kv head, or one a head, got "heads"',
  ],
  ["seer-attention-r:gate=", "gate must name a folder, a file or a repository of the hub"],
  ["seer-attention-r:budget=0", "budget must be a whole number of at least 1"],
  ["seer-attention-r:dense-layers=11", "dense-layers names layer 10"],
])("%s is refused when it is bound", (spec, message) => {
  expect(() => bindAttention(spec, MODEL)).toThrow(message);
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

describe("with sliding layers", () => {
  const windows = Array.from({ length: 10 }, (_, layer) => (layer % 3 === 2 ? undefined : 128));
  const sliding = { ...MODEL, windows, defaultSelectionLayers: [2, 5] };

  it.each(["less-is-more", "tidal-decode"])("%s selects in global layers alone", (name) => {
    expect(formatAttention(bindAttention(name, sliding))).toContain("layers=2+5");
    expect(formatAttention(bindAttention(`${name}:layers=5+8`, sliding))).toContain("layers=5+8");
    expect(() => bindAttention(`${name}:layers=2+7`, sliding)).toThrow(
      new ConfigError(
        `attention ${name}: layers names layer 7, which attends to a sliding window of 128 tokens and selects nothing; ` +
          "layers that attend to all are 2, 5, 8",
      ),
    );
  });

  it("sliding layers are dense under every policy; streaming selects in the first global layer", () => {
    for (const spec of ["quest", "streaming-llm", "oracle-top-k", "random-tokens", "less-is-more"]) {
      const roles = rolesOf(bindAttention(spec, sliding), sliding);
      for (const [layer, role] of roles.entries())
        if (windows[layer] !== undefined) expect(role).toEqual({ attends: "all", selects: false });
    }
    const roles = rolesOf(bindAttention("streaming-llm", sliding), sliding);
    expect(roles.flatMap(({ selects }, layer) => (selects ? [layer] : []))).toEqual([2]);
  });

  it("a policy's roles are asked anew for another model", () => {
    const policy = bindAttention("oracle-top-k", MODEL);
    expect(rolesOf(policy, MODEL)[0]).toEqual({ attends: "selected", selects: true });
    expect(rolesOf(policy, sliding)[0]).toEqual({ attends: "all", selects: false });
  });

  it("a model of sliding layers alone is refused by every policy that selects, and full takes it", () => {
    const all = { ...MODEL, windows: windows.map(() => 128), defaultSelectionLayers: [] };
    for (const spec of ["less-is-more", "quest", "seer-attention-r", "streaming-llm"])
      expect(() => bindAttention(spec, all)).toThrow("every layer of the model attends to a sliding window");
    expect(bindAttention("full", all).name).toBe("full");
  });
});
