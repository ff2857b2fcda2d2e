/** `bench requests` on the bundled model and `bench host`: that they measure, never how long anything takes. */
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { describe, expect, it } from "vitest";
import { openNullGpu } from "../webgpu/null-gpu.ts";

const MAIN = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
const run = promisify(execFile);
const TIMEOUT_MS = 60_000;

async function bench(...args: readonly string[]) {
  const { stdout } = await run(process.execPath, [MAIN, ...args, "--json"], { timeout: TIMEOUT_MS });
  return JSON.parse(stdout);
}

describe("bench requests", () => {
  const SMALL = ["--backend", "wasm", "--threads", "1", "--context", "96", "--steps", "8", "--rounds", "1"];

  it("gives tokens a second of streams and of bare steps, their ratio, and the times between tokens", async () => {
    const attention = ["--attention", "full", "--attention", "less-is-more:budget=64"];
    const report = await bench("requests", ...SMALL, "--concurrent", "2", ...attention);
    const tables = Object.values(report) as readonly (readonly Record<string, unknown>[])[];
    const rows = tables.find((table) => Array.isArray(table) && table.length === 2) ?? [];
    expect(rows.map(({ sequences, attention: spec }) => [sequences, spec])).toEqual([
      [2, "full"],
      [2, "less-is-more:budget=64"],
    ]);
    for (const row of rows) {
      const { tokensPerSecond, bareTokensPerSecond, ofBare, betweenTokensP50, betweenTokensP99 } = row;
      // printed with four digits
      expect(ofBare).toBeCloseTo(Number(tokensPerSecond) / Number(bareTokensPerSecond), 2);
      expect(Number(betweenTokensP50)).toBeGreaterThan(0);
      expect(Number(betweenTokensP50)).toBeLessThanOrEqual(Number(betweenTokensP99));
      for (const ms of [row.bareMs, row.bareSampledMs]) expect(Number(ms)).toBeGreaterThan(0);
    }
  });

  it("sends them to an engine in a worker, with and without newcomers beside them", async () => {
    const two = ["--concurrent", "2", "--attention", "full", "--newcomers", "16", "--worker"];
    const report = await bench("requests", ...SMALL, ...two);
    const rows = Object.values(report).at(-1) as readonly Record<string, unknown>[];
    const [{ withNewcomersP50, withNewcomersP99, withNewcomersMax } = {}] = rows;
    expect(Number(withNewcomersP50)).toBeGreaterThan(0);
    expect(Number(withNewcomersP50)).toBeLessThanOrEqual(Number(withNewcomersP99));
    expect(Number(withNewcomersP99)).toBeLessThanOrEqual(Number(withNewcomersMax));
    expect(report["the run"]).toEqual([{ backend: expect.stringContaining("WebAssembly"), worker: "yes" }]);
  });
});

describe.skipIf((await openNullGpu()).gpu === undefined)("bench host", () => {
  it("gives the host's time of a step by subject, without a GPU", async () => {
    const small = ["--shape", "pico-reasoner", "--context", "64", "--steps", "40", "--rounds", "1"];
    const { rows } = await bench("host", ...small, "--sequences", "2", "--attention", "full", "--worker");
    const [{ hostUs, givenOutUs, recordedUs, dispatches, submissions, bySubject }] = rows;
    for (const us of [hostUs, givenOutUs, recordedUs]) expect(us).toBeGreaterThan(0);
    expect(dispatches).toBeGreaterThan(10);
    expect(submissions).toBe(1);
    expect(Object.keys(bySubject)).toContain("calls of Dawn");
    const sum = (Object.values(bySubject) as readonly number[]).reduce((all, us) => all + us, 0);
    expect(sum / hostUs).toBeCloseTo(1, 2);
  });
});
