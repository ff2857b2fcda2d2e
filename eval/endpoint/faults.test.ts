import { describe, expect, test } from "vitest";
import { AbortedError, RequestError } from "../../src/node/index.ts";
import { local, open, request, server } from "../../test/endpoint/endpoint-trial.ts";
import { refuse, type ServerWays } from "../../test/endpoint/engine-server.ts";
import type { Solved } from "../run/solver.ts";
import type { EndpointOptions } from "./open-endpoint.ts";

describe("a server that", () => {
  const answers = async (given: Partial<EndpointOptions> = {}, ways: ServerWays = {}) => {
    const solver = await open(given, ways);
    return solver.solve(request({ maxTokens: 24 }));
  };
  let solved: Promise<Solved> | undefined;
  const right = () => {
    solved ??= local.solve(request({ maxTokens: 24, method: { label: "full", attention: "full" } }));
    return solved;
  };
  const times = () => server.asked.length;

  test.each([408, 429, 500, 503])("answers %i twice is asked again", async (status) => {
    server.fault = ({ count }, response) => {
      if (count < 2 || count > 3) return false;
      refuse(response, status, "busy");
      return true;
    };
    expect((await answers()).text).toBe((await right()).text);
    expect(times()).toBe(3);
  });

  test("asks to wait is given its time, by seconds, by a date and by milliseconds, and not beyond reason", async () => {
    const solver = await open({ retry: { pauseMs: 5, attempts: 3, longestWaitMs: 5000 } });
    const after = (headers: Record<string, string>) => {
      let isFirst = true;
      server.fault = (_, response) => {
        if (!isFirst) return false;
        isFirst = false;
        refuse(response, 429, "slow down", headers);
        return true;
      };
    };
    const timed = async () => {
      const start = performance.now();
      await solver.solve(request({ maxTokens: 4 }));
      return performance.now() - start;
    };
    after({ "Retry-After": "1" });
    expect(await timed()).toBeGreaterThan(990);
    after({ "retry-after-ms": "400" });
    expect(await timed()).toBeGreaterThan(390);
    after({ "Retry-After": new Date(Date.now() + 2000).toUTCString() });
    expect(await timed()).toBeGreaterThan(900);
    after({ "Retry-After": "9000" });
    await expect(solver.solve(request())).rejects.toThrow(/asks to wait 9000 s: run again then/);
  });

  test("is busy for ever ends the attempt, and not the run", async () => {
    server.fault = ({ count }, response) => {
      if (count === 1) return false;
      refuse(response, 503, "no capacity");
      return true;
    };
    const failed = await answers().catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RequestError);
    expect(String(failed)).toMatch(
      /asking pico-reasoner at http.*answered 503 \(no capacity\); gave up after 4 tries/,
    );
    expect(times()).toBe(4);
  });

  test("cuts the connection in the midst is asked again, and no part of the cut answer stays", async () => {
    server.fault = ({ count }) => (count === 2 || count === 3 ? "cut" : false);
    const ways = { reasoningField: "reasoning_content" } as const;
    const { text } = await answers({}, ways);
    server.fault = () => false;
    expect(text).toBe((await answers({}, ways)).text);
  });

  test("cuts a whole answer is asked again", async () => {
    server.fault = ({ count }) => (count === 2 ? "cut" : false);
    expect((await answers({ streams: false })).text).toBe((await right()).text);
  });

  test.each([
    [
      "ends a stream without a reason",
      'data: {"choices":[{"delta":{"content":"a"}}]}\n\ndata: [DONE]\n\n',
      /cut/,
    ],
    [
      "ends a stream without a count",
      'data: {"choices":[{"delta":{"content":"a"},"finish_reason":"stop"}]}\n\n',
      /no usage/,
    ],
    [
      "reports an error in a stream",
      'data: {"error":{"message":"CUDA out of memory","code":500}}\n\n',
      /CUDA out of memory/,
    ],
    ["sends no JSON", "data: hello\n\n", /no JSON \(it begins "hello"\)/],
    ["sends a page", "<html>proxy</html>", /cut/],
    ["sends nothing", "", /cut/],
    [
      "counts below zero",
      'data: {"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":-1}}\n\n',
      /no chat completion: usage\.completion_tokens/,
    ],
    [
      "counts in text",
      'data: {"choices":[],"usage":{"prompt_tokens":"1","completion_tokens":1}}\n\n',
      /no chat completion/,
    ],
    ["sends choices of another kind", 'data: {"choices":{"a":1}}\n\n', /no chat completion: choices/],
    [
      "gives the request up",
      'data: {"choices":[{"delta":{},"finish_reason":"abort"}]}\n\n',
      /gave the request up/,
    ],
  ])("%s is asked again, and then says what came", async (_, body, message) => {
    server.fault = ({ count }, response) => {
      if (count !== 2 && count !== 5) return false; // 1 and 4 open the endpoint.
      response.writeHead(200, { "Content-Type": "text/event-stream" }).end(body);
      return true;
    };
    expect((await answers()).text).toBe((await right()).text);
    expect(times()).toBe(2);
    const failed = await answers({ retry: { pauseMs: 1, attempts: 1 } }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RequestError);
    expect(String(failed)).toMatch(message);
  });

  test.each([
    [{ finish_reason: "content_filter" }, /finish_reason "content_filter"; expected "stop" or "length"/],
    [{ finish_reason: "tool_calls" }, /finish_reason "tool_calls"/],
  ])("ends an answer by %j fails that attempt at once", async (choice, message) => {
    server.fault = ({ count }, response) => {
      if (count === 1) return false;
      response.end(`data: ${JSON.stringify({ choices: [{ delta: { content: "a" }, ...choice }] })}\n\n`);
      return true;
    };
    await expect(answers()).rejects.toThrow(message);
    expect(times()).toBe(1);
  });

  test("refuses a request is not asked again, and its words are shown", async () => {
    server.fault = ({ count }, response) => {
      if (count === 1) return false;
      refuse(response, 400, "This model's maximum context length is 8192 tokens.");
      return true;
    };
    const failed = await answers().catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RequestError);
    expect(String(failed)).toMatch(/answered 400 \(This model's maximum context length/);
    expect(times()).toBe(1);
  });

  test("falls silent is given up after the time for that, and asked again", async () => {
    server.fault = ({ count }, response) => {
      if (count !== 2) return false;
      response.writeHead(200, { "Content-Type": "text/event-stream" });
      response.write('data: {"choices":[{"delta":{"content":"a"}}]}\n\n');
      return true;
    };
    const start = performance.now();
    expect((await answers({ silenceMs: 3000 })).text).toBe((await right()).text);
    expect(performance.now() - start).toBeGreaterThan(2990);
    expect(times()).toBe(2);
  });

  test("leaves the connection open after the end does not keep the answer back", async () => {
    server.fault = ({ count }, response) => {
      if (count === 1) return false;
      const usage = { prompt_tokens: 1, completion_tokens: 1 };
      const choices = [{ delta: { content: "yes" }, finish_reason: "stop" }];
      response.write(`data: ${JSON.stringify({ choices, usage })}\n\ndata: [DONE]\n\n`);
      return true;
    };
    expect((await answers()).text).toBe("yes");
  });

  test("writes more tokens than it may is taken at its word, with a note", async () => {
    server.fault = ({ count }, response) => {
      if (count === 1) return false;
      const usage = { prompt_tokens: 1, completion_tokens: 99 };
      response.end(`data: ${JSON.stringify({ choices: [{ delta: {}, finish_reason: "stop" }], usage })}\n\n`);
      return true;
    };
    const { notes } = await answers();
    expect(notes).toEqual([
      "the server counts 99 tokens, more than max_tokens 24",
      "the server counts 99 tokens, and its answer is empty",
    ]);
  });

  test("is aborted lets go of its request at once", async () => {
    const solver = await open();
    let isClosed = false;
    server.fault = (_, response) => {
      response.on("close", () => {
        isClosed = true;
      });
      response.writeHead(200);
      return true;
    };
    const ending = new AbortController();
    const solving = solver.solve(request({ signal: ending.signal }));
    setTimeout(() => ending.abort(), 100);
    await expect(solving).rejects.toThrow(AbortedError);
    await expect.poll(() => isClosed, { timeout: 5000 }).toBe(true);
  });
});
