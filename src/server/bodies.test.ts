import { describe, expect, it } from "vitest";
import { readChatBody } from "./chat-body.ts";
import { readCompletionBody } from "./completion-body.ts";
import { HttpError } from "./http-error.ts";

const messages = [{ role: "user", content: "a" }];
const HERMES = ["<tool_call>"];
const chat = (body: object, ownAttention?: string) =>
  readChatBody({ messages, ...body }, { ownAttention, chatTemplates: HERMES }).requests;

/** The field at fault. */
function faultOf(work: () => unknown): string | undefined {
  try {
    work();
  } catch (error) {
    if (error instanceof HttpError && error.status === 400) return error.details.param;
    throw error;
  }
  return undefined;
}

describe("a chat's body", () => {
  it("maps each field to the engine's, and no field to a default", () => {
    expect(chat({})).toEqual([{ messages }]);
    const fields = { temperature: 0.5, top_p: 0.9, top_k: 20, min_p: 0.1, repetition_penalty: 1.1, seed: -3 };
    const others = {
      stop: ["x"],
      ignore_eos: true,
      attention: "full",
      chat_template_kwargs: { enable_thinking: false },
    };
    expect(chat({ ...fields, ...others, max_completion_tokens: 9 })).toEqual([
      {
        messages,
        ...{ temperature: 0.5, topP: 0.9, topK: 20, minP: 0.1, repetitionPenalty: 1.1, seed: -3 },
        ...{ stop: ["x"], ignoreEos: true, attention: "full", maxTokens: 9 },
        chatTemplateOptions: { enable_thinking: false },
      },
    ]);
    const changes = { presence_penalty: 1, frequency_penalty: -2, logit_bias: { "7": -100 } };
    expect(chat({ ...changes, stop_token_ids: [3], min_tokens: 4 })[0]).toMatchObject({
      ...{
        presencePenalty: 1,
        frequencyPenalty: -2,
        logitBias: { 7: -100 },
        stopTokenIds: [3],
        minTokens: 4,
      },
    });
    expect([
      chat({ logprobs: true })[0]?.logprobs,
      chat({ logprobs: true, top_logprobs: 4 })[0]?.logprobs,
    ]).toEqual([0, 4]);
    expect(chat({ logprobs: false, top_logprobs: 0 })[0]?.logprobs).toBe(undefined);
    expect(chat({ top_k: -1 })[0]?.topK).toBe(0);
  });

  it("gives each choice a seed of its own, counted up from the request's", () => {
    expect(chat({ n: 3, seed: 5 }).map(({ seed }) => seed)).toEqual([5, 6, 7]);
    expect(chat({ n: 2 }).map(({ seed }) => seed)).toEqual([undefined, undefined]);
  });

  it("gives templates tool calls as values, and keeps what is no JSON", () => {
    const call = (text: string) => ({ id: "1", type: "function", function: { name: "f", arguments: text } });
    const given = {
      role: "assistant",
      content: null,
      tool_calls: [call('{"x":1}'), call("{x"), call("3"), 7],
    };
    expect(chat({ messages: [given] })[0]?.messages?.[0]).toEqual({
      role: "assistant",
      content: null,
      tool_calls: [
        { ...call(""), function: { name: "f", arguments: { x: 1 } } },
        ...[call("{x"), call("3"), 7],
      ],
    });
  });

  it("turns an effort into a budget, and none into no reasoning at all; tokens win over an effort", () => {
    const of = (body: object) => {
      const { thinkingBudget, chatTemplateOptions } = chat(body)[0] ?? {};
      return [thinkingBudget, chatTemplateOptions?.enable_thinking];
    };
    const efforts = ["none", "minimal", "low", "medium", "high", "xhigh", "max"];
    expect(efforts.map((effort) => of({ reasoning_effort: effort }))).toEqual([
      ...[
        [0, false],
        [256, undefined],
        [1024, undefined],
        [4096, undefined],
      ],
      ...[
        [16_384, undefined],
        [32_768, undefined],
        [undefined, undefined],
      ],
    ]);
    expect(of({ reasoning_effort: "none", thinking_budget: 7 })).toEqual([7, undefined]);
    expect(of({ thinking_token_budget: 9 })).toEqual([9, undefined]);
    expect(of({ reasoning_effort: "none", chat_template_kwargs: { enable_thinking: true } })).toEqual([
      0,
      true,
    ]);
    expect(faultOf(() => chat({ reasoning_effort: "huge" }))).toBe("reasoning_effort");
  });

  it("gives tools to the template, constrains an answer that must call, and joins a form with a choice", () => {
    const tool = (name: string) => ({ type: "function", function: { name, parameters: { type: "object" } } });
    const tools = [tool("f")];
    expect(chat({ tools })[0]?.chatTemplateOptions).toEqual({ tools });
    expect(chat({ tools })[0]?.constraint).toBe(undefined);
    expect(chat({ tools, tool_choice: "none" })[0]).toEqual({ messages });
    expect(chat({ tools: [], tool_choice: "auto" })[0]).toEqual({ messages });
    expect(JSON.stringify(chat({ tools, tool_choice: "required" })[0]?.constraint)).toContain('\\"f\\"');
    const form = { guided_choice: ["a"] };
    expect(chat({ tools, ...form })[0]?.constraint).toMatchObject({
      sequence: [{ anyOf: [[{ choice: ["a"] }], {}] }],
    });
    expect(faultOf(() => chat({ tools, tool_choice: "required", ...form }))).toBe("tool_choice");
    expect(faultOf(() => chat({ tools, tool_choice: "sometimes" }))).toBe("tool_choice");
    expect(faultOf(() => chat({ tools: [tool("f"), tool("f")] }))).toBe("tools[1]");
    expect(faultOf(() => chat({ tools: [tool("no spaces here")] }))).toBe("tools[0].function.name");
    expect(faultOf(() => chat({ tools: 3 }))).toBe("tools");
    const without = { ownAttention: undefined, chatTemplates: ["{{ messages }}"] };
    expect(faultOf(() => readChatBody({ messages, tools }, without))).toBe("tools");
  });

  it("names the path of a wrong part", () => {
    const at = (content: unknown) => faultOf(() => chat({ messages: [{ role: "user", content }] }));
    expect(at([{ type: "text" }])).toBe("messages[0].content[0].text");
    expect(at([{ type: "text", text: "a" }, 3])).toBe("messages[0].content[1]");
    expect(at(3)).toBe("messages[0].content");
    expect(faultOf(() => chat({ messages: [...messages, "b"] }))).toBe("messages[1]");
    for (const bias of [{ a: 1 }, { "1": 101 }, { "1": "2" }, [1]])
      expect(faultOf(() => chat({ logit_bias: bias }))).toBe("logit_bias");
    expect(faultOf(() => chat({ presence_penalty: 2.1 }))).toBe("presence_penalty");
    expect(faultOf(() => chat({ stop_token_ids: ["a"] }))).toBe("stop_token_ids[0]");
    expect(faultOf(() => chat({ stream_options: 3 }))).toBe("stream_options");
    expect(faultOf(() => chat({ chat_template_kwargs: [] }))).toBe("chat_template_kwargs");
  });

  it("takes null for what a nested object leaves out, and an answer without content for an empty one", () => {
    const schema = { type: "object", properties: { a: { const: null } } };
    const format = (form: object) => chat({ response_format: form })[0]?.constraint;
    expect(chat({ stream: true, stream_options: { include_usage: null } })).toEqual([{ messages }]);
    expect(format({ type: "json_schema", json_schema: { name: "x", schema, strict: null } })).toEqual({
      schema,
    });
    expect(format({ type: "json_schema", json_schema: { name: "x", schema: null } })).toEqual({ schema: {} });
    const tool = (rest: object) => ({ type: "function", function: { name: "f", ...rest } });
    const tools = [
      tool({ description: null, parameters: null, strict: null }),
      { ...tool({}), function: { name: "g" } },
    ];
    expect(chat({ tools })[0]?.chatTemplateOptions).toEqual({
      tools: ["f", "g"].map((name) => ({ type: "function", function: { name } })),
    });
    const answer = (rest: object) => chat({ messages: [{ role: "assistant", ...rest }] })[0]?.messages?.[0];
    expect(answer({ content: null, reasoning: "b" })).toEqual({
      role: "assistant",
      content: "",
      reasoning: "b",
    });
    expect([answer({}), answer({ content: null, tool_calls: [] })].map((one) => one?.content)).toEqual([
      "",
      "",
    ]);
  });

  it("takes a form of the answer under the names of vLLM and llama-server, and refuses a part that it does not know", () => {
    const form = (body: object) => chat(body)[0]?.constraint;
    const schema = { type: "integer" };
    expect(form({ response_format: { type: "json_object", schema } })).toEqual({ schema });
    expect(form({ response_format: { type: "json_object", schema: null } })).toEqual({ json: true });
    const outputs = (structured_outputs: object) => form({ structured_outputs });
    expect(outputs({ json: schema })).toEqual({ schema });
    expect(outputs({ json: '{"type":"integer"}', regex: null })).toEqual({ schema });
    expect(outputs({ regex: "a+" })).toEqual({ regex: "a+" });
    expect(outputs({ choice: ["a", "b"] })).toEqual({ choice: ["a", "b"] });
    expect(outputs({ json_object: true })).toEqual({ json: true });
    expect(outputs({ json_object: false })).toBe(undefined);
    const fault = (structured_outputs: unknown, rest: object = {}) =>
      faultOf(() => chat({ structured_outputs, ...rest }));
    expect(fault({ grammar: "root ::= a" })).toBe("structured_outputs.grammar");
    expect(fault({ json: "no JSON" })).toBe("structured_outputs.json");
    expect(fault({ json: "3" })).toBe("structured_outputs.json");
    expect(fault({ regex: "a", choice: ["a"] })).toBe("structured_outputs.choice");
    expect(fault({ regex: "a" }, { guided_choice: ["a"] })).toBe("structured_outputs.regex");
  });

  it("takes a top_p of 0, which leaves the likeliest token, and names the bounds of a seed", () => {
    expect(chat({ top_p: 0 })[0]?.topP).toBe(1e-9);
    expect(chat({ top_p: 1 })[0]?.topP).toBe(1);
    expect(faultOf(() => chat({ top_p: -0.1 }))).toBe("top_p");
    expect(() => chat({ seed: 2 ** 53 })).toThrow("2^53 - 1");
  });

  it("refuses what other servers follow and this one does not, and takes the value that changes nothing", () => {
    const changes = {
      ...{ chat_template: "{{ messages }}", continue_final_message: true, add_generation_prompt: false },
      ...{ documents: [{ text: "a" }], truncate_prompt_tokens: 5, guided_grammar: "root ::= a" },
      ...{ allowed_token_ids: [1], bad_words: ["a"], length_penalty: 2 },
      ...{ include_stop_str_in_output: true, skip_special_tokens: false, prompt_embeds: "a", best_of: 2 },
      ...{ functions: [{}], prompt_logprobs: 1, use_beam_search: true, logits_processors: ["os.system"] },
    };
    for (const [name, value] of Object.entries(changes))
      expect(faultOf(() => chat({ [name]: value }))).toBe(name);
    const idle = {
      ...{ chat_template: null, continue_final_message: false, add_generation_prompt: true, documents: [] },
      ...{ structured_outputs: {}, bad_words: [], length_penalty: 1, skip_special_tokens: true, best_of: 1 },
    };
    expect(chat(idle)).toEqual([{ messages }]);
  });

  it("lets no request name a gate but the server's own", () => {
    const own = "seer-attention-r:gate=/models/gate,budget=256";
    expect(faultOf(() => chat({ attention: "seer-attention-r:budget=64,gate=x" }, own))).toBe("attention");
    expect(faultOf(() => chat({ attention: "seer-attention-r:budget=64,gate=/models/gate" }, own))).toBe(
      undefined,
    );
    expect(faultOf(() => chat({ attention: "seer-attention-r:budget=64,gate=/models/gate" }))).toBe(
      "attention",
    );
    expect(faultOf(() => chat({ attention: "seer-attention-r:budget=64" }))).toBe(undefined);
  });
});

