import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webgpuForTests } from "../webgpu/environment.ts";

const MAIN = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
/** SwiftShader beside a busy machine. */
const TIMEOUT_MS = 100_000;

function bench(...args: readonly string[]) {
  const options = { encoding: "utf8", timeout: TIMEOUT_MS } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], options);
  return { status, stdout, stderr };
}

describe.skipIf((await webgpuForTests()).reason !== undefined)("bench decode on WebGPU", () => {
  const small = ["--context", "256", "--steps", "2", "--rounds", "1", "--json"];

  it("measures whole steps of a shape under two attentions beside their bytes", () => {
    const attention = ["--attention", "full", "--attention", "less-is-more:budget=64"];
    const { status, stdout, stderr } = bench("decode", "--shape", "pico-reasoner", ...attention, ...small);
    expect(status, stderr).toBe(0);
    const { rows, readBandwidth, shape } = JSON.parse(stdout);
    expect(shape).toBe("pico-reasoner");
    expect(readBandwidth).toBeGreaterThan(0);
    expect(rows.map((row: { attention: string }) => row.attention)).toEqual([
      "full",
      "less-is-more:budget=64",
    ]);
    const [full, sparse] = rows;
    // 10 layers of 256 × 640 and 8/2 heads of 64, 512 tokens in the vocabulary; 256 cached tokens of 2 heads; f16
    const matrices = 10 * (256 * 20 * 64 + 3 * 256 * 640) + 512 * 256;
    expect(full.bytes).toBe(2 * matrices + 10 * 256 * 512);
    expect(sparse.bytes).toBeLessThan(full.bytes);
    expect(full.speedupOverFull).toBe(1);
    for (const row of rows) {
      const { msPerStep, leastMs, mostMs, hostMs, gpuMs, rooflineMs, gpuMsByPart } = row;
      for (const ms of [hostMs, gpuMs, rooflineMs]) expect(ms).toBeGreaterThan(0);
      expect(msPerStep).toBeGreaterThanOrEqual(leastMs);
      expect(msPerStep).toBeLessThanOrEqual(mostMs);
      expect(Object.keys(gpuMsByPart)).toEqual(
        expect.arrayContaining(["weights", "dense attention", "rest"]),
      );
    }
    expect(Object.keys(sparse.gpuMsByPart)).toEqual(
      expect.arrayContaining(["selection", "sparse attention"]),
    );
  });
});
