/** The HTTP interface in this process, over the bundled model and over engines that fail. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Engine } from "../engine/engine-api.ts";
import { type Generation, type GenerationRequest, openEngine } from "../node/index.ts";
import { InferenceServer } from "./app.ts";
import type { ServerOptions } from "./server-options.ts";

const MESSAGES = [{ role: "user", content: "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7" }];
const ENDLESS = { messages: MESSAGES, max_tokens: 4000, ignore_eos: true, temperature: 0, stream: true };
let engine: Engine;
beforeAll(async () => {
  engine = await openEngine({ backend: "wasm", threads: 1, maxConcurrent: 2, attention: "full" });
});
afterAll(() => engine.close());

const logged: string[] = [];
function create(options: Partial<ServerOptions> = {}): InferenceServer {
  return new InferenceServer({
    ...{
      modelName: "pico",
      apiKeys: [],
      corsOrigins: [],
      maxBodyBytes: 1e6,
      maxQueue: 8,
      requestTimeoutMs: 0,
    },
    log: (line) => logged.push(line),
    ...options,
  });
}

/** An engine whose generations a test sees, or makes. */
function watched(generate: (request: GenerationRequest) => Generation): Engine {
  return {
    generate,
    failure: undefined,
    tokenizer: engine.tokenizer,
    chatTemplates: [],
    logits: (ids) => engine.logits(ids),
    score: (request) => engine.score(request),
    scoreEach: (request) => engine.scoreEach(request),
    saveSession: (request) => engine.saveSession(request),
    loadSession: (bytes, given) => engine.loadSession(bytes, given),
    report: () => engine.report(),
    stats: () => engine.stats(),
    tokenizePrompt: (prompt) => engine.tokenizePrompt(prompt),
    unload: async () => {},
    close: async () => {},
  };
}

function chat(server: InferenceServer, body: object, init: RequestInit = {}): Promise<Response> {
  return Promise.resolve(
    server.fetch(
      new Request("http://localhost/v1/chat/completions", {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        ...init,
      }),
    ),
  );
}

async function get(server: InferenceServer, path: string): Promise<Response> {
  return server.fetch(new Request(`http://localhost${path}`));
}

