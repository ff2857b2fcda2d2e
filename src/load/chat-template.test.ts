import { readFileSync } from "node:fs";
import fc from "fast-check";
import { afterEach, describe, expect, test, vi } from "vitest";
import { memoryFolder } from "../../test/golden/memory-folder.ts";
import { ConfigError, RequestError } from "../base/errors.ts";
import { createChatTemplate, openChatTemplate, type TemplateMessage } from "./chat-template.ts";

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
const render = (template: string, messages: readonly TemplateMessage[] = user, variables = {}) =>
  createChatTemplate(template, tokens, "folder")?.(messages, { variables });

test.each(Object.keys(golden.templates))("%s renders as transformers renders it", (name) => {
  const renderChat = createChatTemplate(golden.templates[name], tokens, "folder");
  const renders = golden.renders.filter((one) => one.template === name);
  expect(renders.length).toBe(30);
  for (const { messages, addGenerationPrompt, enableThinking, text } of renders) {
    const variables = enableThinking === null ? {} : { enable_thinking: enableThinking };
    expect(renderChat?.(messages, { addGenerationPrompt, variables })).toBe(text);
    if (addGenerationPrompt) expect(renderChat?.(messages, { variables })).toBe(text);
  }
});

describe("the template is chosen as transformers chooses it", () => {
  const named = [
    { name: "tool_use", template: "tools" },
    { name: "default", template: "default" },
  ];
  const open = async (files: Record<string, string | object>, variables = {}) =>
    (
      await openChatTemplate(memoryFolder(files), files["tokenizer_config.json"] as Record<string, unknown>)
    )?.(user, {
      variables,
    });
  const config = (template: unknown) => ({ "tokenizer_config.json": { chat_template: template } });

  test.each([
    ["chat_template.jinja before the config", { ...config("config"), "chat_template.jinja": "file" }, "file"],
    ["the config's text", config("config"), "config"],
    ["the default of a list", config(named), "default"],
    [
      "chat_template.json without any other template",
      { ...config(null), "chat_template.json": { chat_template: "old" } },
      "old",
    ],
    [
      "the config before chat_template.json",
      { ...config("config"), "chat_template.json": { chat_template: "old" } },
      "config",
    ],
  ])("%s", async (_, files, text) => {
    expect(await open(files)).toBe(text);
  });

  test("tool_use for requests with tools, from the config and from additional_chat_templates", async () => {
    const additional = {
      "additional_chat_templates/tool_use.jinja": "file tools",
      "chat_template.jinja": "file",
    };
    expect(await open(config(named), { tools: [] })).toBe("tools");
    expect(await open({ ...config(null), ...additional }, { tools: [{}] })).toBe("file tools");
    expect(await open({ ...config(null), ...additional })).toBe("file");
    expect(await open({ ...config(named), ...additional }, { tools: null })).toBe("file");
  });

  test("no template is undefined; named templates without a default are a ConfigError on render", async () => {
    expect(await open(config(null))).toBeUndefined();
    expect(await open(config([{ name: 1 }]))).toBeUndefined();
    await expect(open(config(named.slice(0, 1)))).rejects.toThrow(ConfigError);
    await expect(open(config(named.slice(0, 1)))).rejects.toThrow('"tool_use"');
  });

  test("a byte-order mark at the start of a file is part of the prompt", async () => {
    expect(await open({ ...config(null), "chat_template.jinja": "\ufeffx" })).toBe("\ufeffx");
  });

  test("a file with CRLF renders as one with LF", async () => {
    const lines = "{% for m in messages %}\r\n  {{ m.content }}\r\n{% endfor %}\r\nend\r\n";
    expect(await open({ ...config(null), "chat_template.jinja": lines })).toBe("  hi\nend");
  });
});

