import { describe, expect, it, test } from "vitest";
import { RequestError } from "../base/errors.ts";
import type { CallOptions, PromptMessage } from "./model-types.ts";
import { readCall } from "./read-options.ts";

const hello: CallOptions = {
  prompt: [{ role: "user", content: [{ type: "text", text: "hello" } as never] }],
};
const request = (options: Partial<CallOptions>) =>
  readCall({ ...hello, ...options }, ["… <tool_call> …"]).request;
const messages = (...prompt: PromptMessage[]) => request({ prompt }).messages;
const part = (type: string, members: object): PromptMessage => ({
  role: "assistant",
  content: [{ type, ...members }],
});

describe("a prompt of the AI SDK", () => {
  it("becomes messages: texts, reasoning, calls of tools as values, and their results", () => {
    expect(
      messages(
        { role: "system", content: "Be brief." },
        {
          role: "user",
          content: [{ type: "text", text: "a" } as never, { type: "text", text: "b" } as never],
        },
        {
          role: "assistant",
          content: [
            { type: "reasoning", text: "hm" } as never,
            { type: "text", text: "Let me see." } as never,
            { type: "tool-call", toolCallId: "1", toolName: "add", input: { a: 1 } } as never,
          ],
        },
        {
          role: "tool",
          content: [
            {
              type: "tool-result",
              toolCallId: "1",
              toolName: "add",
              output: { type: "json", value: { sum: 3 } },
            } as never,
            { type: "tool-approval-response", approvalId: "x", approved: true } as never,
          ],
        },
      ),
    ).toEqual([
      { role: "system", content: "Be brief." },
      { role: "user", content: "a\nb" },
      {
        ...{ role: "assistant", content: "Let me see.", reasoning_content: "hm" },
        tool_calls: [{ id: "1", type: "function", function: { name: "add", arguments: { a: 1 } } }],
      },
      { role: "tool", tool_call_id: "1", name: "add", content: '{"sum":3}' },
    ]);
  });

  test.each<[object, string]>([
    [{ type: "text", value: "four" }, "four"],
    [{ type: "error-text", value: "no" }, "no"],
    [{ type: "error-json", value: [1] }, "[1]"],
    [{ type: "execution-denied" }, "The tool was not run: its use was denied."],
    [{ type: "execution-denied", reason: "never" }, "never"],
    [
      {
        type: "content",
        value: [
          { type: "text", text: "a" },
          { type: "text", text: "b" },
        ],
      },
      "a\nb",
    ],
  ])("a result of a tool %o reads %s", (output, content) => {
    const result = { type: "tool-result", toolCallId: "1", toolName: "t", output };
    expect(messages({ role: "tool", content: [result] })?.[0]?.content).toBe(content);
  });

  test.each<[string, PromptMessage]>([
    [
      'prompt[0].content[0] is a file ("image/png")',
      { role: "user", content: [{ type: "file", mediaType: "image/png" } as never] },
    ],
    ['prompt[0].content[0] is a part of the type "custom"', part("custom", { kind: "a.b" })],
    ['prompt[0].content[0] is a part of the type "text"', part("text", { text: 5 })],
    [
      'prompt[0].content[0] is a part of the type "tool-result"',
      { role: "tool", content: [{ type: "tool-result" }] },
    ],
  ])("refuses what is no text: %s", (message, one) => {
    expect(() => messages(one)).toThrow(RequestError);
    expect(() => messages(one)).toThrow(message);
  });
});

