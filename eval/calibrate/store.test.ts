import { expect, it } from "vitest";
import { calibrationOf, type Finding } from "./store.ts";

const chosen = {
  spec: "less-is-more:budget=512,layers=2+17,recency=0.5",
  layers: [2, 17],
  ...{ divergence: 0, standardError: 0, attendedFraction: 0.3, steps: 1 },
};
const finding: Finding = {
  ...{ policy: "less-is-more", identity: "1".repeat(16), chosen, isDefault: false, measured: { a: 1 } },
};
const kascade: Finding = {
  ...{ ...finding, policy: "kascade" },
  chosen: { ...chosen, spec: "kascade:budget=512,anchors=0+2,maps=1:1-0", layers: [0, 2] },
};

it("keeps layers in a field of their own, and no budget unless it is the default", () => {
  expect(calibrationOf(finding, undefined)).toEqual({
    ...{ format: "lessismore-calibration-1", model: "1".repeat(16), selectionLayers: [2, 17] },
    ...{ policies: ["less-is-more:recency=0.5"], measured: { a: 1 } },
  });
  expect(calibrationOf({ ...finding, isDefault: true }, undefined)).toMatchObject({
    attention: "less-is-more:budget=512,recency=0.5",
  });
});

it("writes anchors and head maps of kascade, and leaves the layers of other policies", () => {
  const found = {
    selectionLayers: [2, 17],
    attention: "full",
    policies: ["kascade:anchors=0", "quest:page=16"],
  };
  expect(calibrationOf(kascade, found)).toMatchObject({
    ...{ selectionLayers: [2, 17], attention: "full" },
    policies: ["quest:page=16", "kascade:anchors=0+2,maps=1:1-0"],
  });
  expect(calibrationOf({ ...kascade, isDefault: true }, found)).toMatchObject({
    attention: "kascade:budget=512",
  });
  expect(calibrationOf(kascade, undefined)).not.toHaveProperty("selectionLayers");
});