describe("a completion's body", () => {
  const prompts = (body: object) =>
    readCompletionBody({ ...body }, { ownAttention: undefined, chatTemplates: [] }).requests;

  it("takes a text, token ids, and lists of both, each n times", () => {
    expect(prompts({ prompt: "a" })).toEqual([{ prompt: "a", maxTokens: 16, keepsMarkers: true }]);
    expect(prompts({ prompt: [1, 2], max_tokens: 3 })).toEqual([
      { tokenIds: [1, 2], maxTokens: 3, keepsMarkers: true },
    ]);
    const both = prompts({ prompt: ["a", [3]], n: 2, max_tokens: 1 });
    expect(both.map(({ prompt, tokenIds }) => prompt ?? tokenIds)).toEqual(["a", "a", [3], [3]]);
  });

  it.each([
    [[], "prompt"],
    [{ length: 3 }, "prompt"],
    [["a", 1], "prompt[1]"],
    [["a", { length: 2 }], "prompt[1]"],
    [[[1, "b"]], "prompt[0]"],
    [Array.from({ length: 257 }, () => "a"), "prompt"],
    [undefined, "prompt"],
  ])("refuses the prompt %j", (prompt, param) => {
    expect(faultOf(() => prompts({ prompt }))).toBe(param);
  });
});
