import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webgpuForTests } from "../webgpu/environment.ts";

const MAIN = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
/** Four layers of 96 × 160 and 6/2 heads of 16, 320 tokens in the vocabulary. */
const TINY = join("test", "golden", "hf", "llama-linear-f16", "config.json");
/** SwiftShader beside a busy machine. */
const TIMEOUT_MS = 100_000;

function bench(...args: readonly string[]) {
  const options = { encoding: "utf8", timeout: TIMEOUT_MS } as const;
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], options);
  return { status, stdout, stderr };
}

interface DecodeRow {
  readonly attention: string;
  readonly [figure: string]: unknown;
}

describe.skipIf((await webgpuForTests()).reason !== undefined)("bench of a shape on WebGPU", () => {
  it("measures decode steps of requests under two attentions beside their bytes", () => {
    const attention = ["--attention", "full", "--attention", "less-is-more:budget=16,layers=1"];
    const small = ["--context", "64", "--steps", "2", "--rounds", "1", "--json"];
    const { status, stdout, stderr } = bench("decode", "--shape", TINY, ...attention, ...small);
    expect(status, stderr).toBe(0);
    const { rows, readBandwidth, shape } = JSON.parse(stdout);
    expect(shape).toBe(TINY);
    expect(readBandwidth).toBeGreaterThan(0);
    expect(rows.map((row: DecodeRow) => row.attention)).toEqual(["full", "less-is-more:budget=16,layers=1"]);
    const [full, sparse] = rows;
    // f16; the sparse step is dense in layers 0 and 1
    const matrices = 4 * (96 * (10 + 6) * 16 + 3 * 96 * 160) + 320 * 96;
    expect(full.bytes).toBe(2 * matrices + 4 * 64 * 128);
    expect(sparse.bytes).toBe(2 * matrices + (2 * 64 + 2 * 16) * 128);
    expect(full.speedupOverFull).toBe(1);
    for (const row of rows) {
      const { msPerStep, meanMs, p99Ms, leastMs, hostMs, hostMeanMs, gpuMs, rooflineMs } = row;
      for (const ms of [hostMs, hostMeanMs, gpuMs, rooflineMs]) expect(ms).toBeGreaterThan(0);
      expect(msPerStep).toBeGreaterThanOrEqual(leastMs);
      for (const ms of [msPerStep, meanMs]) expect(ms).toBeLessThanOrEqual(p99Ms);
      expect(Object.keys(row.gpuMsByCategory)).toEqual(
        expect.arrayContaining(["weights", "dense attention", "rest"]),
      );
    }
    expect(Object.keys(sparse.gpuMsByCategory)).toEqual(
      expect.arrayContaining(["selection", "sparse attention"]),
    );
  });

  it("gives the tokens a second of streaming requests beside those of bare steps", () => {
    const small = ["--concurrent", "2", "--context", "64", "--steps", "4", "--rounds", "1", "--json"];
    const { status, stdout, stderr } = bench("requests", "--shape", TINY, "--attention", "full", ...small);
    expect(status, stderr).toBe(0);
    const rows = Object.values(JSON.parse(stdout)).at(-1) as readonly Record<string, number>[];
    expect(rows).toHaveLength(1);
    const [{ sequences, bareMs, tokensPerSecond, bareTokensPerSecond, ofBare } = {}] = rows;
    expect(sequences).toBe(2);
    expect(bareMs).toBeGreaterThan(0);
    expect(ofBare).toBeCloseTo(Number(tokensPerSecond) / Number(bareTokensPerSecond), 2);
  });

  it("prefills as a request does, in the chunks that the engine takes", () => {
    const small = ["--context", "32", "--rounds", "1", "--chunk-rows", "16", "--json"];
    const { status, stdout, stderr } = bench("prefill", "--shape", TINY, ...small);
    expect(status, stderr).toBe(0);
    const [row] = JSON.parse(stdout).rows;
    expect(row).toMatchObject({ tokens: 32, chunkRows: 16, chunks: 2 });
    expect(row.ms).toBeGreaterThan(0);
  });

  it("gives the jitter of a request's tokens, with the host's time a step", () => {
    const { status, stdout, stderr } = bench(
      ...["jitter", "--shape", TINY, "--context", "64", "--steps", "8", "--json"],
    );
    expect(status, stderr).toBe(0);
    const [row] = JSON.parse(stdout).rows;
    expect(row).toMatchObject({ context: 64, attention: "full", steps: 8 });
    const { p50, p99, max, mean } = row.ms;
    expect(p50).toBeGreaterThan(0);
    expect([p99, max]).toEqual([max, max]); // of 8 steps
    expect(mean).toBeLessThanOrEqual(max);
    expect(row.hostMs.mean).toBeGreaterThan(0);
    expect(row.coreShare).toBeGreaterThan(0);
    expect(row.bytesPerStep).toBeGreaterThan(0);
  });
});
