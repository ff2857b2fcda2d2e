/** Bodies and headers that no client should send. Each test proves afterwards that the server still answers right. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { answersRight, messages, post, refusal } from "./fault-client.ts";
import { RawConnection } from "./raw-http.ts";
import { ServeProcess } from "./serve-process.ts";

let server: ServeProcess;
beforeAll(async () => {
  server = await ServeProcess.start(["--attention", "full", "--max-concurrent", "4", "--queue", "64"]);
});
afterAll(async () => {
  await server.stop();
});
afterEach(async () => {
  await answersRight(server);
  expect(server.stderr).toBe(""); // no client fills the log
});

const nested = (levels: number, before: string, after: string) =>
  `${before.repeat(levels)}true${after.repeat(levels)}`;
const inside = (field: string) => `{"messages":[{"role":"user","content":"a"}],"max_tokens":4,${field}}`;

describe("bodies", () => {
  it.each([
    ["no JSON", "hello"],
    ["half of it", '{"messages": ['],
    ["a list", "[]"],
    ["null", "null"],
    ["nothing", ""],
    ["NaN for a number", inside('"temperature":NaN')],
    ["100,000 nested lists", "[".repeat(100_000)],
    ["a schema of 10,000 levels", inside(`"guided_json":${nested(10_000, '{"items":', "}")}`)],
    ["a million values deep in a message", `{"messages":[${"[],".repeat(1_500_000)}1]}`],
  ])("%s is 400 in OpenAI's shape", async (_, body) => {
    await refusal(await post(server, body), 400);
  });

  it("invalid UTF-8 is 400", async () => {
    const bytes = Buffer.from('{"messages":[{"role":"user","content":"\xff\xfe"}]}', "latin1");
    expect((await refusal(await post(server, bytes), 400)).message).toContain("UTF-8");
  });

  it("lone surrogates, control characters and keys of prototypes are texts as others", async () => {
    const body = `{"__proto__":{"n":99},"max_tokens":3,"messages":[{"role":"user","__proto__":{"x":1},"content":"\\ud800 \\u0000 \\u202e"}]}`;
    const response = await post(server, body);
    expect(response.status).toBe(200);
    expect((await response.json()).choices).toHaveLength(1);
  });

  it("100 MB are 413, told by their length and in chunks without one, and are not read to their end", async () => {
    const part = new Uint8Array(1_000_000).fill(0x20);
    const head =
      "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
    const connection = await RawConnection.open(server.port);
    connection.write(`${head}Content-Length: 100000000\r\n\r\n`);
    await connection.until((text) => text.includes("\r\n\r\n"));
    expect(connection.status).toBe(413);
    connection.vanish();

    const chunked = await RawConnection.open(server.port);
    chunked.write(`${head}Transfer-Encoding: chunked\r\n\r\n`);
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
    const error = await refusal(await post(server, { messages: many }), 400);
    expect(error.code).toBe("context_length_exceeded");
  });

  it("another content type is 415", async () => {
    for (const type of ["application/x-www-form-urlencoded", "text/plain"])
      await refusal(await post(server, { messages }, { headers: { "Content-Type": type } }), 415);
  });

  it("an error quotes no more than a page of what was sent", async () => {
    const { message } = await refusal(
      await post(server, { messages, attention: `full:${"a".repeat(1e6)}` }),
      400,
    );
    expect(message.length).toBeLessThan(2100);
  });
});

describe("values", () => {
  const NUMBERS: Readonly<Record<string, string>> = {
    ...{ n: "n", max_tokens: "max_tokens", max_completion_tokens: "max_tokens", temperature: "temperature" },
    ...{ top_p: "top_p", top_k: "top_k", min_p: "min_p", presence_penalty: "presence_penalty", seed: "seed" },
    ...{ frequency_penalty: "frequency_penalty", repetition_penalty: "repetition_penalty" },
    ...{ min_tokens: "min_tokens", thinking_budget: "thinking_budget", top_logprobs: "top_logprobs" },
    ...{
      thinking_token_budget: "thinking_budget",
      stop_token_ids: "stop_token_ids",
      logit_bias: "logit_bias",
    },
  };
  const VALUES = [
    "1e999",
    "-1e999",
    "1e308",
    "-1e308",
    "1e-320",
    "-0",
    "-1",
    "0.5",
    "9007199254740993",
    '"NaN"',
    '"1"',
    "true",
    "[]",
    "{}",
    "[1e999]",
    '{"1":1e999}',
  ];

  it("of every numeric field, however huge or wrong, are followed or refused by name", async () => {
    const cases = Object.keys(NUMBERS).flatMap((field) => VALUES.map((value) => [field, value] as const));
    let numRefused = 0;
    const ask = async ([field, value]: readonly [string, string]) => {
      const limits = field.startsWith("max_")
        ? '"stop_token_ids":[220],"thinking_budget":2'
        : '"max_completion_tokens":2';
      const response = await post(
        server,
        `{"messages":[{"role":"user","content":"a"}],${limits},"${field}":${value}}`,
      );
      const { error } = await response.json();
      const what = `${field}: ${value}: ${JSON.stringify(error)}`;
      expect([200, 400], what).toContain(response.status);
      if (response.status === 200) return;
      numRefused++;
      expect([field, NUMBERS[field]], what).toContain(error.param?.replace(/[.[].*/, ""));
    };
    const width = 8;
    await Promise.all(
      Array.from({ length: width }, async (_, lane) => {
        for (let i = lane; i < cases.length; i += width) await ask(cases[i] as readonly [string, string]);
      }),
    );
    expect(numRefused).toBeGreaterThan(cases.length / 2);
    expect(numRefused).toBeLessThan(cases.length);
  });

  it("of token ids, however huge or wrong, are refused by name", async () => {
    for (const ids of ["[-1]", "[1e300]", "[0.5]", "[1e999]", "[512]", "[[5],[-1]]", "[]"]) {
      const body = `{"prompt":${ids},"max_tokens":1}`;
      const { param } = await refusal(await post(server, body, { path: "/v1/completions" }), 400);
      expect(param?.replace(/\[.*/, ""), ids).toBe("prompt");
    }
    for (const ids of ["[-1]", "[0.5]", "[1e999]", '["1"]'])
      await refusal(await post(server, `{"tokens":${ids}}`, { path: "/detokenize" }), 400);
  });

  const REF = "$ref";
  it.each<readonly [string, object, string | undefined]>([
    ["a catastrophic regex", { guided_regex: "(a|a)*(a|aa)*(((a?){10}){10}){10}b" }, undefined],
    ["nested stars", { guided_regex: "((a+)+)+$" }, undefined],
    ["a million million repetitions", { guided_regex: "(([a-z]{1,1000}){1,1000}){1,1000}" }, "guided_regex"],
    ["5,000 groups in each other", { guided_regex: nested(5000, "(", ")") }, "guided_regex"],
    ["a regex of a megabyte", { guided_regex: "x".repeat(1e6) }, "guided_regex"],
    [
      "a catastrophic pattern of a schema",
      { guided_json: { type: "string", pattern: "(a|a)*(a|aa)*b" } },
      undefined,
    ],
    ["a schema that is itself", { guided_json: { [REF]: "#" } }, "guided_json"],
    [
      "two definitions that are each other",
      {
        guided_json: { [REF]: "#/$defs/a", $defs: { a: { [REF]: "#/$defs/b" }, b: { [REF]: "#/$defs/a" } } },
      },
      "guided_json",
    ],
    ["a schema of all of itself", { guided_json: { allOf: [{ [REF]: "#" }] } }, "guided_json"],
    [
      "a tree of itself",
      { guided_json: { type: "object", properties: { kids: { type: "array", items: { [REF]: "#" } } } } },
      undefined,
    ],
    [
      "a text of a schema of 100,000 levels",
      { guided_json: nested(100_000, '{"items":', "}") },
      "guided_json",
    ],
    [
      "100,000 choices",
      { guided_choice: Array.from({ length: 1e5 }, (_, i) => `choice ${i}`) },
      "guided_choice",
    ],
    [
      "10,000 required properties",
      {
        guided_json: {
          type: "object",
          properties: Object.fromEntries(Array.from({ length: 1e4 }, (_, i) => [`p${i}`, {}])),
          required: Array.from({ length: 1e4 }, (_, i) => `p${i}`),
        },
      },
      "guided_json",
    ],
    ["a list of at least a milliard", { guided_json: { type: "array", minItems: 1e9 } }, "guided_json"],
    [
      "arguments of 100,000 levels",
      {
        messages: [
          {
            role: "assistant",
            content: "",
            tool_calls: [{ function: { name: "f", arguments: nested(100_000, '{"a":', "}") } }],
          },
        ],
      },
      "messages[0].tool_calls[0].function.arguments",
    ],
  ])("%s is followed or refused by name, and another request is answered meanwhile", async (_, extra, param) => {
    const [response] = await Promise.all([
      post(server, { messages, max_tokens: 4, temperature: 0, thinking_budget: 0, ...extra }),
      answersRight(server),
    ]);
    if (param === undefined) expect((await response.json()).usage.completion_tokens).toBeGreaterThan(0);
    else expect((await refusal(response, 400)).param).toBe(param);
  });
});

describe("headers", () => {
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
    const from = (Origin: string) => post(server, "{}", { headers: { Origin } });
    expect((await refusal(await from("http://evil.example"), 403)).code).toBe("origin_not_allowed");
    await refusal(await from("null"), 403);
    await refusal(await from("http://localhost:3000"), 400);
  });
});
