/** Calls of tools by the `openai` client. The bundled model was not trained to call any, so the choice makes it. */
import type OpenAI from "openai";
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestFolder } from "./command-line.ts";
import { clientOf, errorOf, greedy } from "./serve-client.ts";
import { ServeProcess } from "./serve-process.ts";

/** Shows tools as Qwen's template does. */
const TEMPLATE = `{%- if tools %}{{- '<|im_start|>system\\n' + tools | tojson + '<|im_end|>\\n' }}{% endif -%}
{%- for message in messages -%}
{{- '<|im_start|>' + message.role + '\\n' + (message.content or '') -}}
{%- for call in message.tool_calls or [] -%}
{{- '<tool_call>\\n' + call.function | tojson + '\\n</tool_call>' -}}
{%- endfor -%}
{{- '<|im_end|>\\n' -}}
{%- endfor -%}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n<think>\\n\\n</think>\\n\\n' }}{% endif -%}`;
const paint = {
  type: "function" as const,
  function: {
    name: "paint",
    description: "Paints a wall.",
    parameters: {
      type: "object",
      properties: { colour: { enum: ["red", "green"] }, coats: { type: "integer", minimum: 1, maximum: 3 } },
      required: ["colour", "coats"],
      additionalProperties: false,
    },
  },
};

const folder = new TestFolder();
let server: ServeProcess;
let client: OpenAI;
beforeAll(async () => {
  const model = folder.modelWith("caller", { "chat_template.jinja": TEMPLATE });
  server = await ServeProcess.start([
    "--attention",
    "full",
    "--model",
    model,
    "--served-model",
    greedy.model,
  ]);
  client = clientOf(server.url);
});
afterAll(async () => {
  await server.stop();
  folder.remove();
});

const choice = { type: "function" as const, function: { name: "paint" } };
const ask = { ...greedy, tools: [paint], tool_choice: choice, max_tokens: 200 };

function checkArguments(text: string): void {
  const given = JSON.parse(text);
  expect(["red", "green"]).toContain(given.colour);
  expect([1, 2, 3]).toContain(given.coats);
  expect(Object.keys(given)).toHaveLength(2);
}

it("gives a call with arguments of its schema, and takes the history with the call back", async () => {
  const { choices } = await client.chat.completions.create(ask);
  const [first] = choices;
  expect(first?.finish_reason).toBe("tool_calls");
  expect(first?.message.content).toBe(null);
  const calls = first?.message.tool_calls ?? [];
  expect(calls).toHaveLength(1);
  const [call] = calls;
  if (call?.type !== "function") throw new Error("expected a call of a function");
  expect(call).toMatchObject({ id: expect.stringMatching(/^[a-z0-9]{9}$/i), function: { name: "paint" } });
  checkArguments(call.function.arguments);
  const history = [
    ...greedy.messages,
    { role: "assistant" as const, content: null, tool_calls: [call] },
    { role: "tool" as const, tool_call_id: call.id, content: "done" },
  ];
  const next = await client.chat.completions.create({
    ...ask,
    messages: history,
    tool_choice: "none",
    max_tokens: 5,
  });
  expect(next.choices[0]?.message).not.toHaveProperty("tool_calls");
});

it("streams the same call: its name first, then its arguments in pieces, and no markup as content", async () => {
  const whole = await client.chat.completions.create(ask);
  const stream = await client.chat.completions.create({ ...ask, stream: true });
  let [content, given, finish]: [string, string, string | null] = ["", "", null];
  const names: string[] = [];
  let pieces = 0;
  for await (const { choices } of stream) {
    const [one] = choices;
    content += one?.delta.content ?? "";
    finish = one?.finish_reason ?? finish;
    for (const call of one?.delta.tool_calls ?? []) {
      expect(call.index).toBe(0);
      if (call.function?.name) names.push(call.function.name);
      if (call.function?.arguments) pieces++;
      given += call.function?.arguments ?? "";
    }
  }
  expect([content, finish, names]).toEqual(["", "tool_calls", ["paint"]]);
  expect(pieces).toBeGreaterThan(1);
  checkArguments(given);
  const [call] = whole.choices[0]?.message.tool_calls ?? [];
  expect(call?.type === "function" && call.function.arguments).toBe(given);
});

it("says that a limit cut a call, and leaves an answer that calls nothing as it is", async () => {
  const cut = await client.chat.completions.create({ ...ask, max_tokens: 12 });
  expect(cut.choices[0]?.finish_reason).toBe("length");
  const free = await client.chat.completions.create({ ...ask, tool_choice: "auto", max_tokens: 12 });
  expect(free.choices[0]?.message.content).not.toBe("");
  expect(free.choices[0]?.message).not.toHaveProperty("tool_calls");
});

it("refuses a tool that is none, with its place", async () => {
  const body = { ...ask, tools: [{ type: "function", function: { name: "" } }] } as unknown as typeof ask;
  expect(await errorOf(client.chat.completions.create(body))).toMatchObject({
    ...{ status: 400, param: "tools[0].function.name" },
  });
});