describe("special tokens of a template", () => {
  const template = "[{{ bos_token }}|{{ eos_token }}|{{ pad_token }}|{{ image_token }}|{{ my_token }}]";
  const shown = (config: Record<string, unknown>, specialTokensMap = {}) =>
    createChatTemplate(template, config, "folder", { specialTokensMap })?.(user);

  test("come from the config; missing ones render as nothing", () => {
    expect(shown({ ...tokens, pad_token: null })).toBe("[<s>|</s>|||]");
    expect(shown({ ...tokens, image_token: "<i>" })).toBe("[<s>|</s>||<i>|]");
    expect(shown({ ...tokens, extra_special_tokens: { my_token: "<m>" } })).toBe("[<s>|</s>|||<m>]");
  });

  test("come from special_tokens_map.json if the config has no added_tokens_decoder", () => {
    const map = { bos_token: { content: "<b>" }, pad_token: "<p>" };
    expect(shown({ eos_token: "</s>" }, map)).toBe("[<b>|</s>|<p>||]");
    expect(shown({ ...tokens }, map)).toBe("[<b>|</s>|<p>||]");
    expect(shown({ ...tokens, added_tokens_decoder: {} }, map)).toBe("[<s>|</s>|||]");
  });

  test("are overridden by the request's variables", () => {
    expect(render("{{ bos_token }}", user, { bos_token: "mine" })).toBe("mine");
  });
});

describe("variables of every template", () => {
  test("tools and documents are None unless the request has them", () => {
    expect(render("{{ tools }}{{ documents }}{% if tools is not none %}TOOLS{% endif %}")).toBe("NoneNone");
    expect(render("{{ tools|length }}", user, { tools: [{ name: "x" }] })).toBe("1");
  });

  test("messages lose their null keys, and reasoning appears under each of its names", () => {
    const call = [...user, { role: "assistant", content: null, tool_calls: [{ id: "1" }], thinking: "hm" }];
    const template =
      "{{ messages[1].content is defined }} {{ messages[1].reasoning_content }} {{ messages[1].tool_calls[0].id }}";
    expect(render(template, call)).toBe("False hm 1");
  });

  test("lstrip('\\n') keeps leading spaces", () => {
    const answer = [{ role: "assistant", content: "<think>\nshort\n</think>\n\n    return x" }];
    expect(render("{{ messages[0].content.split('</think>')[-1].lstrip('\\n') }}", answer)).toBe(
      "    return x",
    );
  });
});

describe("strftime_now", () => {
  afterEach(() => {
    vi.useRealTimers();
  });

  test("formats in English, whatever the machine's language", () => {
    vi.useFakeTimers({ now: new Date(2026, 4, 7, 9, 5) });
    expect(render("{{ strftime_now('%d %b %Y %A %-d %H:%M') }}")).toBe("07 May 2026 Thursday 7 09:05");
  });
});

describe("errors", () => {
  test("raise_exception is a RequestError with the template's message", () => {
    const wrong = [...user, ...user];
    const refused = () => render(golden.templates["llama-inst"] ?? "", wrong);
    expect(refused).toThrow(RequestError);
    expect(refused).toThrow("Conversation roles must alternate");
  });

  test.each([
    "{{ x",
    "{% endfor %}",
    "{% if x is y z %}",
    "{% frobnicate %}",
    "{{ 'abc",
    "{% for %}",
    "{{ ( }}",
  ])("%s is a ConfigError only when a chat is rendered, with the file and advice", (template) => {
    const renderChat = createChatTemplate(template, {}, "folder");
    expect(renderChat).toBeDefined();
    expect(() => renderChat?.(user)).toThrow(ConfigError);
    expect(() => renderChat?.(user)).toThrow(
      /folder\/chat_template\.jinja.*give the prompt as text or token ids/,
    );
  });

  test("no messages, messages that are not objects and reserved variables are RequestErrors", () => {
    const cyclic: Record<string, unknown> = { role: "user" };
    cyclic.self = cyclic;
    for (const [messages, variables] of [
      [[], {}],
      [[null], {}],
      [["hi"], {}],
      [[cyclic], {}],
      [user, { messages: [] }],
      [user, { add_generation_prompt: true }],
      [user, { tools: "x" }],
      [user, { documents: [1] }],
    ] as const)
      expect(() => render("{{ messages }}", messages as unknown as TemplateMessage[], variables)).toThrow(
        RequestError,
      );
  });
});