/** Resolves when a condition holds. */
async function until(condition: () => boolean | Promise<boolean>, what: string): Promise<void> {
  const end = Date.now() + 30_000;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`never: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

describe("a stream", () => {
  /** A server, and the generations that it starts. */
  function open(options: Partial<ServerOptions> = {}) {
    const generations: Generation[] = [];
    const server = create(options);
    server.serve(
      watched((request) => {
        const generation = engine.generate(request);
        generations.push(generation);
        return generation;
      }),
    );
    return { server, generations };
  }

  it("that is not read pauses its generation, and goes on with the same text when it is", async () => {
    const { server, generations } = open();
    const expected = (
      await engine
        .generate({ messages: MESSAGES, maxTokens: 300, temperature: 0, ignoreEos: true, attention: "full" })
        .result()
    ).text;
    const response = await chat(server, { ...ENDLESS, max_tokens: 300 });
    const reader = response.body?.pipeThrough(new TextDecoderStream()).getReader();
    await reader?.read();
    const generated = () => generations[0]?.progress.generatedTokens ?? 0;
    await until(() => generated() >= 64, "64 parts wait in the engine");
    await new Promise((resolve) => setTimeout(resolve, 300));
    // one or two more are on their way
    const before = generated();
    expect(before).toBeLessThan(110);
    let text = "";
    for (let next = await reader?.read(); next?.done === false; next = await reader?.read())
      text += next.value;
    const deltas = [...text.matchAll(/^data: (\{.*)$/gm)].map(
      ([, json]) => JSON.parse(json ?? "").choices[0]?.delta,
    );
    const whole = deltas.map((delta) => delta?.reasoning ?? delta?.content ?? "").join("");
    expect(whole.replace(/\s/g, "")).toBe(expected.replace(/<\/?think>|\s/g, ""));
    expect(server.numCalls).toBe(0);
  });

  it("whose client leaves ends its generation within one step", async () => {
    const { server, generations } = open();
    const client = new AbortController();
    const response = await chat(server, ENDLESS, { signal: client.signal });
    await response.body?.getReader().read();
    client.abort();
    expect(generations[0]?.progress.phase).toBe("done");
    const numTokens = generations[0]?.progress.generatedTokens ?? 0;
    await new Promise((resolve) => setTimeout(resolve, 50));
    expect(generations[0]?.progress.generatedTokens).toBe(numTokens);
  });

  it("whose reader cancels it ends its generation and its call", async () => {
    const { server, generations } = open();
    const reader = (await chat(server, { ...ENDLESS, n: 2 })).body?.getReader();
    await reader?.read();
    expect(server.numCalls).toBe(1);
    await reader?.cancel();
    expect(generations.map(({ progress }) => progress.phase)).toEqual(["done", "done"]);
    expect(server.numCalls).toBe(0);
  });

  it("whose reader stops reading is ended after the limit", async () => {
    const { server, generations } = open({ stallMs: 100 });
    const reader = (await chat(server, ENDLESS)).body?.getReader();
    await reader?.read();
    await until(() => generations[0]?.progress.phase === "done", "the generation ends");
    await expect(reader?.read()).rejects.toThrow("unread");
    expect(server.numCalls).toBe(0);
  });

  it("is counted by how it ended: by its client, its reader's limit, a failure, or its own end", async () => {
    const { server } = open({ stallMs: 50 });
    const count = async (of = server) => {
      const text = await (await get(of, "/metrics")).text();
      return Object.fromEntries(
        [...text.matchAll(/request_success_total\{finished_reason="(\w+)".*\} (\d+)/g)].map(([, how, n]) => [
          how,
          Number(n),
        ]),
      );
    };
    const stalled = (await chat(server, ENDLESS)).body?.getReader();
    await stalled?.read();
    await until(() => server.numCalls === 0, "the reader's limit");
    const left = (await chat(server, { ...ENDLESS, n: 2 })).body?.getReader();
    await left?.read();
    await left?.cancel();
    expect(await count()).toEqual({ abort: 3 });
    const patient = open({ stallMs: 60_000 }).server;
    await (await chat(patient, { ...ENDLESS, max_tokens: 2, n: 2 })).text();
    expect(await count(patient)).toEqual({ length: 2 });
    const hasty = open({ stallMs: 60_000, requestTimeoutMs: 300 }).server;
    await (await chat(hasty, { ...ENDLESS, stream: false })).text();
    await (await chat(hasty, ENDLESS)).text();
    expect(await count(hasty)).toEqual({ error: 2 });
    expect(server.numCalls).toBe(0);
  });

  it("that waits for its turn has comments, so that proxies keep it open", async () => {
    const { server } = open({ heartbeatMs: 30 });
    const busy = [ENDLESS, ENDLESS].map((body) => chat(server, body));
    const readers = (await Promise.all(busy)).map(({ body }) => body?.getReader());
    const waiting = (await chat(server, ENDLESS)).body?.getReader();
    expect(new TextDecoder().decode((await waiting?.read())?.value)).toBe(": ping\n\n");
    for (const reader of [...readers, waiting]) await reader?.cancel();
    expect(server.numCalls).toBe(0);
  });
});

describe("an engine that is not there", () => {
  it("is 503 with Retry-After while it loads, and /ready says so", async () => {
    const server = create();
    const response = await chat(server, { messages: MESSAGES });
    expect([response.status, response.headers.get("retry-after")]).toEqual([503, "1"]);
    expect((await response.json()).error.code).toBe("model_loading");
    expect([(await get(server, "/health")).status, (await get(server, "/ready")).status]).toEqual([200, 503]);
    server.serve(engine);
    expect((await get(server, "/ready")).status).toBe(200);
    await server.drain(0);
    expect(await (await get(server, "/ready")).json()).toEqual({ status: "shutting down" });
    expect((await (await chat(server, { messages: MESSAGES })).json()).error.code).toBe("shutting_down");
  });

  /** A generation that fails with what the engine throws. */
  function failed(error: Error): Generation {
    return {
      progress: { phase: "done", promptTokens: 1, cachedTokens: 0, generatedTokens: 0 },
      result: () => Promise.reject(error),
      [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(error) }),
    };
  }

  it("tells a client nothing of an error that nobody foresaw, and its log everything", async () => {
    const server = create();
    server.serve(watched(() => failed(new TypeError("secret path"))));
    for (const stream of [false, true]) {
      const response = await chat(server, { messages: MESSAGES, stream });
      expect(response.status).toBe(500);
      expect(await response.text()).not.toContain("secret");
    }
    expect(logged.join()).toContain("secret path");
  });
});

describe("pages of other origins", () => {
  it("may ask if --cors-origin names them, and are told so before they ask", async () => {
    const origin = "https://app.example";
    const server = create({ corsOrigins: [origin] });
    server.serve(engine);
    const asked = await server.fetch(
      new Request("http://localhost/v1/chat/completions", {
        method: "OPTIONS",
        headers: {
          Origin: origin,
          "Access-Control-Request-Method": "POST",
          "Access-Control-Request-Headers": "authorization,content-type",
        },
      }),
    );
    expect(asked.status).toBe(204);
    expect(asked.headers.get("access-control-allow-origin")).toBe(origin);
    expect(asked.headers.get("access-control-allow-headers")).toContain("authorization");
    const from = (name: string) =>
      server.fetch(new Request("http://localhost/v1/models", { headers: { Origin: name } }));
    expect((await from(origin)).headers.get("access-control-allow-origin")).toBe(origin);
    const other = await from("https://other.example");
    expect([other.status, other.headers.get("access-control-allow-origin")]).toEqual([403, null]);
  });
});
