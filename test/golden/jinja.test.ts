import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { createChatTemplate, type TemplateMessage } from "../../src/load/chat-template.ts";
import { place } from "../place/here.ts";

interface Case {
  readonly template: string | null;
  readonly name?: string;
  readonly chat: number;
  readonly options: Readonly<Record<string, unknown>>;
  readonly text?: string;
  readonly error?: string;
}

interface Golden {
  readonly now: readonly [number, number, number, number, number, number, number];
  readonly models: Readonly<Record<string, string>>;
  readonly chats: readonly (readonly TemplateMessage[])[];
  readonly tools: readonly unknown[];
  readonly cases: readonly Case[];
}

const golden: Golden = JSON.parse(await place.readText("test/golden/jinja.json"));
const tokens = { bos_token: "<s>", eos_token: "</s>" };

beforeAll(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: new Date(...golden.now) });
});
afterAll(() => {
  vi.useRealTimers();
});

/** Renders a case; returns the text or the error. */
function render({ template, name, chat, options }: Case): string | Error {
  const { add_generation_prompt: addGenerationPrompt = false, tools, ...variables } = options;
  const text = template ?? golden.models[name ?? ""];
  try {
    const given = { ...variables, ...(tools === undefined ? {} : { tools: golden.tools }) };
    const rendered = createChatTemplate(text, tokens, "folder")?.(golden.chats[chat] ?? [], {
      addGenerationPrompt: addGenerationPrompt === true,
      variables: given,
    });
    return rendered ?? "";
  } catch (error) {
    if (error instanceof Error) return error;
    throw error;
  }
}

function differences(cases: readonly Case[]): unknown[] {
  return cases.flatMap((one) => {
    const ours = render(one);
    if (ours instanceof Error) {
      const isTyped = /^(RequestError|ConfigError)$/.test(ours.name);
      return one.error !== undefined && isTyped ? [] : [{ ...one, ours: `${ours.name}: ${ours.message}` }];
    }
    return ours === one.text ? [] : [{ ...one, ours }];
  });
}

describe("chat templates render as transformers renders them", () => {
  test.each(Object.keys(golden.models))("%s", (name) => {
    expect(differences(golden.cases.filter((one) => one.name === name))).toEqual([]);
  });

  test("expressions and statements", () => {
    const small = golden.cases.filter((one) => one.name === undefined);
    expect(small.length).toBeGreaterThan(600);
    expect(differences(small)).toEqual([]);
  });
});
