/** The `openai` client against `lessismore serve`: answers, errors, aborts, the other endpoints. */
import type OpenAI from "openai";
import { APIUserAbortError } from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { golden, problem } from "./command-line.ts";
import { answer, clientOf, errorOf, greedy, messages, model, reasoning } from "./serve-client.ts";
import { ServeProcess } from "./serve-process.ts";

let server: ServeProcess;
let client: OpenAI;

beforeAll(async () => {
  server = await ServeProcess.start(["--attention", "full"]);
  client = clientOf(server.url);
});
afterAll(async () => {
  await server.stop();
});

/** Long enough not to end before a test does. */
const ENDLESS = { ...greedy, max_tokens: 4000, ignore_eos: true };

/** Text and reasoning of a stream, by choice. */
async function collect(stream: AsyncIterable<OpenAI.ChatCompletionChunk>) {
  const content: string[] = [];
  const thought: string[] = [];
  const finish: (string | null)[] = [];
  const roles: string[] = [];
  const usage: unknown[] = [];
  for await (const chunk of stream) {
    if (chunk.usage) usage.push(chunk.usage);
    for (const { index, delta, finish_reason: reason } of chunk.choices) {
      const { reasoning: one, reasoning_content: other } = delta as {
        reasoning?: string;
        reasoning_content?: string;
      };
      expect(one).toBe(other);
      content[index] = (content[index] ?? "") + (delta.content ?? "");
      thought[index] = (thought[index] ?? "") + (one ?? "");
      if (delta.role) roles.push(delta.role);
      if (reason) finish[index] = reason;
    }
  }
  return { content, thought, finish, roles, usage };
}

describe("chat completions", () => {
  it("gives the golden answer, its reasoning under both names, and its tokens", async () => {
    const reply = await client.chat.completions.create(greedy);
    expect(reply.object).toBe("chat.completion");
    expect(reply.id).toMatch(/^chatcmpl-/);
    expect(reply.model).toBe(model);
    expect(Math.abs(reply.created - Date.now() / 1000)).toBeLessThan(60);
    expect(reply.choices).toEqual([
      {
        index: 0,
        message: {
          role: "assistant",
          content: answer,
          refusal: null,
          reasoning_content: reasoning,
          reasoning,
        },
        logprobs: null,
        finish_reason: "stop",
      },
    ]);
    expect(reply.usage).toMatchObject({
      prompt_tokens: golden.prompt_ids.length,
      completion_tokens: golden.greedy_ids.length,
      total_tokens: golden.prompt_ids.length + golden.greedy_ids.length,
    });
    expect(reply).toMatchObject({ lessismore: { choices: [{ attention: "full", attended_fraction: 1 }] } });
  });

  it("streams the same text, the role first and the usage last if it is asked for", async () => {
    const stream = await client.chat.completions.create({
      ...greedy,
      stream: true,
      stream_options: { include_usage: true },
    });
    const { content, thought, finish, roles, usage } = await collect(stream);
    expect(content).toEqual([answer]);
    expect(thought).toEqual([reasoning]);
    expect(finish).toEqual(["stop"]);
    expect(roles).toEqual(["assistant"]);
    expect(usage).toMatchObject([{ completion_tokens: golden.greedy_ids.length }]);
    const without = await client.chat.completions.create({ ...greedy, max_tokens: 2, stream: true });
    expect((await collect(without)).usage).toEqual([]);
  });

  it("gives n choices, greedy ones equal, seeded ones different and the same again; a prompt counts once", async () => {
    const equal = await client.chat.completions.create({ ...greedy, n: 3, max_tokens: 20 });
    expect(equal.choices.map(({ index }) => index)).toEqual([0, 1, 2]);
    expect(new Set(equal.choices.map(({ message }) => JSON.stringify(message))).size).toBe(1);
    expect(equal.usage).toMatchObject({ prompt_tokens: golden.prompt_ids.length, completion_tokens: 60 });
    const seeded = { ...greedy, temperature: 5, seed: 7, n: 3, max_tokens: 20 };
    const first = await client.chat.completions.create(seeded);
    const texts = first.choices.map(({ message }) => JSON.stringify(message));
    expect(new Set(texts).size).toBe(3);
    const again = await collect(await client.chat.completions.create({ ...seeded, stream: true }));
    const whole = first.choices.map(
      ({ message }) => message as { reasoning?: string; content: string | null },
    );
    expect(again.thought).toEqual(whole.map((one) => one.reasoning ?? ""));
    expect(again.content).toEqual(whole.map((one) => one.content));
  });

  it("takes parts of text, the role developer, null fields and unknown ones", async () => {
    const plain = await client.chat.completions.create({ ...greedy, max_tokens: 12 });
    const parts = await client.chat.completions.create({
      ...{ ...greedy, max_tokens: 12, stop: null, top_p: null, user: "somebody" },
      messages: [{ role: "user", content: [{ type: "text", text: problem }] }],
    });
    expect(parts.choices[0]?.message).toEqual(plain.choices[0]?.message);
    const system = { ...greedy, max_tokens: 12 };
    const [one, other] = await Promise.all(
      (["system", "developer"] as const).map((role) =>
        client.chat.completions.create({
          ...system,
          messages: [{ role, content: "Be brief." }, ...messages],
        }),
      ),
    );
    expect(one?.usage?.prompt_tokens).toBe(other?.usage?.prompt_tokens);
    expect(one?.usage?.prompt_tokens).toBeGreaterThan(golden.prompt_ids.length);
  });

  it("follows stop texts, max_completion_tokens and the policy of the request", async () => {
    const stopped = await client.chat.completions.create({ ...greedy, stop: ["boxed"] });
    expect(stopped.choices[0]?.message.content).toBe(answer.slice(0, answer.indexOf("boxed")));
    const cut = await client.chat.completions.create({ ...greedy, max_tokens: 50, max_completion_tokens: 5 });
    expect(cut.choices[0]?.finish_reason).toBe("length");
    expect(cut.usage?.completion_tokens).toBe(5);
    const extra = { attention: "less-is-more:budget=64,layers=2+7", top_k: 5, min_p: 0.1 };
    const sparse = await client.chat.completions.create({ ...greedy, ...extra });
    expect(sparse).toMatchObject({
      lessismore: { choices: [{ attention: expect.stringMatching(/^less-is-more:budget=64/) }] },
    });
  });
});

