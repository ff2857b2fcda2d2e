/** The real AI SDK drives the provider, on this thread and behind a worker. */
import { APICallError } from "@ai-sdk/provider";
import { generateText, type ModelMessage, Output, stepCountIs, streamText, tool } from "ai";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import * as z from "zod";
import { type CallOptions, createLessIsMore, type LessIsMoreLanguageModel } from "../../src/ai-sdk/index.ts";
import { RequestError } from "../../src/base/errors.ts";
import type { Engine } from "../../src/engine/engine-api.ts";
import type { Generation, GenerationRequest } from "../../src/engine/request.ts";
import { openEngine } from "../../src/node/index.ts";
import { openEngineInWorker } from "../../src/node/worker.ts";
import { TestFolder } from "./command-line.ts";

const OPTIONS = { backend: "wasm", threads: 1, contextLength: 2048, tuning: "default" } as const;
const PROBLEM = "Find qw. Arithmetic is modulo 100.\nio=26\nqw=io+7";
const chat: { messages: ModelMessage[]; temperature: number } = {
  messages: [{ role: "user", content: PROBLEM }],
  temperature: 0,
};
const long = { ...chat, maxOutputTokens: 1500, providerOptions: { lessismore: { ignoreEos: true } } };

/** A call as the AI SDK makes it. */
const CALL: CallOptions = {
  prompt: [{ role: "user", content: [{ type: "text", text: PROBLEM } as never] }],
  ...{ maxOutputTokens: 1500, providerOptions: { lessismore: { ignoreEos: true } } },
};

