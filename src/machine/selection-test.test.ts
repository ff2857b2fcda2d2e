import { testsOfOps } from "../../test/machine/op-test.ts";
import { runSelectionTest } from "./selection-test.ts";

testsOfOps({
  layer: "selection",
  run: runSelectionTest,
  numRows: 7,
  broken: [
    [
      "sketches that a decode step leaves as they are",
      (right) => {
        let steps = 0;
        return {
          updateKeySketch: (layer, range, sketch) => {
            if (steps++ === 0) right.updateKeySketch(layer, range, sketch);
          },
        };
      },
      ["sketchScores"],
    ],
    [
      "bounds of the chunk alone",
      (right) => {
        let steps = 0;
        return {
          updatePageBounds: (layer, range) => {
            if (steps++ > 0) right.updatePageBounds(layer, range);
          },
        };
      },
      ["pageScores"],
    ],
    [
      "another seed",
      (right) => ({
        randomScores: (layer, range, seed, out) => right.randomScores(layer, range, seed + 1, out),
      }),
      ["randomScores"],
    ],
    [
      "the maximum in the place of the mean",
      (right) => ({ poolScores: (range, scores, _, out) => right.poolScores(range, scores, "max", out) }),
      ["poolScores, softmax-mean a kv head"],
    ],
    [
      "best units that may be ends",
      (right) => ({
        topK: (range, scores, _, out) => right.topK(range, scores, { sinks: 0, recent: 0 }, out),
      }),
      ["topK"],
    ],
  ],
});