describe("a long prompt", () => {
  it("does not keep /health waiting, since the engine has a thread of its own", async () => {
    const long = {
      ...greedy,
      messages: [{ role: "user" as const, content: "ab=cd+7 ".repeat(400) }],
      max_tokens: 1,
    };
    let isOver = false;
    const prefill = client.chat.completions.create(long).finally(() => {
      isOver = true;
    });
    const waits: number[] = [];
    while (!isOver) {
      const asked = performance.now();
      expect((await fetch(`${server.origin}/health`)).status).toBe(200);
      waits.push(performance.now() - asked);
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    expect((await prefill).usage?.prompt_tokens).toBeGreaterThan(2000);
    // a chunk of prefill takes 250 ms
    expect(waits.length).toBeGreaterThan(8);
    expect(waits.sort((a, b) => a - b)[Math.floor(waits.length / 2)]).toBeLessThan(50);
  });
});

describe("errors", () => {
  const refused: readonly [string, Record<string, unknown>, string, string][] = [
    ["an unknown policy", { attention: "magic" }, "attention", "unknown_attention"],
    ["a policy's file", { attention: "./x.mjs" }, "attention", "unknown_attention"],
    ["a gate's file", { attention: "seer-attention-r:gate=/etc/passwd" }, "attention", ""],
    ["a policy that the model has no layers for", { attention: "less-is-more:layers=2+70" }, "attention", ""],
    ["an unknown role's type", { messages: [{ role: 3, content: "a" }] }, "messages[0].role", ""],
    ["no messages", { messages: [] }, "messages", ""],
    ["a message without a content", { messages: [{ role: "user" }] }, "messages[0].content", ""],
    [
      "an image",
      { messages: [{ role: "user", content: [{ type: "image_url" }] }] },
      "messages[0].content[0].type",
      "",
    ],
    ["a text for a number", { temperature: "hot" }, "temperature", ""],
    ["too many choices", { n: 129 }, "n", ""],
    ["a limit of no tokens", { max_tokens: 0 }, "max_tokens", ""],
    ["an empty stop text", { stop: "" }, "stop", ""],
    ["a bias of no token", { logit_bias: { "999999": 1 } }, "logit_bias", ""],
    ["alternatives without logprobs", { top_logprobs: 2 }, "top_logprobs", ""],
    ["too many alternatives", { logprobs: true, top_logprobs: 21 }, "top_logprobs", ""],
    ["functions", { functions: [{ name: "f" }] }, "functions", "unsupported_parameter"],
    [
      "a reserved variable of the template",
      { chat_template_kwargs: { messages: [] } },
      "chat_template_kwargs",
      "",
    ],
  ];
  it.each(refused)("refuses %s with 400 and the field", async (_, body, param, code) => {
    const error = await errorOf(client.chat.completions.create({ ...greedy, ...body } as typeof greedy));
    expect(error).toMatchObject({ status: 400, param, type: "invalid_request_error" });
    if (code !== "") expect(error.code).toBe(code);
    expect(error.message.length).toBeGreaterThan(10);
  });

  it("answers 404 for another model and another path, 405 for another method", async () => {
    expect(await errorOf(client.chat.completions.create({ ...greedy, model: "gpt-9" }))).toMatchObject({
      ...{ status: 404, code: "model_not_found", param: "model" },
    });
    expect(await errorOf(client.models.retrieve("gpt-9"))).toMatchObject({ status: 404 });
    expect(await errorOf(client.embeddings.create({ model, input: "a" }))).toMatchObject({ status: 404 });
    expect(await errorOf(client.responses.create({ model, input: "a" }))).toMatchObject({ status: 404 });
    const response = await fetch(`${server.url}/chat/completions`);
    expect([response.status, response.headers.get("allow")]).toEqual([405, "POST"]);
  });

  it("answers a prompt that does not fit with context_length_exceeded, in a stream too", async () => {
    const long = { ...greedy, messages: [{ role: "user" as const, content: "a b c d ".repeat(5000) }] };
    for (const stream of [false, true])
      expect(await errorOf(client.chat.completions.create({ ...long, stream }))).toMatchObject({
        ...{ status: 400, code: "context_length_exceeded", param: "messages" },
      });
  });
});

describe("the other endpoints", () => {
  it("lists the model, and completes prompts of text and token ids", async () => {
    const { data } = await client.models.list();
    expect(data).toMatchObject([{ id: model, object: "model", owned_by: "lessismore", max_model_len: 8192 }]);
    expect(await client.models.retrieve(model)).toEqual(data[0]);
    const { prompt, prompt_ids: ids } = golden;
    const written = `${reasoning}\n</think>\n\n${answer}`;
    const common = { model, temperature: 0, max_tokens: 400 };
    const both = await client.completions.create({ ...common, prompt: [prompt, "a"], n: 2 });
    expect(both.choices.map(({ index }) => index)).toEqual([0, 1, 2, 3]);
    // the text as the model wrote it: the prompt opens the reasoning, and the model closes it
    expect(both.choices[1]).toMatchObject({ text: written, finish_reason: "stop" });
    expect(both.choices[1]).not.toHaveProperty("reasoning_content");
    const stream = await client.completions.create({ ...common, prompt: [...ids], stream: true });
    let text = "";
    for await (const { choices } of stream) for (const choice of choices) text += choice.text;
    expect(text).toBe(written);
    // a stop text may be a marker, or stand in the reasoning
    for (const stop of ["</think>", "#3"]) {
      const { choices } = await client.completions.create({ ...common, prompt, stop });
      expect(choices[0]).toMatchObject({
        text: written.slice(0, written.indexOf(stop)),
        finish_reason: "stop",
      });
    }
    expect((await client.completions.create({ model, prompt: "a" })).usage?.completion_tokens).toBe(16);
  });

  it("turns text into token ids and back", async () => {
    const post = async (path: string, body: object) =>
      (
        await fetch(server.origin + path, {
          method: "POST",
          headers: { "Content-Type": "application/json" },
          body: JSON.stringify(body),
        })
      ).json();
    const { tokens, count } = await post("/tokenize", { prompt: golden.prompt });
    expect(tokens).toEqual(golden.prompt_ids);
    expect(count).toBe(golden.prompt_ids.length);
    expect(await post("/detokenize", { tokens })).toEqual({ prompt: golden.prompt });
    expect(await post("/detokenize", { tokens: [-1] })).toMatchObject({ error: { param: "tokens[0]" } });
  });

  it("counts requests, tokens and times under vLLM's names", async () => {
    const before = await server.metric("generation_tokens_total");
    await client.chat.completions.create({ ...greedy, max_tokens: 7 });
    expect((await server.metric("generation_tokens_total")) - before).toBe(7);
    expect(await server.metric("time_to_first_token_seconds_count")).toBeGreaterThan(0);
    expect(await server.metric("inter_token_latency_seconds_count")).toBeGreaterThan(5);
    expect(await server.metric("attended_fraction_count")).toBeGreaterThan(0);
  });

  it("counts the engine's steps, and those up to a first token, as the answer tells them", async () => {
    const [steps, sum] = ["engine_steps_total", "time_to_first_token_steps_sum"] as const;
    const before = [await server.metric(steps), await server.metric(sum)] as const;
    const chunks = await server.metric("prefill_chunks_total");
    const body = { ...greedy, max_tokens: 7, cache_salt: "steps" };
    const reply: unknown = await client.chat.completions.create(body);
    const told = (reply as { lessismore: { choices: { first_token_steps: number }[] } }).lessismore
      .choices[0];
    expect(told?.first_token_steps).toBeGreaterThan(0);
    expect((await server.metric(sum)) - before[1]).toBe(told?.first_token_steps);
    expect((await server.metric(steps)) - before[0]).toBe((told?.first_token_steps ?? 0) + 6);
    expect((await server.metric("prefill_chunks_total")) - chunks).toBe(told?.first_token_steps);
    expect(await server.metric("prefill_chunk_tokens_total")).toBeGreaterThanOrEqual(
      golden.prompt_ids.length,
    );
  });
});

describe("an abort", () => {
  it("of a stream, and of an answer in one piece, ends the request within a second", async () => {
    const stream = await client.chat.completions.create({ ...ENDLESS, stream: true });
    for await (const _ of stream) break;
    await server.idle(1000);
    const aborted = await server.metric("request_success_total");
    const controller = new AbortController();
    const call = client.chat.completions.create(ENDLESS, { signal: controller.signal });
    call.catch(() => {});
    while ((await server.metric("num_requests_running")) === 0) await new Promise((r) => setTimeout(r, 5));
    controller.abort();
    await expect(call).rejects.toThrow(APIUserAbortError);
    await server.idle(1000);
    expect(await server.metric("request_success_total")).toBe(aborted + 1);
    expect(await (await fetch(`${server.origin}/metrics`)).text()).toContain('finished_reason="abort"');
  });
});
