/** What no request may do: see another's cache, read a file, ask the network, change what others get, write headers or logs. */
import { existsSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { problem, TestFolder } from "./command-line.ts";
import { answersRight, messages, post, refusal } from "./fault-client.ts";
import { RawConnection } from "./raw-http.ts";
import { ServeProcess } from "./serve-process.ts";

const TOOLS_TEMPLATE = `{%- if tools %}<tool_call>{{ tools | tojson }}{% endif -%}
{%- for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant\n{% endif %}`;

const folder = new TestFolder();
let server: ServeProcess;
/** Its template shows the style of tool calls. */
let caller: ServeProcess;
beforeAll(async () => {
  const model = folder.modelWith("caller", { "chat_template.jinja": TOOLS_TEMPLATE });
  [server, caller] = await Promise.all([
    ServeProcess.start(["--attention", "full", "--served-model", 'a"b\\c', "--max-concurrent", "8"]),
    ServeProcess.start(["--model", model, "--attention", "full"]),
  ]);
});
afterAll(async () => {
  await Promise.all([server.stop(), caller.stop()]);
  folder.remove();
});

describe("the cache", () => {
  const long = `${problem}\n${"ab=cd+7\n".repeat(12)}`;
  const cachedOf = async (content: string, extra: object) => {
    const body = { messages: [{ role: "user", content }], max_tokens: 2, temperature: 0, ...extra };
    const { usage, choices } = await (await post(server, body)).json();
    return {
      cached: usage.prompt_tokens_details.cached_tokens as number,
      text: JSON.stringify(choices[0].message),
    };
  };

  it("of one salt is invisible under another, under none, and under salts that only look alike", async () => {
    const first = await cachedOf(long, { cache_salt: "a" });
    const salts = [undefined, "", "b", "a ", "A", "null", '"a"', '["a"]', "a\u0000", "__proto__"];
    const before = await server.metric("prefix_cache_tokens_total");
    for (const cache_salt of salts)
      expect(await cachedOf(long, { cache_salt }), JSON.stringify(cache_salt)).toEqual({
        cached: 0,
        text: first.text,
      });
    expect(await server.metric("prefix_cache_tokens_total")).toBe(before);
    for (const cache_salt of ["a", ...salts])
      expect((await cachedOf(long, { cache_salt })).cached, JSON.stringify(cache_salt)).toBeGreaterThan(100);
  });

  it("keeps salts apart while both prompts are being computed, and for answers that are shared on purpose", async () => {
    const other = `${long}z`;
    const together = await Promise.all(
      Array.from({ length: 6 }, (_, i) => cachedOf(other, { cache_salt: `s${i}`, reuses_decoded: true })),
    );
    expect(together.map(({ cached }) => cached)).toEqual([0, 0, 0, 0, 0, 0]);
    expect(new Set(together.map(({ text }) => text)).size).toBe(1);
  });
});

describe("files and the network", () => {
  let canary: Server;
  let numAsked = 0;
  beforeAll(async () => {
    canary = createServer((_, response) => {
      numAsked++;
      response.end("{}");
    });
    await new Promise<void>((resolve) => canary.listen(0, "127.0.0.1", resolve));
  });
  afterAll(() => void canary.close());

  it("are asked by no field of a request", async () => {
    const url = `http://127.0.0.1:${(canary.address() as AddressInfo).port}/x`;
    const secret = folder.file("secret.json", '{"secret":"TOPSECRET"}');
    const marker = join(folder.path, "loaded");
    const policy = folder.file(
      "policy.mjs",
      `import { writeFileSync } from "node:fs"; writeFileSync(${JSON.stringify(marker)}, ""); export default {};`,
    );
    const places = [url, secret, `file://${secret}`, "file:///etc/passwd", "../../../../etc/passwd"];
    const part = (type: string, value: object) => ({
      messages: [{ role: "user", content: [{ type, ...value }] }],
    });
    const bodies = places.flatMap((place): [object, number][] => [
      [{ messages, model: place }, 404],
      [{ messages, attention: place }, 400],
      [{ messages, attention: `seer-attention-r:budget=64,gate=${place}` }, 400],
      [{ messages, guided_json: { $ref: place } }, 400],
      [{ messages, guided_json: { $schema: place, $id: place, type: "integer" } }, 200],
      [
        {
          messages,
          response_format: { type: "json_schema", json_schema: { name: "a", schema: { $ref: place } } },
        },
        400,
      ],
      [{ messages, response_format: place }, 400],
      [{ messages, guided_grammar: place }, 400],
      [{ messages, chat_template: place }, 400],
      [{ messages, chat_template: `{% include '${place}' %}` }, 400],
      [{ messages, chat_template_kwargs: { chat_template: place } }, 400],
      [part("image_url", { image_url: { url: place } }), 400],
      [part("input_audio", { input_audio: { data: place } }), 400],
      [part("file", { file: { file_id: place } }), 400],
      [{ messages, prompt_embeds: place }, 400],
      [{ messages, documents: [{ url: place }] }, 400],
      [{ messages, mm_processor_kwargs: { path: place } }, 400],
      [{ messages, logits_processors: [place] }, 400],
      [{ messages, web_search_options: { url: place } }, 400],
      [
        {
          messages,
          cache_salt: place,
          user: place,
          metadata: { url: place },
          kv_transfer_params: { url: place },
        },
        200,
      ],
    ]);
    for (const attention of [
      policy,
      `file://${policy}`,
      `${policy}:budget=1`,
      `seer-attention-r:budget=64,gate=${policy}`,
    ])
      bodies.push([{ messages, attention }, 400]);
    for (const [body, status] of bodies) {
      const response = await post(server, { max_tokens: 1, ...body });
      const text = await response.text();
      expect(response.status, `${JSON.stringify(body)}: ${text}`).toBe(status);
      expect(text).not.toMatch(/TOPSECRET|root:/);
    }
    const tool = { type: "function", function: { name: "f", parameters: { $ref: url } } };
    await refusal(await post(caller, { messages, tools: [tool], tool_choice: "required" }), 400);
    expect([numAsked, existsSync(marker)]).toEqual([0, false]);
  });
});

describe("names of JavaScript", () => {
  afterEach(async () => {
    const { choices } = await (await post(server, { messages, max_tokens: 2, temperature: 0 })).json();
    expect(choices).toHaveLength(1);
    await answersRight(server);
  });

  it("change nothing of later requests, wherever they stand", async () => {
    const evil = '{"n":5,"stream":true,"max_tokens":1,"attention":"nothing","stop":["a"],"polluted":true}';
    const keys = [`"__proto__":${evil}`, `"constructor":{"prototype":${evil}}`, `"prototype":${evil}`];
    const all = `{${keys.join(",")}}`;
    const bodies = [
      `{"messages":[{"role":"user","content":"a",${keys.join(",")}}],"max_tokens":1,${keys.join(",")}}`,
      ...[
        "chat_template_kwargs",
        "stream_options",
        "metadata",
        "logit_bias",
        "response_format",
        "guided_json",
        "tool_choice",
        "stop",
        "attention",
      ].map((field) => `{"messages":[{"role":"user","content":"a"}],"max_tokens":1,"${field}":${all}}`),
      `{"messages":[{"role":"assistant","content":"","tool_calls":[{"function":{"name":"f","arguments":${JSON.stringify(all)}}}]}],"max_tokens":1}`,
    ];
    for (const on of [server, caller])
      for (const body of bodies) {
        const response = await post(on, body);
        await response.text();
        expect([200, 400], body.slice(0, 200)).toContain(response.status);
      }
    for (const field of ["reasoning_effort", "attention", "model"])
      for (const name of ["__proto__", "constructor", "toString", "hasOwnProperty"]) {
        const response = await post(server, { messages, max_tokens: 1, [field]: name });
        await refusal(response, field === "model" ? 404 : 400);
      }
  });

  it("are names as others: properties of an answer, and tools", async () => {
    const names = ["__proto__", "constructor", "hasOwnProperty"];
    const schema = `{"type":"object","properties":{${names.map((name, i) => `"${name}":{"const":${i}}`).join()}},"required":${JSON.stringify(names)},"additionalProperties":false}`;
    const asked = `{"messages":[{"role":"user","content":"a"}],"temperature":0,"max_tokens":300,"thinking_budget":0,"guided_json":${schema}}`;
    const answer = JSON.parse((await (await post(server, asked)).json()).choices[0].message.content);
    expect(Object.entries(answer)).toEqual(names.map((name, i) => [name, i]));
    for (const name of ["__proto__", "constructor"]) {
      const tools = [
        {
          type: "function",
          function: { name, parameters: { type: "object", properties: {}, additionalProperties: false } },
        },
      ];
      const body = {
        messages,
        tools,
        tool_choice: "required",
        temperature: 0,
        max_tokens: 300,
        thinking_budget: 0,
      };
      const { choices } = await (await post(caller, body)).json();
      expect(choices[0].message.tool_calls?.[0]?.function.name, JSON.stringify(choices)).toBe(name);
    }
  });
});

describe("answers", () => {
  it("have no header of a request's, and an id of the server's own", async () => {
    const connection = await RawConnection.open(server.port);
    const body = JSON.stringify({ messages, model: "x\r\nSet-Cookie: a=b", max_tokens: 1 });
    connection.write(
      `POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nX-Request-Id: evil\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n${body}`,
    );
    const text = await connection.closed();
    expect(connection.status).toBe(404);
    expect(text).not.toMatch(/^(set-cookie|x-request-id: evil)/im);
    for (const id of ["evil", "a%0d%0aSet-Cookie: a=b"]) {
      const response = await post(server, { messages, max_tokens: 1 }, { headers: { "X-Request-Id": id } });
      const { id: own } = await response.json();
      expect(own).toMatch(/^chatcmpl-[0-9a-f-]{36}$/);
      expect(response.headers.get("x-request-id")).toBe(own);
    }
    const path = await fetch(`${server.origin}/v1/models/a%0d%0aSet-Cookie:%20a=b`);
    expect([path.status, path.headers.get("set-cookie")]).toEqual([404, null]);
    await path.text();
  });

  it("of /metrics escape the model's name, and have no label of a request's", async () => {
    await refusal(await post(server, { messages, attention: "evil", user: "evil", cache_salt: "evil" }), 400);
    const text = await (await fetch(`${server.origin}/metrics`)).text();
    expect(text).toContain('model_name="a\\"b\\\\c"');
    expect(text).not.toContain("evil");
    for (const line of text.trimEnd().split("\n"))
      expect(line).toMatch(/^(# .*|[\w:]+(\{.*\})? [\d.e+-]+|)$/);
  });
});
