/** `bench serve` on the bundled model: that it measures, never how long anything takes. */
import { spawn } from "node:child_process";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { fileURLToPath } from "node:url";
import { afterAll, describe, expect, it } from "vitest";
import { ServeProcess } from "./serve-process.ts";

const MAIN = fileURLToPath(new URL("../../dist/bench/main.js", import.meta.url));
const SMALL = [
  "--rounds",
  "1",
  "--prompt",
  "24",
  "--answer",
  "12",
  "--concurrency",
  "2",
  "--prefill",
  "2000",
];
const FEW = ["--shared", "128", "--added", "16", "--clients", "3", "--rate", "8", "--seconds", "1", "--json"];

async function bench(...args: readonly string[]) {
  const child = spawn(process.execPath, [MAIN, "serve", ...args], { stdio: ["ignore", "pipe", "pipe"] });
  let [stdout, stderr] = ["", ""];
  child.stdout.on("data", (text: Buffer) => {
    stdout += String(text);
  });
  child.stderr.on("data", (text: Buffer) => {
    stderr += String(text);
  });
  const timer = setTimeout(() => child.kill("SIGTERM"), 110_000);
  const status = await new Promise((resolve) => child.once("close", resolve));
  clearTimeout(timer);
  return { status, stdout, stderr };
}

describe("bench serve", () => {
  it("measures a server that it starts: throughput, first token, prefix, health and a mix", async () => {
    const { status, stdout, stderr } = await bench("--backend", "wasm", "--threads", "1", ...SMALL, ...FEW);
    expect(status, stderr).toBe(0);
    const { run, ...tables } = JSON.parse(stdout);
    expect(run.command).toContain("bench -- serve");
    const [about, throughput, beside, prefix, health, load, times, policies] = Object.values(
      tables,
    ) as Record<string, number | string>[][];
    expect(about?.[0]?.server).toContain("lessismore serve --backend wasm --threads 1");
    expect(throughput?.map(({ streams }) => streams)).toEqual([1, 2]);
    for (const { tokensPerSecond, totalTokensPerSecond } of throughput ?? [])
      expect(Number(totalTokensPerSecond) / Number(tokensPerSecond)).toBeCloseTo((24 + 12) / 12, 2);
    const [one, two] = (throughput ?? []).map(({ tokensPerSecond }) => Number(tokensPerSecond));
    expect(Number(throughput?.[1]?.ratio)).toBeCloseTo((two ?? 0) / (one ?? 0), 2);
    expect(beside?.[0]).toMatchObject({ prefillTokens: 2000, shortTokens: 32 });
    // the engine runs whole steps: at least the request's own
    expect(Number(beside?.[0]?.stepsP50)).toBeGreaterThanOrEqual(1);
    expect(Number(beside?.[0]?.chunkTokens)).toBeLessThanOrEqual(2000);
    // whole pages of 16, and at least 8 tokens of the new turn are computed
    expect(prefix?.[0]).toMatchObject({ sharedTokens: 128, addedTokens: 16, cachedTokens: 128 });
    expect(health?.map((row) => [row.while, row.connection])).toEqual([
      ["idle", "kept"],
      ["prefill", "kept"],
      ["idle", "new"],
      ["prefill", "new"],
    ]);
    for (const { samples } of health ?? []) expect(Number(samples)).toBeGreaterThan(0);
    expect(load?.[0]).toMatchObject({ clients: 3, failed: 0 });
    expect(Number(load?.[0]?.runningMax)).toBeLessThanOrEqual(3);
    expect(times?.map(({ figure }) => figure)).toEqual([
      "first token (ms)",
      "between tokens (ms)",
      "whole request (ms)",
    ]);
    const named = (policies ?? []).map(({ attention }) => String(attention).split(":")[0]).sort();
    expect(named).toEqual(["full", "less-is-more"]);
    expect(policies?.find(({ attention }) => attention === "full")?.attendedFraction).toBe(1);
    const counted = (policies ?? []).reduce((sum, { requests }) => sum + Number(requests), 0);
    expect(counted).toBe(load?.[0]?.requests);
  });

  it.each([
    ["an unknown part", ["--part", "speed"], "Expected some of throughput"],
    ["a model that is not there", ["--model", "/nowhere"], "starting the server: it ended with 1"],
    ["an address where nobody listens", ["--url", "http://127.0.0.1:9"], "expected a list of models"],
  ])("ends with 1 and says so: %s", async (_, args, message) => {
    const { status, stderr } = await bench(...args);
    expect(status).toBe(1);
    expect(stderr).toContain(message);
  });
});

describe("bench serve of another server", () => {
  const opened: { stop(): unknown }[] = [];
  afterAll(async () => {
    for (const one of opened) await one.stop();
  });

  it("leaves out what only ours tells, and says so", async () => {
    const server = await ServeProcess.start();
    opened.push(server);
    const foreign = await startForeign(server.url);
    opened.push({ stop: () => foreign.close() });
    const url = `http://127.0.0.1:${(foreign.address() as AddressInfo).port}/v1/`;
    const { status, stdout, stderr } = await bench("--url", url, ...SMALL, ...FEW);
    expect(status, stderr).toBe(0);
    const tables = JSON.parse(stdout);
    expect(tables["left out"]).toHaveLength(1);
    const [beside] = tables["first token of short requests while a long prompt is computed (ms)"];
    expect(beside).not.toHaveProperty("chunkMs");
    expect(beside).not.toHaveProperty("stepsP50");
    expect(Number(beside.ratio)).toBeGreaterThan(0);
    const [load] = tables["mix: requests of 32 to 512 tokens, answers of 16 to 96"];
    expect(load.failed).toBe(0);
    expect(load).not.toHaveProperty("runningMax");
    expect(Object.keys(tables).some((name) => name.includes("share of the cache"))).toBe(false);
  });
});

/** A server of another maker: passes requests on, refuses our fields and takes ours out of the answers. */
async function startForeign(url: string): Promise<Server> {
  const origin = new URL(url).origin;
  const server = createServer(async (request, response) => {
    const parts: Buffer[] = [];
    for await (const part of request) parts.push(part as Buffer);
    const body = Buffer.concat(parts);
    if (/attention|cache_salt/.test(String(body)) || request.url === "/metrics") {
      response.writeHead(400).end("unknown field");
      return;
    }
    const answer = await fetch(`${origin}${request.url}`, {
      method: request.method ?? "GET",
      ...(body.length > 0 && { body, headers: { "content-type": "application/json" } }),
    });
    response.writeHead(answer.status, { "content-type": answer.headers.get("content-type") ?? "" });
    const text = new TextDecoder();
    for await (const part of answer.body ?? [])
      response.write(text.decode(part, { stream: true }).replaceAll("lessismore", "other"));
    response.end();
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return server;
}