describe("a call of the AI SDK", () => {
  it("leaves out what it does not say", () => {
    expect(
      request({ stopSequences: [], responseFormat: { type: "text" }, providerOptions: { openai: { a: 1 } } }),
    ).toEqual({
      messages: [{ role: "user", content: "hello" }],
    });
  });

  it("names each option as the engine does, with own ones in providerOptions.lessismore", () => {
    const { signal } = new AbortController();
    const own = { attention: "full", minP: 0.1, chatTemplateOptions: { a: 1 } };
    expect(
      request({
        ...{
          maxOutputTokens: 5,
          temperature: 0,
          topP: 0.5,
          topK: 3,
          seed: 7,
          presencePenalty: 1,
          frequencyPenalty: 2,
        },
        ...{ stopSequences: ["x"], abortSignal: signal, providerOptions: { lessismore: own } },
      }),
    ).toEqual({
      messages: [{ role: "user", content: "hello" }],
      ...{
        maxTokens: 5,
        temperature: 0,
        topP: 0.5,
        topK: 3,
        seed: 7,
        presencePenalty: 1,
        frequencyPenalty: 2,
      },
      ...{ stop: ["x"], signal, attention: "full", minP: 0.1, chatTemplateOptions: { a: 1 } },
    });
  });

  it("maps efforts of reasoning to budgets, which an own budget and own variables override", () => {
    expect(request({ reasoning: "provider-default" })).not.toHaveProperty("thinkingBudget");
    expect(request({ reasoning: "max" })).not.toHaveProperty("thinkingBudget");
    expect(request({ reasoning: "low" }).chatTemplateOptions).toBeUndefined();
    expect(request({ reasoning: "low" })).toHaveProperty("thinkingBudget", 1024);
    const none = request({ reasoning: "none" });
    expect(none).toMatchObject({ thinkingBudget: 0, chatTemplateOptions: { enable_thinking: false } });
    const lessismore = { thinkingBudget: 9, chatTemplateOptions: { enable_thinking: true } };
    expect(request({ reasoning: "none", providerOptions: { lessismore } })).toMatchObject(lessismore);
    expect(() => request({ reasoning: "huge" })).toThrow("reasoning must be provider-default or one of none");
  });

  it("maps response formats to constraints", () => {
    expect(request({ responseFormat: { type: "json" } })).toHaveProperty("constraint", { json: true });
    const schema = { type: "object" };
    expect(request({ responseFormat: { type: "json", schema } })).toHaveProperty("constraint", { schema });
  });

  it("refuses an unknown own option, with the nearest known one", () => {
    expect(() => request({ providerOptions: { lessismore: { attentoin: "full" } } })).toThrow(
      'did you mean "attention"?',
    );
  });

  const add = {
    type: "function",
    name: "add",
    description: "Adds.",
    inputSchema: { type: "object", properties: {} },
  };

  it("gives the template its tools as OpenAI has them, and reads calls of the model's style", () => {
    const call = readCall({ ...hello, tools: [add] }, ["<tool_call>"]);
    const { name, description, inputSchema: parameters } = add;
    expect(call.request.chatTemplateOptions).toEqual({
      tools: [{ type: "function", function: { name, description, parameters } }],
    });
    expect(call.request.constraint).toBeUndefined();
    expect(call.createParser?.().push("<tool_call>")).toEqual([]);
    const none = readCall({ ...hello, tools: [add], toolChoice: { type: "none" } }, []);
    expect([none.request.chatTemplateOptions, none.createParser]).toEqual([undefined, undefined]);
    expect(() => readCall({ ...hello, tools: [add] }, ["no style"])).toThrow("none of the known styles");
  });

  it("constrains the output to a call that is asked for, and to a call or an object where both may come", () => {
    const constraint = (options: Partial<CallOptions>) =>
      JSON.stringify(request({ tools: [add], ...options }).constraint);
    const required = constraint({ toolChoice: { type: "required" } });
    expect(required).toContain('{\\"name\\": \\"add\\"');
    expect(constraint({ toolChoice: { type: "tool", toolName: "add" } })).toContain("add");
    const schema = { type: "object", title: "mine" };
    expect(constraint({ toolChoice: { type: "required" }, responseFormat: { type: "json", schema } })).toBe(
      required,
    );
    const either = constraint({ responseFormat: { type: "json", schema } });
    expect(either).toContain(JSON.stringify({ schema }));
    expect(either).toContain(required);
    expect(() => request({ tools: [add], toolChoice: { type: "tool", toolName: "sub" } })).toThrow(
      "tool_choice",
    );
    expect(() => request({ toolChoice: { type: "required" } })).toThrow('"required" needs tools');
  });

  it("warns of tools that a provider runs, and leaves them out", () => {
    const search = { type: "provider", id: "x.search", name: "search", args: {} };
    const { request: made, warnings } = readCall({ ...hello, tools: [search] }, []);
    expect(made).not.toHaveProperty("chatTemplateOptions");
    expect(warnings).toEqual([{ type: "unsupported", feature: "the tool search, which a provider runs" }]);
  });
});
