/** Fields beyond the plain request, by the `openai` client: sampling, logprobs, constraints, shared prompts. */
import type OpenAI from "openai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { golden, problem } from "./command-line.ts";
import { answer, clientOf, errorOf, greedy, model, reasoning } from "./serve-client.ts";
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

describe("sampling", () => {
  it("follows biases, penalties, stop tokens and minimum lengths; reasoning tokens are counted", async () => {
    const [first = 0, second = 0] = golden.greedy_ids;
    const text = async (extra: object) => {
      const { choices, usage } = await client.chat.completions.create({
        ...greedy,
        max_tokens: 30,
        ...extra,
      });
      return { message: JSON.stringify(choices[0]?.message), finish: choices[0]?.finish_reason, usage };
    };
    const plain = await text({});
    expect(plain.usage?.completion_tokens_details?.reasoning_tokens).toBe(30);
    expect((await text({ logit_bias: { [first]: -100 } })).message).not.toBe(plain.message);
    const long = { max_tokens: 90, ignore_eos: true };
    const penalised = await text({ ...long, frequency_penalty: 2, presence_penalty: 2 });
    expect(penalised.message).not.toBe((await text(long)).message);
    const stopped = await text({ stop_token_ids: [second] });
    expect([stopped.usage?.completion_tokens, stopped.finish]).toEqual([2, "stop"]);
    expect(
      (await text({ stop_token_ids: [second], min_tokens: 10 })).usage?.completion_tokens,
    ).toBeGreaterThan(9);
  });
});

describe("logprobs", () => {
  type Token = OpenAI.ChatCompletionTokenLogprob;
  const ask = { ...greedy, logprobs: true, top_logprobs: 3 };

  it("has the tokens of the content, beside them those of the reasoning, and the best in their places", async () => {
    const { choices } = await client.chat.completions.create(ask);
    const { content, reasoning_content: thought } = choices[0]?.logprobs as unknown as Record<
      string,
      Token[]
    >;
    expect(content?.map(({ token }) => token).join("")).toContain(answer);
    expect(thought?.map(({ token }) => token).join("")).toContain(reasoning);
    for (const { token, logprob, bytes, top_logprobs: top } of content ?? []) {
      expect(top).toHaveLength(3);
      expect(top[0]).toEqual({ token, logprob, bytes }); // greedy
      expect(logprob).toBeLessThanOrEqual(0);
      expect(Buffer.from(bytes ?? []).toString()).toBe(token);
    }
    const stream = await client.chat.completions.create({ ...ask, stream: true });
    const streamed: Token[] = [];
    for await (const { choices: some } of stream) streamed.push(...(some[0]?.logprobs?.content ?? []));
    expect(streamed).toEqual(content);
    const none = await client.chat.completions.create({ ...greedy, max_tokens: 2 });
    expect(none.choices[0]?.logprobs).toBe(null);
  });

  it("of a completion has tokens, their places in the text and the best ones, streamed too", async () => {
    // which holds the closing marker
    const prompt = golden.prompt + golden.greedy_text.slice(0, golden.greedy_text.indexOf("</think>") - 1);
    const body = { model, prompt, temperature: 0, max_tokens: 8, logprobs: 2 };
    const [choice] = (await client.completions.create(body)).choices;
    const {
      tokens = [],
      text_offset: offsets = [],
      token_logprobs: values,
      top_logprobs: top,
    } = choice?.logprobs ?? {};
    expect(tokens.join("")).toBe(choice?.text);
    expect(tokens).toContain("</think>");
    for (const [i, token] of tokens.entries()) {
      expect(choice?.text.slice(offsets[i]).startsWith(token)).toBe(true);
      expect(top?.[i]?.[token]).toBe(values?.[i]);
      expect(Object.keys(top?.[i] ?? {})).toHaveLength(2);
    }
    const streamed = { tokens: [] as string[], offsets: [] as number[] };
    for await (const { choices } of await client.completions.create({ ...body, stream: true })) {
      streamed.tokens.push(...(choices[0]?.logprobs?.tokens ?? []));
      streamed.offsets.push(...(choices[0]?.logprobs?.text_offset ?? []));
    }
    expect(streamed).toEqual({ tokens, offsets });
  });
});

