import { describe, expect, it, test } from "vitest";
import type { LayerUse } from "../run/selection-log.ts";
import { countOrigins, groupLayers, listLayers, selectorOf, tokensOf } from "./chosen-step.ts";
import { overlayOf } from "./overlay.ts";
import { Heat, parseColour } from "./palette.ts";

const dense = (layer: number): LayerUse => ({ layer, attends: "all", selects: false });
const selects = (layer: number, selection: number): LayerUse => ({
  layer,
  attends: "all",
  selects: true,
  selection,
});
const reuses = (layer: number, selection: number): LayerUse => ({
  layer,
  attends: "selected",
  selects: false,
  selection,
});

describe("the layers of a step", () => {
  const layers = [dense(0), dense(1), selects(2, 0), reuses(3, 0), reuses(4, 0), selects(5, 1), reuses(6, 1)];
  const groups = groupLayers({ layers });

  it("are grouped by what they saw", () => {
    expect(groups).toEqual([
      { layers: [0, 1], sees: "all", selects: false },
      { layers: [2], sees: "all", selects: true, selection: 0 },
      { layers: [3, 4], sees: "selected", selects: false, selection: 0 },
      { layers: [5], sees: "all", selects: true, selection: 1 },
      { layers: [6], sees: "selected", selects: false, selection: 1 },
    ]);
  });

  it("name the layer that chose what they see", () => {
    expect(groups.map((group) => selectorOf(groups, group))).toEqual([undefined, 2, 2, 5, 5]);
  });

  it("with a window are groups of their own", () => {
    const sliding: LayerUse = { layer: 1, attends: "all", selects: false, window: 64 };
    expect(groupLayers({ layers: [dense(0), sliding, dense(2)] })).toEqual([
      { layers: [0, 2], sees: "all", selects: false },
      { layers: [1], sees: "window", window: 64, selects: false },
    ]);
  });

  it("are listed as runs", () => {
    expect(listLayers([0, 1, 3, 4, 5, 8])).toBe("0, 1, 3 to 5, 8");
  });
});

describe("the tokens of a selection", () => {
  it("have the head that put them there, or are always kept", () => {
    const selection = {
      sets: [Uint32Array.of(0, 3, 9)],
      heads: Int16Array.of(-1, 4, -1),
      ends: { sinks: 1, recent: 1 },
    };
    const tokens = tokensOf(selection, 9);
    expect(tokens.map(({ position, heads }) => [position, ...heads])).toEqual([
      [0, -1],
      [3, 4],
      [9, -1],
    ]);
    expect(countOrigins(tokens)).toEqual({ kept: 2, unnamed: 0, heads: [0, 0, 0, 0, 1] });
    expect([...overlayOf(9, { layers: [1], sees: "selected", selects: false }, tokens)]).toEqual([
      1, 0, 0, 7, 0, 0, 0, 0, 0, 1,
    ]);
  });

  it("of a policy that ranks for all heads at once name none", () => {
    const tokens = tokensOf({ sets: [Uint32Array.of(0, 3, 9)], ends: { sinks: 1, recent: 1 } }, 9);
    expect(countOrigins(tokens)).toEqual({ kept: 2, unnamed: 1, heads: [] });
  });

  it("of several sets have each head group that chose them", () => {
    const tokens = tokensOf({ sets: [Uint32Array.of(1, 3), Uint32Array.of(3, 4)] }, 9);
    expect(tokens).toEqual([
      { position: 1, heads: [0] },
      { position: 3, heads: [0, 1] },
      { position: 4, heads: [1] },
    ]);
    expect(countOrigins(tokens).heads).toEqual([2, 2]);
  });
});

test("layers without a selection saw all tokens, or those of their window", () => {
  const group = { layers: [0], selects: false } as const;
  expect([...overlayOf(4, { ...group, sees: "all" }, undefined)]).toEqual([2, 2, 2, 2, 2]);
  expect([...overlayOf(4, { ...group, sees: "window", window: 2 }, undefined)]).toEqual([0, 0, 0, 2, 2]);
});

test("colours rise with how often, and cool with how long ago", () => {
  expect(Heat.indexOf(0.5, -1)).toBe(0);
  expect(Heat.indexOf(0, 3)).toBe(0);
  const often = [0.01, 0.1, 0.4, 1].map((share) => Heat.indexOf(share, 0));
  expect(often).toEqual([...often].sort((a, b) => a - b));
  expect(new Set(often).size).toBe(4);
  const ages = [0, 3, 30, 300, 5000].map((age) => Heat.indexOf(0.4, age));
  expect(ages).toEqual([...ages].sort((a, b) => a - b));
  expect(new Set(ages).size).toBe(5);
});

test("a colour that is not opaque sRGB is refused by its name", () => {
  expect(parseColour("rgb(18, 81, 75)", "--x")).toEqual([18, 81, 75]);
  expect(() => parseColour("rgba(0, 0, 0, 0)", "--selection-cell")).toThrow("--selection-cell");
});