describe.each([
  ["on this thread", openEngine],
  ["behind a worker", openEngineInWorker],
] as const)("the AI SDK %s", (_, open) => {
  let engine: Engine;
  let model: LessIsMoreLanguageModel<"v3">;
  beforeAll(async () => {
    engine = await open(OPTIONS);
    model = createLessIsMore({ engine })();
  });
  afterAll(() => engine.close());

  it("generateText gives reasoning, text, usage and the share of the cache attended", async () => {
    const expected = await engine
      .generate({ messages: [{ role: "user", content: PROBLEM }], temperature: 0 })
      .result();
    const attention = "streaming-llm:budget=24,sinks=4";
    const { text, reasoningText, usage, finishReason, providerMetadata, response } = await generateText({
      model,
      ...chat,
    });
    expect(text).toBe(expected.answer);
    expect(reasoningText).toBe(expected.reasoning);
    expect(finishReason).toBe("stop");
    expect(usage).toMatchObject({
      inputTokens: expected.usage.promptTokens,
      outputTokens: expected.usage.completionTokens,
      totalTokens: expected.usage.promptTokens + expected.usage.completionTokens,
    });
    const { cacheReadTokens = 0, noCacheTokens = 0 } = usage.inputTokenDetails;
    expect(cacheReadTokens).toBeGreaterThan(10); // the same prompt again
    expect(cacheReadTokens + noCacheTokens).toBe(usage.inputTokens);
    expect(usage.outputTokenDetails.reasoningTokens).toBe(expected.usage.reasoningTokens);
    expect(usage.outputTokenDetails.reasoningTokens).toBeGreaterThan(5);
    const { completionTokens, reasoningTokens } = expected.usage;
    expect(usage.outputTokenDetails.textTokens).toBe(completionTokens - reasoningTokens);
    expect(providerMetadata?.lessismore).toMatchObject({ attention: "less-is-more", attendedFraction: 1 });
    expect(response.modelId).toBe("pico-reasoner");
    const sparse = await generateText({ model, ...chat, providerOptions: { lessismore: { attention } } });
    expect(sparse.providerMetadata?.lessismore?.attention).toBe("streaming-llm");
    expect(sparse.providerMetadata?.lessismore?.attendedFraction).toBeLessThan(1);
  });

  it("streamText streams the reasoning, then the text, then usage", async () => {
    const result = streamText({ model, ...chat });
    const types: string[] = [];
    let reasoning = "";
    let text = "";
    for await (const part of result.fullStream) {
      if (types.at(-1) !== part.type) types.push(part.type);
      if (part.type === "reasoning-delta") reasoning += part.text;
      if (part.type === "text-delta") text += part.text;
    }
    const whole = await generateText({ model, ...chat });
    expect({ text, reasoning }).toEqual({ text: whole.text, reasoning: whole.reasoningText });
    expect(types).toEqual([
      ...["start", "start-step", "reasoning-start", "reasoning-delta", "reasoning-end"],
      ...["text-start", "text-delta", "text-end", "finish-step", "finish"],
    ]);
    expect(await result.usage).toMatchObject({ outputTokens: whole.usage.outputTokens });
    expect(await result.finishReason).toBe("stop");
  });

  it("goes on with a conversation, and tells an output that was cut", async () => {
    const first = await generateText({ model, ...chat });
    const messages: ModelMessage[] = [
      ...chat.messages,
      ...first.response.messages,
      { role: "user", content: "Again." },
    ];
    const { finishReason, usage } = await generateText({
      model,
      messages,
      temperature: 0,
      maxOutputTokens: 3,
    });
    expect(finishReason).toBe("length");
    expect(usage.outputTokens).toBe(3);
    expect(usage.inputTokens).toBeGreaterThan(first.usage.inputTokens ?? 0);
  });

  it("gives objects of a schema, whole and as they grow", async () => {
    const schema = z.object({ colour: z.enum(["red", "green"]), isDark: z.boolean() });
    const output = Output.object({ schema });
    const whole = await generateText({ model, ...chat, output });
    expect(schema.parse(whole.output)).toEqual(whole.output);
    const { partialOutputStream, output: streamed } = streamText({ model, ...chat, output });
    const partial: unknown[] = [];
    for await (const one of partialOutputStream) partial.push(one);
    expect(partial.at(-1)).toEqual(whole.output);
    expect(await streamed).toEqual(whole.output);
    const text = await generateText({ model, ...chat, output: Output.choice({ options: ["yes", "no"] }) });
    expect(["yes", "no"]).toContain(text.output);
  });

  it("an abort ends a call and a stream in the middle as the AI SDK expects, and frees the engine", async () => {
    const controller = new AbortController();
    const call = generateText({ model, ...long, abortSignal: controller.signal });
    setTimeout(() => controller.abort(), 50);
    await expect(call).rejects.toMatchObject({ name: "AbortError" });

    const streaming = new AbortController();
    const seen: string[] = [];
    let isAborted = false;
    const onAbort = () => {
      isAborted = true;
    };
    const { fullStream } = streamText({ model, ...long, abortSignal: streaming.signal, onAbort });
    for await (const part of fullStream) {
      seen.push(part.type);
      if (seen.length === 8) streaming.abort();
    }
    expect(seen.at(-1)).toBe("abort");
    expect(seen).not.toContain("error");
    expect(isAborted).toBe(true);
    expect((await generateText({ model, ...chat, maxOutputTokens: 2 })).finishReason).toBe("length");
  });

  it("of version 4 limits the reasoning by its level, and tells that it was cut", async () => {
    const four = createLessIsMore({ engine, specificationVersion: "v4" })();
    const prompt = CALL.prompt;
    const { content, usage, providerMetadata } = await four.doGenerate({
      prompt,
      temperature: 0,
      reasoning: "none",
    });
    expect(content.filter(({ type }) => type === "reasoning")).toEqual([]);
    expect(usage.outputTokens.reasoning).toBe(0);
    expect(providerMetadata.lessismore?.isThinkingCut).toBe(true);
    const low = await four.doGenerate({ prompt, temperature: 0, reasoning: "low" });
    expect(low.usage.outputTokens.reasoning).toBeGreaterThan(5);
    expect(low.providerMetadata.lessismore?.isThinkingCut).toBe(false);
  });

  it("an aborted stream ends with the reason of its signal, and so does one that never began", async () => {
    const controller = new AbortController();
    const { signal: abortSignal } = controller;
    const options = { ...CALL, abortSignal };
    const reader = (await model.doStream(options)).stream.getReader();
    for (let i = 0; i < 5; i++) expect((await reader.read()).done).toBe(false);
    const reason = new Error("enough");
    controller.abort(reason);
    const readAll = async () => {
      while (!(await reader.read()).done);
    };
    await expect(readAll()).rejects.toBe(reason);
    await expect(model.doStream(options)).rejects.toBe(reason);
    await expect(model.doGenerate(options)).rejects.toBe(reason);
  });

  it("a stream that is cancelled ends its request", async () => {
    const generations: Generation[] = [];
    const generate = (request: GenerationRequest): Generation => {
      const generation = engine.generate(request);
      generations.push(generation);
      return generation;
    };
    const watched = createLessIsMore({
      engine: { ...engine, report: () => engine.report(), generate } as Engine,
    })();
    const { stream } = await watched.doStream(CALL);
    const reader = stream.getReader();
    for (let i = 0; i < 5; i++) expect((await reader.read()).done).toBe(false);
    await reader.cancel();
    expect((await reader.read()).done).toBe(true);
    expect(generations[0]?.progress).toMatchObject({ phase: "done" });
    expect(generations[0]?.progress.generatedTokens).toBeLessThan(500);
    await expect(generations[0]?.result()).rejects.toThrow("its consumer stopped iterating");
  });

  it("errors of the engine keep their class; none is tried again", async () => {
    const providerOptions = { lessismore: { attention: "nope" } };
    const failed: unknown = await generateText({ model, ...chat, providerOptions }).catch(
      (error: unknown) => error,
    );
    expect(failed).toMatchObject({ name: "ConfigError", code: "config" });
    expect(APICallError.isInstance(failed)).toBe(false);
    const image = { type: "image" as const, image: new Uint8Array([137, 80, 78, 71]) };
    const messages: ModelMessage[] = [{ role: "user", content: [image] }];
    await expect(generateText({ model, messages })).rejects.toThrow(RequestError);
    const errors: unknown[] = [];
    const tooLong = "a ".repeat(3000);
    const { fullStream } = streamText({
      model,
      prompt: tooLong,
      onError: ({ error }) => void errors.push(error),
    });
    for await (const _ of fullStream);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toBeInstanceOf(RequestError);
  });
});