describe("limits of a hostile template", () => {
  const nested = (depth: number, inner: string) =>
    "{% for a in range(1000) %}".repeat(depth) + inner + "{% endfor %}".repeat(depth);

  test.each([
    ["loops in loops", nested(5, "x")],
    ["a long text", "{{ 'a' * 1000000000 }}"],
    [
      "a text that doubles",
      `{% set ns = namespace(x='aaaaaaaa') %}${nested(1, "{% set ns.x = ns.x + ns.x %}")}`,
    ],
    ["much output", nested(2, "{{ 'a' * 1000 }}")],
    ["a list that doubles", `{% set ns = namespace(x=[1]) %}${nested(1, "{% set ns.x = ns.x + ns.x %}")}`],
    ["a macro that calls itself", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"],
    ["a large number", "{{ 10 ** 10000000000 }}"],
    [
      "a number that squares itself",
      `{% set ns = namespace(x=9) %}${nested(1, "{% set ns.x = ns.x * ns.x %}")}`,
    ],
    ["a wide format", "{{ '%1000000000d' % 1 }}"],
    ["a wide str.format", "{{ '{:>1000000000}'.format(1) }}"],
    ["wide padding", "{{ 'a'.center(1000000000) }}"],
    ["deep indents", "{{ {'a': {'b': 1}}|tojson(indent=1000000000) }}"],
    ["a replacement of nothing", `{{ ('a' * 100000)|replace('', 'a' * 100000) }}`],
    ["a template of two million characters", " ".repeat(2_000_000)],
    ["parentheses", `{{ ${"(".repeat(100_000)}1${")".repeat(100_000)} }}`],
    ["blocks in blocks", "{% if 1 %}".repeat(100_000)],
    ["a long sum", `{{ ${"1 + ".repeat(200_000)}1 }}`],
    ["a join of many", "{{ (['a' * 1000000] * 1000)|join }}"],
  ])("%s: a ConfigError within 10 s", (_, template) => {
    const start = performance.now();
    expect(() => render(template)).toThrow(ConfigError);
    expect(performance.now() - start).toBeLessThan(10_000);
  });

  test("range(1000000000) is refused as in Python's sandbox", () => {
    expect(() => render("{% for a in range(1000000000) %}{% endfor %}")).toThrow("Range too big");
  });

  test("a conversation of 2000 messages and 4 million characters stays within the limits", () => {
    const long = Array.from({ length: 2000 }, (_, i) => ({
      role: i % 2 === 0 ? "user" : "assistant",
      content: "word ".repeat(400),
    }));
    expect(render(golden.templates["chatml-thinking"] ?? "", long)?.length).toBeGreaterThan(4e6);
  });

  test("random templates render or throw a typed error", () => {
    const words = [
      "{{",
      "}}",
      "{%",
      "%}",
      "{#",
      "#}",
      "-",
      "if",
      "for",
      "in",
      "x",
      "messages",
      "endif",
      "endfor",
      "set",
      "=",
      "(",
      ")",
      "[",
      "]",
      "|",
      "join",
      "is",
      "defined",
      "'a'",
      "1",
      "1.5",
      ".",
      ",",
      "+",
      "*",
      "**",
      "%",
      "~",
      "not",
      "macro",
      "endmacro",
      "loop",
      "{",
      ":",
      "}",
      "else",
      "tojson",
      "\n",
      " ",
      "raw",
      "endraw",
      "\\",
    ];
    const template = fc.array(fc.constantFrom(...words), { maxLength: 25 }).map((parts) => parts.join(" "));
    fc.assert(
      fc.property(template, (text) => {
        try {
          expect(typeof render(text)).toBe("string");
        } catch (error) {
          expect(["RequestError", "ConfigError"], String(error)).toContain((error as Error).name);
        }
      }),
      { numRuns: 500 },
    );
  });
});
