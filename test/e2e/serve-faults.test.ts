/** Clients that misbehave, and ends of the server. Each test proves afterwards that the server still answers right. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { golden, problem, TestFolder } from "./command-line.ts";
import { RawConnection } from "./raw-http.ts";
import { ServeProcess } from "./serve-process.ts";

const messages = [{ role: "user", content: problem }];
const ENDLESS = { messages, temperature: 0, max_tokens: 6000, ignore_eos: true, stream: true };

const folder = new TestFolder();
afterAll(() => folder.remove());
let server: ServeProcess;
beforeAll(async () => {
  server = await ServeProcess.start(["--attention", "full", "--max-concurrent", "4", "--queue", "8"]);
});
afterAll(async () => {
  await server.stop();
});

function post(
  body: BodyInit,
  headers: Record<string, string> = {},
  origin = server.origin,
): Promise<Response> {
  return fetch(`${origin}/v1/chat/completions`, {
    method: "POST",
    headers: { "Content-Type": "application/json", ...headers },
    body,
    signal: AbortSignal.timeout(20_000),
    ...(body instanceof ReadableStream && { duplex: "half" }),
  });
}

/** Asks the golden problem's first tokens. */
async function answersRight(): Promise<void> {
  const response = await post(JSON.stringify({ messages, temperature: 0, max_tokens: 24 }));
  const { choices } = await response.json();
  expect(golden.greedy_text).toContain(choices[0].message.reasoning);
  expect(choices[0].message.reasoning.length).toBeGreaterThan(20);
}

/** Expects an error in the shape of OpenAI's API, and returns it. */
async function refusal(
  response: Response,
  status: number,
): Promise<{ message: string; code: string | null }> {
  const { error } = await response.json();
  expect(response.status).toBe(status);
  expect(Object.keys(error)).toEqual(["message", "type", "param", "code"]);
  return error;
}