describe("reasoning", () => {
  it("ends at its budget, and the model answers; an effort of none leaves none", async () => {
    const ask = async (extra: object) =>
      client.chat.completions.create({ ...greedy, max_tokens: 80, ...extra });
    const cut = await ask({ thinking_budget: 5 });
    expect(cut).toMatchObject({ lessismore: { choices: [{ thinking_is_cut: true }] } });
    expect(cut.usage?.completion_tokens_details?.reasoning_tokens).toBe(5);
    expect(cut.choices[0]?.message.content).not.toBe("");
    const none = await ask({ reasoning_effort: "none" });
    expect(none.choices[0]?.message).not.toHaveProperty("reasoning");
    expect(none.usage?.completion_tokens_details?.reasoning_tokens).toBe(0);
    const whole = await client.chat.completions.create({ ...greedy, reasoning_effort: "high" });
    expect(whole.choices[0]?.message).toMatchObject({ content: answer, reasoning });
    expect(whole).toMatchObject({ lessismore: { choices: [{ thinking_is_cut: false }] } });
  });
});

describe("constraints", () => {
  const schema = {
    type: "object",
    properties: { x: { type: "integer", minimum: 1, maximum: 9 } },
    required: ["x"],
    additionalProperties: false,
  };
  const json_schema = { name: "x", schema };

  it("give JSON, JSON of a schema, a text of a pattern, and one of several texts", async () => {
    const ask = async (extra: object) => {
      const { choices } = await client.chat.completions.create({ ...greedy, max_tokens: 200, ...extra });
      expect(choices[0]?.finish_reason).toBe("stop");
      return choices[0]?.message.content ?? "";
    };
    expect(JSON.parse(await ask({ response_format: { type: "json_object" } }))).toBeTypeOf("object");
    for (const extra of [
      { response_format: { type: "json_schema", json_schema } },
      { guided_json: schema },
      { guided_json: JSON.stringify(schema) },
    ]) {
      const { x } = JSON.parse(await ask(extra));
      expect([1, 2, 3, 4, 5, 6, 7, 8, 9]).toContain(x);
    }
    expect(await ask({ guided_regex: "[ab]{3}c" })).toMatch(/^[ab]{3}c$/);
    expect(["yes", "no"]).toContain(await ask({ guided_choice: ["yes", "no"] }));
    expect(await ask({ response_format: { type: "text" } })).toBe(answer);
  });

  it.each([
    ["a pattern that is none", { guided_regex: "(a+)+$b\\b" }, "guided_regex"],
    [
      "a keyword that is not followed",
      { response_format: { type: "json_schema", json_schema: { name: "a", schema: { not: {} } } } },
      "response_format",
    ],
    ["a schema of too many states", { guided_regex: "((a{1,1000}){1,1000}){1,1000}" }, "guided_regex"],
    ["no texts to choose from", { guided_choice: [] }, "guided_choice"],
    ["two constraints", { guided_choice: ["a"], guided_regex: "a" }, "guided_choice"],
    [
      "a format without its schema",
      { response_format: { type: "json_schema" } },
      "response_format.json_schema",
    ],
    ["an end that may not come", { guided_choice: ["a"], ignore_eos: true }, "guided_choice"],
  ])("refuse %s with 400 and the field", async (_, body, param) => {
    const error = await errorOf(client.chat.completions.create({ ...greedy, ...body } as typeof greedy));
    expect(error).toMatchObject({ status: 400, param, type: "invalid_request_error" });
  });
});

describe("prompts that requests share", () => {
  it("are not computed again: cached_tokens of a second turn, of n choices, and none under another salt", async () => {
    const story = "xy=zw+3 ".repeat(40);
    const turn = [{ role: "user" as const, content: `${story}${problem}` }];
    const ask = async (body: object) => {
      const { usage } = await client.chat.completions.create({
        ...greedy,
        messages: turn,
        max_tokens: 4,
        ...body,
      });
      return { prompt: usage?.prompt_tokens ?? 0, cached: usage?.prompt_tokens_details?.cached_tokens ?? -1 };
    };
    const first = await ask({});
    expect(first.cached).toBeLessThan(64);
    const history = [
      ...turn,
      { role: "assistant" as const, content: "33" },
      { role: "user" as const, content: "Again." },
    ];
    const second = await ask({ messages: history });
    expect(second.cached).toBeGreaterThan(first.prompt - 32);
    expect((await ask({ cache_salt: "mine" })).cached).toBe(0);
    expect((await ask({ cache_salt: "mine" })).cached).toBeGreaterThan(first.prompt - 32);
    expect(await server.metric("prefix_cache_hits_total")).toBeGreaterThan(1);
  });

  it("leave every page counted: free + held + cached = total, and none is held", async () => {
    await server.idle();
    const { free, held, cached, total } = await server.pages();
    expect([held, free + cached]).toEqual([0, total]);
    expect(cached).toBeGreaterThan(0);
  });
});
