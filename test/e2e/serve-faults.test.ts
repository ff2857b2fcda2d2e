/**
 * Readers that misbehave, policies that throw, limits, keys, SIGTERM under load, a port that is taken, templates that loop. Other faults:
 * - serve-bodies: no JSON, no UTF-8, depth, 100 MB, 10,000 messages, numbers, patterns, schemas, headers, origins
 * - serve-ends: the engine's thread or the server killed under load, SIGTERM and SIGINT twice
 * - serve-security: salts of the cache, files, the network, names of JavaScript, headers, metrics
 * - serve-storm: fewer pages than requests need; serve-readers.system: a reader that reads nothing
 * - serve-device-lost.system: a GPU lost under load; serve-load.system: 64 clients, every answer as alone
 */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { TestFolder } from "./command-line.ts";
import { answersRight, ENDLESS, eventsOf, messages, post, refusal, textOf } from "./fault-client.ts";
import { RawConnection } from "./raw-http.ts";
import { ServeProcess } from "./serve-process.ts";

const folder = new TestFolder();
afterAll(() => folder.remove());
let server: ServeProcess;
beforeAll(async () => {
  server = await ServeProcess.start(["--attention", "full", "--max-concurrent", "4", "--queue", "8"]);
});
afterAll(async () => {
  await server.stop();
});

describe("readers", () => {
  afterEach(async () => {
    await server.idle();
    await answersRight(server);
    expect(server.stderr).toBe(""); // no client fills the log
  });

  it("many that vanish in the middle of their streams, with several choices too, leave nothing that runs or waits", async () => {
    const connections = await Promise.all(Array.from({ length: 6 }, () => RawConnection.open(server.port)));
    for (const [i, connection] of connections.entries()) connection.chat({ ...ENDLESS, n: i < 3 ? 3 : 1 });
    await connections[0]?.until((text) => [0, 1, 2].every((index) => textOf(text, index).length > 0));
    for (const connection of connections) connection.vanish();
    await server.idle(2000);
    expect(await server.metric("num_requests_running")).toBe(0);
  });

  it("those whose bodies never come hold up nobody, and one that leaves meanwhile is no fault of the server", async () => {
    const head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    const halves = await Promise.all(Array.from({ length: 40 }, () => RawConnection.open(server.port)));
    for (const [i, half] of halves.entries())
      half.write(
        i % 2 === 0
          ? `${head}Content-Length: 1000\r\n\r\n{`
          : `${head}Transfer-Encoding: chunked\r\n\r\n5\r\n{"me`,
      );
    const silent = await RawConnection.open(server.port); // sends nothing at all
    await answersRight(server);
    expect(await server.metric("num_requests_waiting")).toBe(0);
    for (const connection of [...halves, silent]) connection.vanish();
  });

  it("a slow one gets its whole answer, while others are answered", async () => {
    const slow = await RawConnection.open(server.port);
    slow.socket.pause();
    slow.chat({ ...ENDLESS, max_tokens: 200 });
    const { choices } = await (await post(server, { ...ENDLESS, max_tokens: 200, stream: false })).json();
    slow.socket.resume();
    const text = await slow.until((all) => all.includes("[DONE]"));
    const { reasoning = "", content = "" } = choices[0].message;
    expect(textOf(text)).toBe(reasoning + content);
    slow.vanish();
  });

  it("more than the queue holds are told to come again, and the others get their answers", async () => {
    const body = { messages, temperature: 0, max_tokens: 24, ignore_eos: true };
    const responses = await Promise.all(Array.from({ length: 40 }, () => post(server, body)));
    const busy = responses.filter(({ status }) => status === 429);
    expect(busy.length).toBeGreaterThan(0);
    expect(responses.length - busy.length).toBeGreaterThanOrEqual(8);
    for (const response of responses)
      if (response.status !== 429) {
        expect(response.status).toBe(200);
        expect((await response.json()).usage.completion_tokens).toBe(24);
      } else {
        expect(Number(response.headers.get("retry-after"))).toBeGreaterThanOrEqual(1);
        expect((await refusal(response, 429)).code).toBe("queue_full");
      }
  });
});

