import { describe, expect, it } from "vitest";
import { bindAttention } from "../bind-attention.ts";
import { rolesOf } from "../roles.ts";
import { formatAttention, parseAttention } from "../spec.ts";
import { kascade } from "./kascade.ts";

const MODEL = {
  ...{ numLayers: 10, numQueryHeads: 9, numKvHeads: 3, headDim: 8, pageSize: 16 },
  ...{ defaultSelectionLayers: [2, 7], defaultSelectionLayersFrom: "guess" as const },
};
const SPEC = "kascade:budget=64,anchors=0+4+7,maps=1:2-1-0+5:0-0-2+8:2-1-0";

it("a spec with head maps is read, bound and written as it was", () => {
  expect(formatAttention(bindAttention(SPEC, MODEL))).toBe(SPEC);
});

it("a calibration from JSON is the same policy as its spec", () => {
  const json = '{"selectionLayers":[0,4,7],"headMaps":{"8":[2,1,0],"1":[2,1,0],"5":[0,0,2]}}';
  expect(formatAttention(kascade({ tokenBudget: 64, ...JSON.parse(json) }))).toBe(SPEC);
});

it("the first anchor is dense, later ones attend to their own selection, equal maps are one array", () => {
  const roles = rolesOf(bindAttention(SPEC, MODEL), MODEL);
  expect(roles.map(({ attends, selects }) => `${attends}${selects ? "+" : ""}`)).toEqual([
    ...["all+", "selected", "selected", "selected", "selected+"],
    ...["selected", "selected", "selected+", "selected", "selected"],
  ]);
  expect(roles[1]?.headMap).toEqual([2, 1, 0]);
  expect(roles[1]?.headMap).toBe(roles[8]?.headMap);
  expect(roles[2]?.headMap).toBeUndefined();
  expect(rolesOf(bindAttention("kascade:anchors=3,maps=4:0-1-2", MODEL), MODEL)[4]?.headMap).toBeUndefined();
  expect(rolesOf(bindAttention("kascade:anchors=3", MODEL), MODEL)[2]).toEqual({
    attends: "all",
    selects: false,
  });
});

describe("anchors that nobody names", () => {
  it("are layer 0 and the model's selection layers, a guess", () => {
    const policy = bindAttention("kascade", MODEL);
    expect(policy.settings.anchors).toEqual([0, 2, 7]);
    expect(policy.selectionLayersFrom).toBe("guess");
  });

  it("are the paper's for its models; another paper's layers are a guess", () => {
    const published = { ...MODEL, numLayers: 36, defaultSelectionLayersFrom: "paper" as const };
    const eight = bindAttention("kascade", { ...published, defaultSelectionLayersOf: "Qwen3-8B" });
    expect(eight.settings.anchors).toEqual([0, 2, 7, 14, 23]);
    expect(eight.selectionLayersFrom).toBe("paper");
    const four = bindAttention("kascade", { ...published, defaultSelectionLayersOf: "Qwen3-4B" });
    expect(four.settings.anchors).toEqual([0, 2, 7]);
    expect(four.selectionLayersFrom).toBe("guess");
  });

  it("are global layers of a model with sliding ones", () => {
    const windows = Array.from({ length: 10 }, (_, layer) => (layer % 3 === 2 ? undefined : 128));
    const policy = bindAttention("kascade", { ...MODEL, windows, defaultSelectionLayers: [2, 5] });
    expect(policy.settings.anchors).toEqual([2, 5]);
  });
});

it("a checkpoint's maps go with its anchors: a request that names others does without", () => {
  expect(formatAttention(parseAttention("kascade:budget=9", SPEC))).toBe(SPEC.replace("64", "9"));
  expect(formatAttention(parseAttention("kascade:anchors=0+5", SPEC))).toBe("kascade:budget=64,anchors=0+5");
});

it.each([
  ["kascade:anchors=0+10", "anchors names layer 10, but the model's layers are 0 to 9"],
  ["kascade:anchors=4+2", "anchors must be ascending without repeats, got 4+2"],
  [
    "kascade:anchors=2+4,maps=4:0-1-2",
    "maps names layer 4, but only layers after the first anchor that are no anchors (2+4), up to 9",
  ],
  ["kascade:anchors=2+4,maps=1:0-1-2", "maps names layer 1, but only"],
  ["kascade:anchors=2+4,maps=11:0-1-2", "maps names layer 11, but only"],
  [
    "kascade:anchors=2,maps=3:0-1",
    "the map of layer 3 must name a kv head from 0 to 2 for each of 3, got 0-1",
  ],
  [
    "kascade:anchors=2,maps=3:0-1-3",
    "the map of layer 3 must name a kv head from 0 to 2 for each of 3, got 0-1-3",
  ],
  ["kascade:anchors=2,maps=3:0-1-", 'maps must be maps such as 1:0-0-2+3:1-0-2, got "3:0-1-"'],
  ["kascade:anchors=2,maps=3:0-1-2+3:0-1-2", "maps names layer 3 twice"],
  ["kascade:budget=0", "budget must be a whole number of at least 1"],
])("%s is refused: %s", (spec, message) => {
  expect(() => bindAttention(spec, MODEL)).toThrow(message);
});

it.each([
  [{ headMaps: [[0, 1]] }, /maps|a layer/],
  [{ headMaps: { x: [0] } }, /a layer of maps must be a whole number/],
  [{ headMaps: { 3: "012" } }, /the map of layer 3 must list kv heads, got "012"/],
  [{ headMaps: { 3: [0, -1] } }, /a head of the map of layer 3 must be a whole number/],
  [{ anchors: [2] }, /unknown setting "anchors"/],
])("options %j are refused", (options, message) => {
  expect(() =>
    kascade(JSON.parse(JSON.stringify({ selectionLayers: [2], ...options }))).forModel?.(MODEL),
  ).toThrow(message);
});
