import { testsOfOps } from "../../test/machine/op-test.ts";
import type { BlockGate } from "../backend/backend.ts";
import { runGateTest } from "./gate-test.ts";

testsOfOps({
  layer: "gates",
  run: runGateTest,
  numRows: 8,
  broken: [
    [
      "queries that go elsewhere",
      (right) => ({
        attentionInput: (layer, weights, x, query, raw) =>
          right.attentionInput(layer, weights, x, query, raw && { query, keys: raw.keys }),
      }),
      ["raw queries, chunk", "raw queries, decode"],
    ],
    [
      "pools that begin anew in each step",
      (right) => ({
        updateBlockKeys: (range, keys, gate) => {
          right.write(gate.pools, new Float32Array(1920));
          right.updateBlockKeys(range, keys, gate);
        },
      }),
      ["pools of pages, decode"],
    ],
    [
      "keys of blocks without their norm",
      (right) => ({
        updateBlockKeys: (range, keys, { kNorm, ...gate }: BlockGate) =>
          right.updateBlockKeys(range, keys, gate),
      }),
      ["keys of blocks"],
    ],
    [
      "scores without RoPE",
      (right) => ({
        blockScores: (range, query, { rope, ...gate }: BlockGate, out) =>
          right.blockScores(range, query, gate, out),
      }),
      ["scores of blocks"],
    ],
  ],
});