/** Each has a server of its own, so that they wait side by side. */
describe.concurrent("a server of its own", () => {
  async function withServer(
    args: readonly string[],
    work: (own: ServeProcess) => Promise<void>,
    env: NodeJS.ProcessEnv = {},
  ): Promise<void> {
    const own = await ServeProcess.start(args, env);
    try {
      await work(own);
    } finally {
      await own.stop();
    }
  }

  it("whose own policy is a file that throws in the middle of an answer fails that request alone, and no request may name the file", async () => {
    const file = folder.file(
      "throws.mjs",
      `let steps = 0;
      export default { name: "throws", settings: {}, tokenBudget: 16,
        layerRole: (layer) => ({ attends: layer > 0 ? "selected" : "all", selects: layer === 0 }),
        select(selector) {
          if (++steps % 30 === 0) throw new Error("boom\\nlessismore: the engine is back\\u001b[31m");
          return selector.expandSelection(undefined, { sinks: 4, recent: 12 });
        } };`,
    );
    await withServer(["--attention", file], async (own) => {
      const ask = (extra: object) =>
        post(own, { messages, temperature: 0, max_tokens: 40, ignore_eos: true, ...extra });
      const texts = async (responses: readonly Promise<Response>[]) =>
        Promise.all(responses.map(async (response) => textOf(await (await response).text())));
      const others = ["full", "quest:budget=64,page=16,dense-layers=2", "streaming-llm:budget=64,sinks=4"];
      const alone: string[] = [];
      for (const attention of others) alone.push(...(await texts([ask({ attention, stream: true })])));
      const thrown = ask({ stream: true });
      expect(await texts(others.map((attention) => ask({ attention, stream: true })))).toEqual(alone);
      const text = await (await thrown).text();
      expect(textOf(text).length).toBeGreaterThan(20);
      expect(text).not.toContain("[DONE]");
      expect(eventsOf(text).at(-1)).toMatchObject({ error: { type: "server_error", code: "attention" } });
      expect((await refusal(await ask({}), 500)).message).toContain("boom");
      for (const attention of [file, "file", "file:budget=1", "throws"])
        expect((await refusal(await ask({ attention }), 400)).code).toBe("unknown_attention");
      expect((await fetch(`${own.origin}/health`)).status).toBe(200);
      // a message with lines of its own looks like no line of the server's
      expect(own.stderr).toContain("boom");
      expect(own.stderr).not.toMatch(/^lessismore: the engine is back/m);
      expect(own.stderr).not.toContain("\u001b");
      await answersRight(own, { attention: "full" });
    });
  });

  it("asks for its key everywhere but at /health and /ready", () =>
    withServer(
      ["--api-key", "first"],
      async (own) => {
        const wrong = ["Bearer firs", "Bearer firsts", "Bearer First", "Bearer ", "Basic first", "first"];
        for (const path of ["/v1/models", "/metrics", "/nothing", "/tokenize"])
          for (const headers of [{}, ...wrong.map((Authorization) => ({ Authorization }))] as const) {
            const response = await fetch(own.origin + path, { headers });
            expect(response.headers.get("www-authenticate")).toBe("Bearer");
            expect((await refusal(response, 401)).code).toBe("invalid_api_key");
          }
        for (const key of ["first", "second"])
          expect(
            (await fetch(`${own.url}/models`, { headers: { Authorization: `Bearer ${key}` } })).status,
          ).toBe(200);
        for (const path of ["/health", "/ready"]) expect((await fetch(own.origin + path)).status).toBe(200);
      },
      { LESSISMORE_API_KEY: "second" },
    ));

  it("ends a request that takes too long, with 504 or the last event of its stream; warns without a key on all addresses", () =>
    withServer(["--request-timeout", "1", "--host", "0.0.0.0"], async (own) => {
      expect(own.stderr).toContain("--api-key");
      const origin = `http://127.0.0.1:${own.port}`;
      const [whole, stream] = await Promise.all([
        post(origin, { ...ENDLESS, stream: false }),
        post(origin, ENDLESS).then(async (response) => ({
          status: response.status,
          text: await response.text(),
        })),
      ]);
      expect(whole.headers.get("x-should-retry")).toBe("false");
      expect((await refusal(whole, 504)).code).toBe("timeout");
      // on a slow machine the time is over before the first token
      const last = stream.status === 200 ? eventsOf(stream.text).at(-1) : JSON.parse(stream.text);
      expect(last).toMatchObject({ error: { code: "timeout" } });
    }));

  it("lets running streams end after SIGTERM under load, takes no more, and exits with 0 while bodies are unfinished", () =>
    withServer(["--attention", "full", "--max-concurrent", "8"], async (own) => {
      const connections = await Promise.all(Array.from({ length: 8 }, () => RawConnection.open(own.port)));
      for (const connection of connections) connection.chat({ ...ENDLESS, max_tokens: 60 });
      const [idle, half] = [await RawConnection.open(own.port), await RawConnection.open(own.port)];
      half.write(
        "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
      );
      await Promise.all(connections.map((one) => one.until((text) => text.includes('"reasoning"'))));
      own.signal("SIGTERM");
      const texts = await Promise.all(connections.map((one) => one.closed()));
      for (const text of texts) {
        expect(text).toContain('"finish_reason":"length"');
        expect(text).toContain("data: [DONE]");
      }
      await Promise.all([idle.closed(), half.closed()]);
      expect(await own.exit()).toEqual({ code: 0, signal: null });
      await expect(fetch(`${own.url}/models`)).rejects.toThrow();
    }));

  it("tells streams that outlast the time to drain that it ends, and exits with 0", () =>
    withServer(["--drain-timeout", "1"], async (own) => {
      const connection = await RawConnection.open(own.port);
      connection.chat(ENDLESS);
      await connection.until((text) => text.includes('"reasoning"'));
      own.signal("SIGTERM");
      expect(await connection.closed()).toContain('"code":"shutting_down"');
      expect(await own.exit()).toEqual({ code: 0, signal: null });
    }));

  it("on a port that is taken ends with 2 and a line that says so", async () => {
    await expect(ServeProcess.start(["--port", String(server.port)])).rejects.toThrow(
      /ended with 2.*cannot listen/s,
    );
  });

  it("whose template loops ends such a conversation with 400, answers /health meanwhile, and prompts beside it", async () => {
    const loops = {
      loops: "{% for i in range(100000) %}{% for j in range(100000) %}{% endfor %}{% endfor %}",
      calls: "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
      grows:
        "{% set n = namespace(t='ab') %}{% for i in range(64) %}{% set n.t = n.t + n.t %}{% endfor %}{{ n.t }}",
    };
    const template = `{% set kind = messages[0].content %}${Object.entries(loops)
      .map(([kind, text]) => `{% if kind == '${kind}' %}${text}{% endif %}`)
      .join("")}`;
    const model = folder.modelWith("looping", { "chat_template.jinja": template });
    await withServer(["--model", model, "--attention", "full"], async (own) => {
      for (const content of Object.keys(loops)) {
        const looping = post(own, { messages: [{ role: "user", content }], max_tokens: 1 });
        expect((await fetch(`${own.origin}/health`)).status).toBe(200);
        const error = await refusal(await looping, 400);
        expect([error.param, error.message]).toEqual(["messages", expect.stringMatching(/was stopped: /)]);
      }
      const { usage } = await (
        await post(own, { prompt: "a", max_tokens: 3, ignore_eos: true }, { path: "/v1/completions" })
      ).json();
      expect(usage.completion_tokens).toBe(3);
    });
  });
});
