import { describe, expect, test } from "vitest";
import { BackendError, ConfigError, RequestError } from "../../src/node/index.ts";
import { open, request, server } from "../../test/endpoint/endpoint-trial.ts";
import { MODEL, refuse } from "../../test/endpoint/engine-server.ts";
import { openEndpointSolver } from "./open-endpoint.ts";

describe("opening an endpoint", () => {
  test("names what the server has if it lacks the model", async () => {
    await expect(open({ servedModel: "qwen" })).rejects.toThrow(
      /--served-model qwen: http.* has no such model; it has pico-reasoner/,
    );
    await expect(open({ servedModel: "qwen" }, { listsModels: false })).rejects.toThrow(
      /answered 404 \(The model `qwen` does not exist.*check --endpoint .* and --served-model/,
    );
  });

  test("says soon that nothing is there", async () => {
    const gone = server.url;
    server.close();
    const failed = openEndpointSolver({ servedModel: MODEL, endpoint: gone, retry: { pauseMs: 5 } });
    await expect(failed).rejects.toThrow(/nothing listens there \(ECONNREFUSED\); gave up after 4 tries/);
  });

  test.each([
    ["", /no address/],
    ["localhost:8000", /begins with localhost:; expected/],
    ["ftp://a/v1", /begins with ftp:/],
  ])("refuses the address %j", async (endpoint, message) => {
    await expect(open({ endpoint })).rejects.toThrow(ConfigError);
    await expect(open({ endpoint })).rejects.toThrow(message);
  });

  test("completes the address", async () => {
    const bare = server.url.replace("/v1", "");
    for (const endpoint of [bare, `${bare}/`, `${server.url}/`, `${server.url}/chat/completions`])
      expect((await open({ endpoint })).report.facts.endpoint).toBe(server.url);
  });

  test("does not follow a redirect, which could lead the key elsewhere", async () => {
    server.fault = (_, response) => {
      response.writeHead(307, { Location: "http://127.0.0.1:9/v1/chat/completions" }).end();
      return true;
    };
    await expect(open()).rejects.toThrow(/answered 307, a redirect, which is not followed/);
  });
});

describe("the API key", () => {
  const KEY = "sk-very-secret-1234";
  const withKey = (environment: Record<string, string>, apiKeyEnv = "MY_KEY") =>
    open({ apiKeyEnv, environment }, { apiKey: KEY });

  test("is sent to the server and stands in no report, row or message, even if the server repeats it", async () => {
    const solver = await withKey({ MY_KEY: ` ${KEY}\n` });
    expect(server.calls.every(({ headers }) => headers.authorization === `Bearer ${KEY}`)).toBe(true);
    server.fault = ({ headers }, response) => {
      refuse(response, 400, `wrong: ${headers.authorization}`);
      return true;
    };
    const failed = await solver.solve(request()).catch((error: unknown) => error);
    expect(String(failed)).toMatch(/wrong: Bearer \(the key\)/);
    server.fault = (_, response) => {
      response.end(`data: {"error":{"message":"${KEY} has no credit","code":402}}\n\n`);
      return true;
    };
    const second = await solver.solve(request()).catch((error: unknown) => error);
    expect(second).toBeInstanceOf(RequestError);
    for (const shown of [failed, second]) {
      expect(String(shown)).not.toContain(KEY);
      expect(JSON.stringify(shown, Object.getOwnPropertyNames(shown))).not.toContain(KEY);
    }
    server.fault = (_, response) => {
      const event = (content: string) => `data: ${JSON.stringify({ choices: [{ delta: { content } }] })}\n\n`;
      const end = {
        choices: [{ delta: {}, finish_reason: "stop" }],
        usage: { prompt_tokens: 1, completion_tokens: 2 },
      };
      response.end(`${event(KEY.slice(0, 5)) + event(KEY.slice(5))}data: ${JSON.stringify(end)}\n\n`);
      return true;
    };
    expect((await solver.solve(request())).text).toBe("(the key)");
    expect(JSON.stringify(solver.report)).not.toContain(KEY);
  });

  test("that is wrong ends the run, and is not shown", async () => {
    const failed = await withKey({ MY_KEY: "sk-wrong-9876" }).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(BackendError);
    expect(String(failed)).toMatch(/answered 401 \(Incorrect API key provided: Bearer \(the key\)\)/);
    expect(String(failed)).not.toContain("sk-wrong-9876");
  });

  test("that is missing, or given in place of a variable's name, is refused without being shown", async () => {
    await expect(withKey({})).rejects.toThrow(/MY_KEY: the environment has no such variable/);
    await expect(withKey({ MY_KEY: "ключ" })).rejects.toThrow(/characters that no key has/);
    const failed = await withKey({}, KEY).catch((error: unknown) => error);
    expect(String(failed)).toMatch(/expected the name of a variable of the environment, not the key/);
    expect(String(failed)).not.toContain(KEY);
    const inUrl = open({ endpoint: `http://me:${KEY}@127.0.0.1:1/v1` }).catch((error: unknown) => error);
    expect(String(await inUrl)).toMatch(/has a password in it/);
    expect(String(await inUrl)).not.toContain(KEY);
  });
});
