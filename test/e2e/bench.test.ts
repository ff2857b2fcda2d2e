import { spawnSync } from "node:child_process";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";

const MAIN = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
const CONFIG = join("models", "pico-reasoner", "config.json");
function bench(...args: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" });
  return { status, stdout, stderr };
}

describe("bench jitter of requests", () => {
  it("needs no GPU: the interval of every token, what a step allocates, and where", () => {
    const options = ["--backend", "wasm", "--threads", "1", "--context", "64", "--steps", "100", "--json"];
    const { status, stdout, stderr } = bench("jitter", ...options);
    expect(status, stderr).toBe(0);
    const { rows, targets } = JSON.parse(stdout);
    expect(targets).toEqual([]);
    const [{ ms, bytesPerStep, allocationSites, hostMs, coreShare }] = rows;
    expect(hostMs).toBeUndefined();
    expect(ms.p50).toBeLessThanOrEqual(ms.p99);
    expect(ms.p99).toBeLessThanOrEqual(ms.max);
    // the parts of a token's text alone take some hundred bytes; a kernel's output would take some hundred thousand
    expect(bytesPerStep).toBeGreaterThan(500);
    expect(bytesPerStep).toBeLessThan(100_000);
    const places = allocationSites.map(({ where }: { readonly where: string }) => where).join("\n");
    expect(places).toMatch(/ engine\/[a-z-]+\.js:\d/);
    expect(coreShare).toBeGreaterThan(0);
  });
});

describe("bench report", () => {
  it("asks for its commit where there is no git checkout, before it measures", () => {
    const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, "report", "--quick"], {
      encoding: "utf8",
      cwd: tmpdir(),
    });
    expect([status, stdout]).toEqual([1, ""]);
    expect(stderr).toContain("there is no git checkout here; give --commit HASH");
  });
});

describe("bench decode", () => {
  it.each([
    ["a shape and a model", ["--shape", CONFIG, "--model", "models/pico-reasoner"], "give one of the two"],
    ["a shape on the CPU", ["--shape", "pico-reasoner", "--backend", "wasm"], "--shape runs on a GPU"],
    ["a dtype without a shape", ["--backend", "wasm", "--dtype", "bf16"], "name a --shape"],
    ["threads with a shape", ["--shape", "pico-reasoner", "--threads", "2"], "send requests to a --model"],
    ["an unknown shape", ["--shape", "nope"], "or the path of a config.json"],
  ])("refuses %s in one line", (_what, args, message) => {
    const { status, stderr } = bench("decode", ...args);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
    expect(stderr.trim().split("\n")).toHaveLength(1);
  });
});

describe("timed-requests, our side of a comparison with a peer", () => {
  it("prints the times of prefill and of every token for each input line, and exits at the end of its input", () => {
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
