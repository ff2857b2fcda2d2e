/** Ends of the engine and of the server under load: who gets which error, and how it goes on. */
import { writeFileSync } from "node:fs";
import OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { golden, problem, TestFolder } from "./command-line.ts";
import { RawConnection } from "./raw-http.ts";
import { messages, model } from "./serve-client.ts";
import { ServeProcess } from "./serve-process.ts";

const ENDLESS = {
  ...{ model, messages, temperature: 0, max_tokens: 6000, ignore_eos: true, stream: true },
  attention: "full",
};
const MAX_RESTARTS = 4;

const folder = new TestFolder();
const how = folder.file("how.txt", "");
/** Ends its thread in the middle of a step, in the way that a file tells. */
const deadly = folder.file(
  "deadly.mjs",
  `import { readFileSync } from "node:fs";
const WAYS = {
  exception: () => setTimeout(() => { throw new Error("gone"); }),
  rejection: () => void Promise.reject(new Error("gone")),
  exit: () => process.exit(3),
  memory: () => { const all = []; for (;;) all.push(new Array(1e6).fill(0.5)); },
};
export default {
  name: "deadly", settings: {}, tokenBudget: 16,
  layerRole: (layer) => ({ attends: layer > 0 ? "selected" : "all", selects: layer === 0 }),
  select(selector) {
    WAYS[readFileSync(${JSON.stringify(how)}, "utf8")]();
    return selector.expandSelection(undefined, { sinks: 4, recent: 12 });
  },
};`,
);
afterAll(() => folder.remove());

/** Resolves when a condition holds. */
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  for (const end = Date.now() + 30_000; !(await condition()); ) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

async function get(server: ServeProcess, path: string) {
  const response = await fetch(server.origin + path, { signal: AbortSignal.timeout(20_000) });
  return { code: response.status, ...(await response.json()) };
}

/** Streams that have begun, under a policy that lives. */
async function streams(server: ServeProcess): Promise<readonly RawConnection[]> {
  const connections = await Promise.all(Array.from({ length: 3 }, () => RawConnection.open(server.port)));
  for (const connection of connections) connection.chat(ENDLESS);
  await Promise.all(connections.map((one) => one.until((text) => text.includes('"reasoning"'))));
  return connections;
}

const lastEvent = (text: string) =>
  JSON.parse(
    text
      .split("\n")
      .filter((line) => line.startsWith("data: "))
      .at(-1)
      ?.slice(6) ?? "null",
  );

describe("the engine's thread", () => {
  let server: ServeProcess;
  beforeAll(async () => {
    server = await ServeProcess.start(["--attention", deadly, "--max-restarts", String(MAX_RESTARTS)], {
      NODE_OPTIONS: "--max-old-space-size=128",
    });
  });
  afterAll(() => server.stop());

  /** Makes the engine end, and returns the answer of the request that did. */
  async function end(way: string): Promise<Response> {
    writeFileSync(how, way);
    return fetch(`${server.url}/chat/completions`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ messages, temperature: 0, max_tokens: 40 }),
      signal: AbortSignal.timeout(30_000),
    });
  }

  it.each([
    "exception",
    "rejection",
    "exit",
    "memory",
  ])("that ends by %s under load ends what runs with an error, and another takes its place", async (way) => {
    const before = await restarts();
    const running = await streams(server);
    const killer = await end(way);
    expect([killer.status, (await killer.json()).error]).toMatchObject([
      500,
      { code: "backend", param: null },
    ]);
    for (const stream of running) {
      await stream.until((text) => text.includes('"error"'));
      expect(lastEvent(stream.text)).toMatchObject({
        error: { message: expect.stringContaining("worker ended"), type: "server_error", code: "backend" },
      });
      expect(stream.text).not.toContain("[DONE]");
      stream.vanish();
    }
    // a client that comes again, as those of OpenAI do, gets its answer
    const client = new OpenAI({ baseURL: server.url, apiKey: "none", maxRetries: 8 });
    const answer = client.chat.completions.create({ ...ENDLESS, max_tokens: 24, stream: false });
    await until(async () => (await get(server, "/ready")).code === 200, "the engine is back");
    const reasoning = ((await answer).choices[0]?.message as { reasoning?: string }).reasoning ?? "";
    expect(golden.greedy_text).toContain(reasoning);
    expect(reasoning.length).toBeGreaterThan(20);
    expect(await get(server, "/health")).toEqual({ code: 200, status: "ok" });
    expect((await restarts()) - before).toBe(1);
    await server.idle();
  });

  async function restarts(): Promise<number> {
    return server.metric("engine_restarts_total");
  }

  it("that ends more often than that is given up: the server tells why and ends with 1", async () => {
    const running = await streams(server);
    const killer = await end("exception");
    expect(killer.status).toBe(500);
    expect(await server.exit()).toEqual({ code: 1, signal: null });
    for (const stream of running) expect(lastEvent(await stream.closed())).toMatchObject({ error: {} });
    const log = server.stderr;
    expect(log.match(/the engine failed and is opened again \(\d of at most 4 times/g)).toHaveLength(4);
    expect(log.match(/the engine is back after \d+\.\d s/g)).toHaveLength(4);
    expect(log).not.toContain("BackendError"); // the requests that ran do not repeat it
    expect(log).toMatch(/^ {4}.*deadly\.mjs:\d+/m);
    expect(log).toMatch(/the engine is given up: the engine's worker ended: Error: gone/);
  });
});

describe.concurrent("the server", () => {
  it("killed under load breaks its streams off, and another takes its port at once", async () => {
    const args = ["--attention", "full"];
    const killed = await ServeProcess.start(args);
    const running = await streams(killed);
    killed.signal("SIGKILL");
    for (const stream of running) {
      const text = await stream.closed();
      expect(text).not.toMatch(/\[DONE\]|"error"|"finish_reason":"/);
    }
    expect(await killed.exit()).toEqual({ code: null, signal: "SIGKILL" });
    const next = await ServeProcess.start([...args, "--port", String(killed.port)]);
    try {
      expect(next.port).toBe(killed.port);
      const client = new OpenAI({ baseURL: next.url, apiKey: "none", maxRetries: 0 });
      const answer = await client.chat.completions.create({ ...ENDLESS, max_tokens: 24, stream: false });
      expect(answer.usage?.completion_tokens).toBe(24);
      expect(problem.length).toBeGreaterThan(0);
    } finally {
      await next.stop();
    }
  });

  it("that is told to end while it opens its engine again ends with 0", async () => {
    const own = await ServeProcess.start(["--attention", deadly]);
    try {
      writeFileSync(how, "exception");
      const killer = await RawConnection.open(own.port);
      killer.chat({ messages, temperature: 0, max_tokens: 40 });
      await until(() => own.stderr.includes("is opened again (1 of at most 5 times"), "the engine ends");
      own.signal("SIGTERM");
      await killer.closed();
      expect(await own.exit()).toEqual({ code: 0, signal: null });
      expect(own.stderr).not.toContain("given up");
    } finally {
      await own.stop();
    }
  });

  it.each([
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)("twice %s under load ends at once", async (signal, code) => {
    const own = await ServeProcess.start(["--attention", "full"]);
    try {
      const running = await streams(own);
      own.signal(signal);
      await until(() => own.stderr.includes("shutting down; 3 requests are in progress"), "the first signal");
      expect((await get(own, "/ready").catch(() => ({ code: 0 }))).code).not.toBe(200);
      own.signal(signal);
      expect(await own.exit()).toEqual({ code, signal: null });
      for (const stream of running) expect(await stream.closed()).not.toContain("[DONE]");
    } finally {
      await own.stop();
    }
  });
});
