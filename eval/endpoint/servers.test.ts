/** Answers and errors in the shapes in which known servers give them, from a server on this machine. */
import type { ServerResponse } from "node:http";
import { describe, expect, test } from "vitest";
import { RequestError } from "../../src/node/index.ts";
import { open, request, server } from "../../test/endpoint/endpoint-trial.ts";

/** Answers each request after the first ones, which open the endpoint. */
function answerBy(respond: (response: ServerResponse) => void): void {
  server.fault = ({ count }, response) => {
    if (count === 1) return false;
    respond(response);
    return true;
  };
}
const events = (...chunks: readonly object[]) =>
  `${chunks.map((chunk) => `data: ${JSON.stringify(chunk)}\n\n`).join("")}data: [DONE]\n\n`;
const choice = (delta: object, finish: string | null = null) => ({
  ...{ id: "chatcmpl-1", object: "chat.completion.chunk", created: 1, model: "m", usage: null },
  choices: [{ index: 0, delta, logprobs: null, finish_reason: finish, stop_reason: null }],
});
const usage = (prompt: number, completion: number) => ({
  choices: [],
  usage: { prompt_tokens: prompt, total_tokens: prompt + completion, completion_tokens: completion },
});

describe("vLLM", () => {
  test("with reasoning in a field of its own, by its newer and older name, and both at once", async () => {
    const solver = await open();
    for (const named of [
      (text: string) => ({ reasoning: text }),
      (text: string) => ({ reasoning_content: text, content: null }),
      (text: string) => ({ reasoning: text, reasoning_content: text }),
    ]) {
      answerBy((response) =>
        response.end(
          events(
            choice({ role: "assistant", content: "" }),
            ...[choice(named("2+3")), choice(named(" is 5")), choice({ content: "\\boxed{5}" })],
            ...[choice({ content: "" }, "stop"), usage(9, 7)],
          ),
        ),
      );
      expect(await solver.solve(request({ maxTokens: 24 }))).toMatchObject({
        ...{ text: "<think>\n2+3 is 5\n</think>\n\n\\boxed{5}", finishReason: "stop" },
        ...{ promptTokens: 9, completionTokens: 7 },
      });
    }
  });

  test("cut within its reasoning gives a reasoning without an end, from a stream and from a whole answer", async () => {
    const text = "<think>\n\\boxed{5}";
    const streamed = await open();
    answerBy((response) =>
      response.end(events(choice({ reasoning: "\\boxed{5}" }), choice({}, "length"), usage(9, 24))),
    );
    expect(await streamed.solve(request({ maxTokens: 24 }))).toMatchObject({ text, finishReason: "length" });
    server.fault = () => false;
    const whole = await open({ streams: false });
    const message = {
      role: "assistant",
      content: null,
      refusal: null,
      tool_calls: [],
      reasoning: "\\boxed{5}",
    };
    answerBy((response) =>
      response.end(
        JSON.stringify({
          choices: [
            {
              index: 0,
              message,
              logprobs: null,
              finish_reason: "length",
              stop_reason: null,
              token_ids: null,
            },
          ],
          usage: { prompt_tokens: 9, total_tokens: 33, completion_tokens: 24, prompt_tokens_details: null },
          ...{ prompt_logprobs: null, service_tier: null, system_fingerprint: null },
        }),
      ),
    );
    expect(await whole.solve(request({ maxTokens: 24 }))).toMatchObject({ text, finishReason: "length" });
  });
});

const TOO_LONG = "This model's maximum context length is 2048 tokens.";

describe("a request that a server refuses is not asked again, and its words are shown, as", () => {
  test.each([
    [
      "an error of older vLLM",
      { object: "error", message: TOO_LONG, type: "BadRequestError", param: null, code: 400 },
    ],
    ["an error of vLLM", { error: { message: TOO_LONG, type: "BadRequestError", param: null, code: 400 } }],
    [
      "an error of llama-cpp-python",
      {
        error: {
          message: TOO_LONG,
          type: "invalid_request_error",
          param: "messages",
          code: "context_length_exceeded",
        },
      },
    ],
    ["a detail of FastAPI", { detail: TOO_LONG }],
    ["a list of details of FastAPI", { detail: [{ loc: ["body"], msg: TOO_LONG, type: "value_error" }] }],
  ])("%s", async (_, body) => {
    const solver = await open();
    answerBy((response) =>
      response.writeHead(400, { "Content-Type": "application/json" }).end(JSON.stringify(body)),
    );
    const failed = await solver.solve(request()).catch((error: unknown) => error);
    expect(failed).toBeInstanceOf(RequestError);
    expect(String(failed)).toMatch(/answered 400 .*maximum context length is 2048/);
    expect(server.asked).toHaveLength(1);
  });

  test.each([
    ["code 400", { object: "error", message: TOO_LONG, type: "BadRequestError", param: null, code: 400 }],
    ["a code in words", { message: TOO_LONG, type: "BadRequestError", code: "context_length_exceeded" }],
    ["no code", { message: TOO_LONG, type: "invalid_request_error", code: null }],
  ])("an event of a stream that had begun well, with %s", async (_, error) => {
    const solver = await open();
    answerBy((response) => response.end(events({ error })));
    await expect(solver.solve(request())).rejects.toThrow(/maximum context length is 2048/);
    expect(server.asked).toHaveLength(1);
  });
});

test.each([
  [
    429,
    '{"error":{"message":"Rate limit reached","type":"rate_limit_error","code":"rate_limit_exceeded"}}',
    /Rate limit reached/,
  ],
  [
    503,
    '{"object":"error","message":"The request queue is full.","type":"ServiceUnavailableError","param":null,"code":503}',
    /queue is full/,
  ],
  [503, "upstream connect error", /upstream connect error/],
])("a server that is busy by %i %s is asked again, and its words are shown in the end", async (status, body, message) => {
  const solver = await open();
  answerBy((response) => response.writeHead(status).end(body));
  await expect(solver.solve(request())).rejects.toThrow(message);
  expect(server.asked.length).toBeGreaterThan(1);
});