/** The bundled model with a template that shows tools as Qwen's does. It was not trained to call them, so that the choice must make it. */
const TEMPLATE = `{%- if tools %}{{- '<|im_start|>system\\n' + tools | tojson + '<|im_end|>\\n' }}{% endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + message.content -}}
{%- for call in message.tool_calls or [] -%}
{{- '<tool_call>\\n' + call.function | tojson + '\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{% endif -%}`;

describe("tools of the AI SDK", () => {
  const folder = new TestFolder();
  let engine: Engine;
  let caller: LessIsMoreLanguageModel<"v3">;
  beforeAll(async () => {
    const model = folder.modelWith("caller", { "chat_template.jinja": TEMPLATE });
    engine = await openEngineInWorker({ ...OPTIONS, model });
    caller = createLessIsMore({ engine })();
  });
  afterAll(async () => {
    await engine.close();
    folder.remove();
  });

  const colours = z.object({ colour: z.enum(["red", "green"]), isDark: z.boolean() });
  const paint = (seen: unknown[]) =>
    tool({
      description: "Paints.",
      inputSchema: colours,
      execute: (input) => {
        seen.push(input);
        return { done: true };
      },
    });

  it("are called with input of their schema, and their results go back to the model", async () => {
    const seen: unknown[] = [];
    const result = await generateText({
      ...{
        model: caller,
        prompt: "Paint it.",
        temperature: 0,
        maxOutputTokens: 100,
        tools: { paint: paint(seen) },
      },
      prepareStep: ({ stepNumber }) =>
        stepNumber === 0 ? { toolChoice: { type: "tool", toolName: "paint" } } : { toolChoice: "auto" },
      stopWhen: stepCountIs(2),
    });
    expect(seen).toHaveLength(1);
    expect(colours.parse(seen[0])).toEqual(seen[0]);
    const [first, second] = result.steps;
    expect(first?.finishReason).toBe("tool-calls");
    expect(first?.toolCalls[0]).toMatchObject({ toolName: "paint", input: seen[0] });
    expect(second?.toolCalls).toEqual([]);
    expect(second?.usage.inputTokens).toBeGreaterThan(first?.usage.inputTokens ?? 0);
  });

  it("are streamed, a call by its choice of tool", async () => {
    const seen: unknown[] = [];
    const { fullStream } = streamText({
      ...{
        model: caller,
        prompt: "Paint it.",
        temperature: 0,
        maxOutputTokens: 100,
        tools: { paint: paint(seen) },
      },
      toolChoice: { type: "tool", toolName: "paint" },
    });
    const types: string[] = [];
    let input = "";
    for await (const part of fullStream) {
      if (types.at(-1) !== part.type) types.push(part.type);
      if (part.type === "tool-input-delta") input += part.delta;
    }
    expect(JSON.parse(input)).toEqual(seen[0]);
    expect(types).toEqual([
      ...["start", "start-step", "tool-input-start", "tool-input-delta", "tool-input-end", "tool-call"],
      ...["tool-result", "finish-step", "finish"],
    ]);
  });
});
