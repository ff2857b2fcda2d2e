import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { createRope, inverseFrequencies } from "./rope.ts";
import { parseRopeConfig } from "./rope-config.ts";

interface Golden {
  readonly name: string;
  readonly config: {
    head_dim: number;
    max_position_embeddings: number;
    rope_parameters: Record<string, unknown>;
  };
  readonly inverseFrequencies: number[];
  readonly attentionFactor: number;
  readonly positions: number[];
  readonly rows: number[][];
}

const goldens: Golden[] = JSON.parse(
  readFileSync(new URL("../../test/golden/rope.json", import.meta.url), "utf8"),
);

describe.each(goldens)("$name", (golden) => {
  const { head_dim: headDim, max_position_embeddings: maxPositions } = golden.config;
  const config = parseRopeConfig({ ...golden.config }, headDim, maxPositions, { fileName: "config.json" });

  test("inverse frequencies equal those of transformers, to a unit in the last place of f32", () => {
    const got = inverseFrequencies(config);
    expect(got.length).toBe(headDim / 2);
    // torch's powf may differ by one unit in the last place: 1.2e-7 relative
    for (const [i, expected] of golden.inverseFrequencies.entries())
      expect(Math.abs(got[i] / expected - 1), `channel ${i}`).toBeLessThan(1.2e-7);
    const exact = golden.inverseFrequencies.filter((expected, i) => got[i] === expected);
    expect(exact.length / got.length).toBeGreaterThan(0.9);
  });

  test("rows equal those of transformers, up to position 131071", () => {
    const rope = createRope(config);
    const frequencies = inverseFrequencies(config);
    for (const [row, position] of golden.positions.entries()) {
      const out = new Float32Array(headDim + 3).fill(9);
      rope.writeRow(position, out, 2);
      for (const [i, expected] of golden.rows[row].entries()) {
        const channel = i % (headDim / 2);
        // a unit in the last place of a frequency changes the angle by position * frequency * 1.2e-7
        const isExact = frequencies[channel] === golden.inverseFrequencies[channel];
        const slack = isExact ? 0 : position * frequencies[channel] * 1.2e-7 * golden.attentionFactor;
        expect(Math.abs(out[2 + i] - expected), `position ${position}, value ${i}`).toBeLessThan(
          2.5e-7 + slack,
        );
      }
      expect([out[0], out[1], out[headDim + 2]]).toEqual([9, 9, 9]);
    }
  });

  test("the spelling of transformers 4 gives the same rows", () => {
    const { rope_theta, rope_type, ...rest } = golden.config.rope_parameters;
    for (const key of ["type", "rope_type"]) {
      const old = { rope_theta, rope_scaling: { [key]: rope_type, ...rest } };
      expect(parseRopeConfig(old, headDim, maxPositions, { fileName: "config.json" })).toEqual(config);
    }
  });
});

test("a row has the same bits whatever was written before it", () => {
  const headDim = 8;
  const config = {
    type: "longrope",
    ...{ theta: 1e4, headDim, attentionFactor: 1.2, originalMaxPositions: 4096 },
    ...{ shortFactors: [1, 1, 1, 1], longFactors: [1, 2, 3, 4] },
  } as const;
  const rope = createRope(config);
  const [out, alone] = [new Float32Array(headDim + 2), new Float32Array(headDim + 2)];
  // positions that lie 1024 apart, and the two variants of one, want the same place or places beside each other
  for (const position of [6, 7, 6, 1030, 6, 1030, 2054, 131071, 131071])
    for (const longest of [4096, 8192, 4096]) {
      rope.writeRow(position, out.fill(9), 1, longest);
      createRope(config).writeRow(position, alone.fill(9), 1, longest);
      expect(out, `position ${position} of ${longest}`).toEqual(alone);
    }
});