describe("bodies", () => {
  afterEach(answersRight);

  it.each([
    ["no JSON", "hello", 400],
    ["half of it", '{"messages": [', 400],
    ["a list", "[]", 400],
    ["null", "null", 400],
    ["nothing", "", 400],
    ["100,000 nested lists", "[".repeat(100_000), 400],
    [
      "a schema of 10,000 levels",
      `{"guided_json":${'{"items":'.repeat(10_000)}true${"}".repeat(10_000)},"messages":[]}`,
      400,
    ],
    ["a million values deep in a message", `{"messages":[${"[],".repeat(1_500_000)}1]}`, 400],
  ])("%s is 400 in OpenAI's shape", async (_, body, status) => {
    await refusal(await post(body), status);
  });

  it("invalid UTF-8 is 400", async () => {
    const bytes = Buffer.from('{"messages":[{"role":"user","content":"\xff\xfe"}]}', "latin1");
    expect((await refusal(await post(bytes), 400)).message).toContain("UTF-8");
  });

  it("lone surrogates, control characters and keys of prototypes are texts as others", async () => {
    const body = `{"__proto__":{"n":99},"max_tokens":3,"messages":[{"role":"user","__proto__":{"x":1},"content":"\\ud800 \\u0000 \\u202e"}]}`;
    const response = await post(body);
    expect(response.status).toBe(200);
    expect((await response.json()).choices).toHaveLength(1);
  });

  it("100 MB are 413, told by their length and in chunks without one, and are not read to their end", async () => {
    const part = new Uint8Array(1_000_000).fill(0x20);
    const connection = await RawConnection.open(server.port);
    connection.write(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n",
    );
    await connection.until((text) => text.includes("\r\n\r\n"));
    expect(connection.status).toBe(413);
    connection.vanish();

    const chunked = await RawConnection.open(server.port);
    chunked.write(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n",
    );
    for (let i = 0; i < 100 && chunked.status === 0 && chunked.socket.writable; i++) {
      chunked.write(`f4240\r\n`);
      chunked.write(part);
      chunked.write("\r\n");
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
    await chunked.until((text) => text.includes('"error"'));
    expect(chunked.status).toBe(413);
    chunked.vanish();
  });

  it("a history of 10,000 messages is answered, here with the reason that it is too long", async () => {
    const many = Array.from({ length: 10_000 }, (_, i) => ({
      role: i % 2 === 0 ? "user" : "assistant",
      content: `message ${i}`,
    }));
    const error = await refusal(await post(JSON.stringify({ messages: many })), 400);
    expect(error.code).toBe("context_length_exceeded");
  });

  it("another content type is 415", async () => {
    const form = { "Content-Type": "application/x-www-form-urlencoded" };
    await refusal(await post(JSON.stringify({ messages }), form), 415);
    await refusal(await post(JSON.stringify({ messages }), { "Content-Type": "text/plain" }), 415);
  });
});

describe("headers", () => {
  afterEach(answersRight);

  it("a flood of headers is 431 and ends the connection", async () => {
    const connection = await RawConnection.open(server.port);
    connection.write("GET /health HTTP/1.1\r\nHost: localhost\r\n");
    for (let i = 0; i < 2000; i++) connection.write(`X-${i}: ${"a".repeat(100)}\r\n`);
    await connection.closed();
    expect(connection.status === 431 || connection.text === "").toBe(true);
  });

  it("what is no HTTP is 400 in OpenAI's shape", async () => {
    const connection = await RawConnection.open(server.port);
    connection.write("\x16\x03\x01 hello\r\n\r\n");
    expect(await connection.closed()).toMatch(/^HTTP\/1\.1 400 [\s\S]*"error":\{"message"/);
  });

  it("a page of another origin is 403, and one of this machine is answered", async () => {
    expect((await refusal(await post("{}", { Origin: "http://evil.example" }), 403)).code).toBe(
      "origin_not_allowed",
    );
    await refusal(await post("{}", { Origin: "null" }), 403);
    await refusal(await post("{}", { Origin: "http://localhost:3000" }), 400);
  });
});

describe("readers", () => {
  afterEach(async () => {
    await server.idle();
    await answersRight();
  });

  it("many that vanish in the middle of their streams leave nothing that runs or waits", async () => {
    const connections = await Promise.all(Array.from({ length: 10 }, () => RawConnection.open(server.port)));
    for (const connection of connections) connection.chat(ENDLESS);
    await Promise.all(
      connections.slice(0, 4).map((one) => one.until((text) => text.includes('"reasoning"'))),
    );
    for (const connection of connections) connection.vanish();
    await server.idle(2000);
    expect(await server.metric("num_requests_running")).toBe(0);
  });

  it("one that leaves before its body has come disturbs nothing", async () => {
    const connection = await RawConnection.open(server.port);
    connection.write(
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
    );
    await new Promise((resolve) => setTimeout(resolve, 50));
    connection.vanish();
  });

  it("a slow one gets its whole answer, while others are answered", async () => {
    const slow = await RawConnection.open(server.port);
    slow.socket.pause();
    slow.chat({ ...ENDLESS, max_tokens: 200 });
    const response = await post(
      JSON.stringify({ messages, temperature: 0, max_tokens: 200, ignore_eos: true }),
    );
    const { choices } = await response.json();
    slow.socket.resume();
    const text = await slow.until((all) => all.includes("[DONE]"));
    const parts = [...text.matchAll(/^data: (\{.*\})$/gm)].map(
      ([, chunk]) => JSON.parse(chunk ?? "").choices[0].delta,
    );
    expect(parts.map(({ reasoning = "" }) => reasoning).join("")).toBe(choices[0].message.reasoning);
    expect(parts.map(({ content = "" }) => content).join("")).toBe(choices[0].message.content);
    slow.vanish();
  });

  it("more than the queue holds are told to come again, and the others get their answers", async () => {
    const body = JSON.stringify({ messages, temperature: 0, max_tokens: 24, ignore_eos: true });
    const responses = await Promise.all(Array.from({ length: 40 }, () => post(body)));
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

describe("a server of its own", () => {
  it("whose own policy is a file that throws fails its requests alone, and no request may name the file", async () => {
    const file = folder.file(
      "throws.mjs",
      'export default { name: "throws", settings: {}, tokenBudget: 16, layerRole: (layer) => ({ attends: layer > 0 ? "selected" : "all", selects: layer === 0 }), select() { throw new Error("boom"); } };',
    );
    const own = await ServeProcess.start(["--attention", file]);
    try {
      const ask = (extra: object) =>
        post(JSON.stringify({ messages, temperature: 0, max_tokens: 40, ...extra }), {}, own.origin);
      const [failed, good] = await Promise.all([ask({}), ask({ attention: "full" })]);
      expect((await refusal(failed, 500)).message).toContain("boom");
      expect((await good.json()).choices).toHaveLength(1);
      for (const attention of [file, "file", "file:budget=1", "throws"])
        expect((await refusal(await ask({ attention }), 400)).code).toBe("unknown_attention");
      expect((await fetch(`${own.origin}/health`)).status).toBe(200);
    } finally {
      await own.stop();
    }
  });

  it("asks for its key everywhere but at /health and /ready", async () => {
    const own = await ServeProcess.start(["--api-key", "first"], { LESSISMORE_API_KEY: "second" });
    try {
      for (const path of ["/v1/models", "/metrics", "/nothing"])
        for (const headers of [
          {},
          { Authorization: "Bearer firs" },
          { Authorization: "Basic first" },
        ] as const) {
          const response = await fetch(own.origin + path, { headers });
          expect(response.headers.get("www-authenticate")).toBe("Bearer");
          expect((await refusal(response, 401)).code).toBe("invalid_api_key");
        }
      for (const key of ["first", "second"])
        expect(
          (await fetch(`${own.url}/models`, { headers: { Authorization: `Bearer ${key}` } })).status,
        ).toBe(200);
      for (const path of ["/health", "/ready"]) expect((await fetch(own.origin + path)).status).toBe(200);
    } finally {
      await own.stop();
    }
  });

  it("ends a request that takes too long, with 504 or the last event of its stream; warns without a key on all addresses", async () => {
    const own = await ServeProcess.start(["--request-timeout", "1", "--host", "0.0.0.0"]);
    try {
      expect(own.stderr).toContain("--api-key");
      const origin = `http://127.0.0.1:${own.port}`;
      const whole = await post(JSON.stringify({ ...ENDLESS, stream: false }), {}, origin);
      expect(whole.headers.get("x-should-retry")).toBe("false");
      expect((await refusal(whole, 504)).code).toBe("timeout");
      const events = await (await post(JSON.stringify(ENDLESS), {}, origin)).text();
      const last = events.trimEnd().split("\n").at(-1) ?? "";
      expect(JSON.parse(last.replace("data: ", ""))).toMatchObject({ error: { code: "timeout" } });
    } finally {
      await own.stop();
    }
  });

  it("lets running streams end after SIGTERM under load, takes no more, and exits with 0", async () => {
    const own = await ServeProcess.start(["--attention", "full", "--max-concurrent", "8"]);
    try {
      const connections = await Promise.all(Array.from({ length: 8 }, () => RawConnection.open(own.port)));
      for (const connection of connections) connection.chat({ ...ENDLESS, max_tokens: 60 });
      const idle = await RawConnection.open(own.port);
      await Promise.all(connections.map((one) => one.until((text) => text.includes('"reasoning"'))));
      own.signal("SIGTERM");
      const texts = await Promise.all(connections.map((one) => one.closed()));
      for (const text of texts) {
        expect(text).toContain('"finish_reason":"length"');
        expect(text).toContain("data: [DONE]");
      }
      await idle.closed();
      expect(await own.exit()).toEqual({ code: 0, signal: null });
      await expect(fetch(`${own.url}/models`)).rejects.toThrow();
    } finally {
      await own.stop();
    }
  });

  it("tells streams that outlast the time to drain that it ends, and exits with 0", async () => {
    const own = await ServeProcess.start(["--drain-timeout", "1"]);
    try {
      const connection = await RawConnection.open(own.port);
      connection.chat(ENDLESS);
      await connection.until((text) => text.includes('"reasoning"'));
      own.signal("SIGTERM");
      expect(await connection.closed()).toContain('"code":"shutting_down"');
      expect(await own.exit()).toEqual({ code: 0, signal: null });
    } finally {
      await own.stop();
    }
  });

  it("on a port that is taken ends with 2 and a line that says so", async () => {
    await expect(ServeProcess.start(["--port", String(server.port)])).rejects.toThrow(
      /ended with 2.*cannot listen/s,
    );
  });
});
