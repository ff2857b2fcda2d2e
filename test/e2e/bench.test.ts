import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { webgpuForTests } from "../webgpu/environment.ts";

const MAIN = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
const CONFIG = join("models", "pico-reasoner", "config.json");

function bench(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
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
      const { msPerStep, leastMs, mostMs, hostMs, gpuMs, rooflineMs, gpuMsByCategory } = row;
      for (const ms of [hostMs, gpuMs, rooflineMs]) expect(ms).toBeGreaterThan(0);
      expect(msPerStep).toBeGreaterThanOrEqual(leastMs);
      expect(msPerStep).toBeLessThanOrEqual(mostMs);
      expect(Object.keys(gpuMsByCategory)).toEqual(
        expect.arrayContaining(["weights", "dense attention", "rest"]),
      );
    }
    expect(Object.keys(sparse.gpuMsByCategory)).toEqual(
      expect.arrayContaining(["selection", "sparse attention"]),
    );
  });
});

describe("bench decode", () => {
  it.each([
    ["a shape and a model", ["--shape", CONFIG, "--model", "models/pico-reasoner"], "give one of the two"],
    ["a shape on the CPU", ["--shape", "pico-reasoner", "--backend", "wasm"], "--shape runs on a GPU"],
    ["the dtype of requests", ["--backend", "wasm", "--dtype", "bf16"], "name a --shape"],
    ["the threads of a shape", ["--shape", "pico-reasoner", "--threads", "2"], "send requests to a --model"],
    ["a shape that is none", ["--shape", "nope"], "or the path of a config.json"],
  ])("refuses %s in one line", (_what, args, message) => {
    const { status, stderr } = bench("decode", ...args);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});

describe("our side of a comparison with a peer", () => {
  it("answers each line with the times of prefill and of every token, and ends with its input", () => {
    const script = fileURLToPath(new URL("../../dist/bench/peers/timed-requests.js", import.meta.url));
    const asked = ["full", "less-is-more:budget=64,layers=2+7"].map((attention) =>
      JSON.stringify({ context: 128, steps: 6, attention }),
    );
    const { status, stdout, stderr } = spawnSync(
      process.execPath,
      [script, JSON.stringify({ threads: 1, contextLength: 256 })],
      { encoding: "utf8", input: `${asked.join("\n")}\n`, timeout: 60_000 },
    );
    expect(status, stderr).toBe(0);
    const [about, ...answers] = stdout
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(about.backend).toMatchObject({ name: "wasm", threads: 1 });
    expect(Object.keys(about.backend.tuning.choices)).toContain("itemBf16");
    expect(answers).toHaveLength(2);
    for (const { prefillMs, msPerToken, stepMs } of answers) {
      for (const ms of [prefillMs, msPerToken, ...stepMs]) expect(ms).toBeGreaterThan(0);
      expect(stepMs.length).toBeGreaterThan(0);
    }
    expect(answers[1].attendedFraction).toBeLessThan(answers[0].attendedFraction);
  });
});
