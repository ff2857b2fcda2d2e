import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { ModelFileError, RequestError } from "../base/errors.ts";
import { createChatTemplate, type TemplateMessage } from "./chat-template.ts";

interface Golden {
  readonly templates: Record<string, string>;
  readonly renders: {
    readonly template: string;
    readonly messages: TemplateMessage[];
    readonly addGenerationPrompt: boolean;
    readonly enableThinking: boolean | null;
    readonly text: string;
  }[];
}

const golden: Golden = JSON.parse(
  readFileSync(new URL("../../test/golden/chat-templates.json", import.meta.url), "utf8"),
);
const tokens = { bos_token: "<s>", eos_token: { content: "</s>", lstrip: false } };
const user = [{ role: "user", content: "hi" }];

test.each(Object.keys(golden.templates))("%s renders as transformers renders it", (name) => {
  const render = createChatTemplate(golden.templates[name], tokens, "folder");
  const renders = golden.renders.filter((one) => one.template === name);
  expect(renders.length).toBe(30);
  for (const { messages, addGenerationPrompt, enableThinking, text } of renders) {
    const thinking = enableThinking === null ? {} : { variables: { enable_thinking: enableThinking } };
    expect(render?.(messages, { addGenerationPrompt, ...thinking })).toBe(text);
    if (addGenerationPrompt) expect(render?.(messages, thinking)).toBe(text);
  }
});

test("the template is chat_template.jinja, else the text or the default of the list in tokenizer_config.json", () => {
  const list = [
    { name: "tool_use", template: "tools" },
    { name: "default", template: "default" },
  ];
  const render = (jinja: string | undefined, config: object) =>
    createChatTemplate(jinja, { ...config }, "folder")?.(user);
  expect(render("file", { chat_template: "config" })).toBe("file");
  expect(render(undefined, { chat_template: "config" })).toBe("config");
  expect(render(undefined, { chat_template: list })).toBe("default");
  expect(render(undefined, { chat_template: list.slice(0, 1) })).toBe("tools");
  expect(render(undefined, { chat_template: null })).toBeUndefined();
  expect(render(undefined, {})).toBeUndefined();
});

test("special tokens that a checkpoint does not have render as nothing", () => {
  const template = "[{{ bos_token }}|{{ eos_token }}|{{ pad_token }}]";
  expect(createChatTemplate(template, { ...tokens, pad_token: null }, "folder")?.(user)).toBe("[<s>|</s>|]");
});

test("what a template refuses is a RequestError with the template's own words", () => {
  const render = createChatTemplate(golden.templates["llama-inst"], tokens, "folder");
  const wrong = [...user, ...user];
  expect(() => render?.(wrong)).toThrow(RequestError);
  expect(() => render?.(wrong)).toThrow("Conversation roles must alternate");
});

test("a template that does not parse is a ModelFileError that names the folder", () => {
  expect(() => createChatTemplate("{{ x", {}, "folder")).toThrow(ModelFileError);
  expect(() => createChatTemplate("{% endfor %}", {}, "folder")).toThrow("reading folder: its chat template");
});
