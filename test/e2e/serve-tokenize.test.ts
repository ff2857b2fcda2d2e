/** Tokens of texts and of conversations, by the names of vLLM. */
import { afterAll, beforeAll, expect, it } from "vitest";
import { golden, TestFolder } from "./command-line.ts";
import { post } from "./fault-client.ts";
import { clientOf, messages, model } from "./serve-client.ts";
import { ServeProcess } from "./serve-process.ts";

const HERMES = `{%- if tools %}<tool_call>{{ tools | map(attribute='function') | map(attribute='name') | join }}{% endif -%}
{%- if shout %}LOUD{% endif -%}
{%- for message in messages %}<|im_start|>{{ message.role }}: {{ message.content }}<|im_end|>{% endfor -%}
{%- if add_generation_prompt %}<|im_start|>assistant{% endif %}`;

const folder = new TestFolder();
let server: ServeProcess;
let other: ServeProcess;
beforeAll(async () => {
  const template = folder.modelWith("hermes", { "chat_template.jinja": HERMES });
  [server, other] = await Promise.all([
    ServeProcess.start(["--attention", "full"]),
    ServeProcess.start(["--model", template]),
  ]);
});
afterAll(async () => {
  await Promise.all([server.stop(), other.stop()]);
  folder.remove();
});

async function tokenize(body: object, on = server) {
  const response = await fetch(`${on.origin}/tokenize`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return { status: response.status, ...(await response.json()) };
}

async function detokenize(tokens: readonly number[], on = server): Promise<string> {
  const response = await fetch(`${on.origin}/detokenize`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ tokens }),
  });
  return (await response.json()).prompt;
}

it("a conversation has the tokens that its completion has as a prompt", async () => {
  const { status, tokens, count, max_model_len: length } = await tokenize({ model, messages });
  expect([status, tokens, count]).toEqual([200, golden.prompt_ids, golden.prompt_ids.length]);
  expect(length).toBeGreaterThan(count);
  const parts = [{ role: "user", content: [{ type: "text", text: messages[0]?.content }] }];
  expect((await tokenize({ messages: parts })).tokens).toEqual(tokens);
  const turns = [...messages, { role: "assistant", content: "qw=33" }, { role: "user", content: "ok" }];
  const { usage } = await clientOf(server.url).chat.completions.create({
    ...{ model, max_tokens: 1, messages: turns as typeof messages },
  });
  expect((await tokenize({ messages: turns })).count).toBe(usage?.prompt_tokens);
});

it("add_generation_prompt: false leaves out the opening of the answer; return_token_strs and special tokens are as of a text", async () => {
  const whole = (await tokenize({ messages })).tokens;
  const { tokens, token_strs: texts } = await tokenize({
    ...{ messages, add_generation_prompt: false, return_token_strs: true },
  });
  expect(tokens).toEqual(whole.slice(0, tokens.length));
  expect(await detokenize(whole.slice(tokens.length))).toBe("<|im_start|>assistant\n<think>\n");
  expect(texts).toEqual(
    (await tokenize({ prompt: await detokenize(tokens), return_token_strs: true })).token_strs,
  );
  const added = await tokenize({ messages, add_special_tokens: true });
  expect(added.tokens).toEqual((await tokenize({ prompt: await detokenize(whole) })).tokens);
});

it("tools and variables reach the template, as they do in a completion", async () => {
  const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
  const text = async (extra: object) =>
    detokenize(
      (await tokenize({ messages: [{ role: "developer", content: "hi" }], ...extra }, other)).tokens,
      other,
    );
  expect(await text({})).toBe("<|im_start|>system: hi<|im_end|><|im_start|>assistant");
  expect(await text({ tools })).toContain("<tool_call>weather");
  expect(await text({ tools, tool_choice: "none" })).not.toContain("weather");
  expect(await text({ chat_template_kwargs: { shout: true } })).toMatch(/^LOUD/);
});

it("what cannot be tokenised is 400 with the field", async () => {
  const image = { type: "image_url", image_url: { url: "file:///etc/passwd" } };
  const long = "a".repeat(1_000_001);
  const wrong: readonly (readonly [object, string])[] = [
    [{ messages: [] }, "messages"],
    [{ messages, prompt: "a" }, "messages"],
    [{ messages: [{ role: "user", content: [image] }] }, "messages[0].content[0].type"],
    [{ messages, add_generation_prompt: "yes" }, "add_generation_prompt"],
    [{ messages, chat_template: "{{ messages }}" }, "chat_template"],
    [{ messages, continue_final_message: true }, "continue_final_message"],
    [{ messages, chat_template_kwargs: { messages: [] } }, "chat_template_kwargs"],
    [{ messages, chat_template_kwargs: { chat_template: "x" } }, "chat_template_kwargs"],
    [{ messages: [{ role: "user", content: long }] }, "messages"],
    [{ prompt: long }, "prompt"],
    [{}, "prompt"],
  ];
  for (const [body, param] of wrong) {
    const { status, error } = await tokenize(body);
    expect([status, error.param], JSON.stringify(body).slice(0, 200)).toEqual([400, param]);
  }
});

it("while a long text is tokenised, /health answers again and again", async () => {
  let isOver = false;
  const long = post(server, { prompt: "\n x1".repeat(250_000) }, { path: "/tokenize" }).then((response) => {
    isOver = true; // its headers have come
    return response.json();
  });
  let numAnswers = 0;
  while (!isOver) {
    expect((await fetch(`${server.origin}/health`)).status).toBe(200);
    numAnswers++;
  }
  expect((await long).count).toBeGreaterThan(250_000);
  expect(numAnswers).toBeGreaterThan(15); // some that came before its body had, and one after another while it works
});
