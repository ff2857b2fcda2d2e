import { Ajv2020 } from "ajv/dist/2020.js";
import { describe, expect, it } from "vitest";
import { byteTokenizer, openVocabulary, randomFrom, startTrial, walk } from "../../test/constraint/trial.ts";
import { createChatTemplate } from "../load/chat-template.ts";
import { planTools, type ToolChoice, type ToolDefinition } from "./plan-tools.ts";
import { detectToolStyle, type ToolStyle } from "./tool-style.ts";

/** Parts of published templates that show how the model writes calls. */
const TEMPLATES: Readonly<Record<ToolStyle, string>> = {
  hermes:
    "{%- if tools %}{%- for tool in tools %}{{ tool | tojson }}\n{%- endfor %}return a json object within <tool_call></tool_call> XML tags{%- endif %}{% for m in messages %}{{ m.content }}{% endfor %}",
  llama3:
    '{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}Respond in the format {"name": function name, "parameters": dictionary}',
  mistral: "{% if message.tool_calls %}[TOOL_CALLS][{% endif %}",
  "mistral-args": "{{- '[TOOL_CALLS]' + name + '[ARGS]' + arguments }}",
};
const STYLES = Object.keys(TEMPLATES) as ToolStyle[];
const parameters = {
  type: "object",
  properties: { city: { type: "string", maxLength: 5 }, days: { type: "integer", minimum: 1, maximum: 14 } },
  required: ["city"],
};
const TOOLS: readonly ToolDefinition[] = [
  { type: "function", function: { name: "get_weather", description: "Weather of a city", parameters } },
  { type: "function", function: { name: "now" } },
];
const isWeather = new Ajv2020().compile(parameters);
const named = (name: string): ToolChoice => ({ type: "function", function: { name } });

const markers = ["<tool_call>", "</tool_call>", "[TOOL_CALLS]", "[ARGS]"];
/** One vocabulary has the markers as tokens, the other only their characters. */
const vocabularies = [
  await openVocabulary(byteTokenizer(['{"name": "', '"arguments": '], markers)),
  await openVocabulary(byteTokenizer()),
];

describe("the style of tool calls", () => {
  it.each(STYLES)("of %s is known by its template", (style) => {
    expect(detectToolStyle([TEMPLATES[style]])).toBe(style);
  });

  it("is unknown without a template that shows one", () => {
    const chat = "{% for message in messages %}{{ message.content }}{% endfor %}";
    for (const templates of [
      [],
      [chat],
      ["<tool_call>\n<function=name>\n<parameter=x>", "<|start_header_id|>ipython"],
    ])
      expect(detectToolStyle(templates)).toBeUndefined();
    expect(() => planTools({ tools: TOOLS }, [chat])).toThrow("none of the known styles");
  });
});

describe.each(STYLES)("tools in the style %s", (style) => {
  const plan = (toolChoice: ToolChoice, isParallel?: boolean) =>
    planTools({ tools: TOOLS, toolChoice, isParallel }, [TEMPLATES[style]]);

  /** Answers of a model that writes anything that it may, as calls. */
  function answers(toolChoice: ToolChoice, isParallel?: boolean) {
    const made = plan(toolChoice, isParallel);
    if (!made?.constraint) throw new Error("the choice makes no constraint");
    const { constraint } = made;
    const random = randomFrom(8);
    return vocabularies.flatMap((vocabulary) => {
      const trial = startTrial(constraint, vocabulary);
      return Array.from({ length: 12 }, () => {
        const text = walk(trial, random);
        const parser = made.createParser();
        const events = [...Array.from(text).flatMap((one) => parser.push(one)), ...parser.finish()];
        expect(
          events.filter((event) => event.kind === "text" || (event.kind === "end" && !event.isWhole)),
          text,
        ).toEqual([]);
        const names = events.flatMap((event) => (event.kind === "call" ? [event.name] : []));
        return names.map((name, index) => ({
          name,
          value: JSON.parse(
            events
              .map((event) => (event.kind === "arguments" && event.index === index ? event.text : ""))
              .join(""),
          ) as unknown,
        }));
      });
    });
  }

  it("are called with right arguments where the choice requires it", () => {
    const all = answers("required");
    for (const calls of all) {
      expect(calls.length).toBeGreaterThan(0);
      for (const { name, value } of calls)
        expect(name === "now" ? value : isWeather(value)).toEqual(name === "now" ? {} : true);
    }
    expect(new Set(all.flat().map(({ name }) => name))).toEqual(new Set(["get_weather", "now"]));
    if (style !== "llama3") expect(Math.max(...all.map((calls) => calls.length))).toBeGreaterThan(1);
  });

  it("are called once without parallel calls, and once by name", () => {
    for (const calls of answers("required", false)) expect(calls).toHaveLength(1);
    for (const calls of answers(named("now"))) expect(calls).toEqual([{ name: "now", value: {} }]);
  });

  it("are free by the choice auto, and left out by none", () => {
    expect(plan("auto")?.constraint).toBeUndefined();
    expect(plan("auto")?.templateOptions).toEqual({ tools: TOOLS });
    expect(plan("none")).toBeUndefined();
    expect(planTools({ tools: [] }, [TEMPLATES[style]])).toBeUndefined();
  });
});

describe("tools of a request", () => {
  it("reach the chat template as it expects them", () => {
    const { templateOptions } = planTools({ tools: TOOLS }, [TEMPLATES.hermes]) ?? {};
    const render = createChatTemplate(TEMPLATES.hermes, {}, "model");
    const text = render?.([{ role: "user", content: "Hi" }], { variables: { ...templateOptions } });
    expect(text).toContain(
      '{"type": "function", "function": {"name": "get_weather", "description": "Weather of a city"',
    );
    expect(text).toMatch(/tags.*Hi$/s);
  });

  it.each<[string, Record<string, unknown>]>([
    ["{}", {}],
    ["of properties alone", { properties: { a: { type: "integer" } } }],
    ["of an object or null", { type: ["object", "null"] }],
    ["of a reference", { $ref: "#/$defs/a", $defs: { a: { minProperties: 1 } } }],
  ])("have arguments that are an object, if their parameters are %s", (_, schema) => {
    const tools = [{ type: "function", function: { name: "f", parameters: schema } } as const];
    const { constraint } = planTools({ tools, toolChoice: named("f") }, [TEMPLATES.llama3]) ?? {};
    if (!constraint) throw new Error("the choice makes no constraint");
    const random = randomFrom(3);
    for (const vocabulary of vocabularies)
      for (let i = 0; i < 8; i++) {
        const { parameters: given } = JSON.parse(walk(startTrial(constraint, vocabulary), random));
        expect(given).toBeTypeOf("object");
        expect(given === null || Array.isArray(given)).toBe(false);
      }
  });

  it.each<[string, unknown, unknown, string]>([
    ["no list", "x", "auto", "a list of at most"],
    ["too many", Array.from({ length: 129 }, () => TOOLS[0]), "auto", "at most 128"],
    ["another type", [{ type: "code", function: { name: "a" } }], "auto", "tools[0].type"],
    [
      "a tool without a function",
      [{ type: "function", name: "a" }],
      "auto",
      'tools[0].function: expected an object { type: "function"',
    ],
    [
      "a tool without a type",
      [{ function: { name: "a" } }],
      "auto",
      'tools[0].type: expected an object { type: "function"',
    ],
    [
      "parameters of no object",
      [{ type: "function", function: { name: "a", parameters: { type: "string" } } }],
      "auto",
      "a JSON Schema of an object",
    ],
    ["no name", [{ type: "function", function: {} }], "auto", "tools[0].function.name"],
    ["a name with a space", [{ type: "function", function: { name: "a b" } }], "auto", "a name of 1 to 64"],
    [
      "parameters as a text",
      [{ type: "function", function: { name: "a", parameters: "{}" } }],
      "auto",
      "parameters",
    ],
    ["a name twice", [TOOLS[1], TOOLS[1]], "auto", "twice"],
    ["required without tools", [], "required", "needs tools"],
    ["a choice of no tool", TOOLS, named("other"), "tool_choice"],
    ["a choice of no kind", TOOLS, "any", "tool_choice"],
  ])("are refused: %s", (_, tools, toolChoice, reason) => {
    const request = { tools: tools as readonly ToolDefinition[], toolChoice: toolChoice as ToolChoice };
    expect(() => planTools(request, [TEMPLATES.hermes])).toThrow(reason);
    expect(() => planTools(request, [TEMPLATES.hermes])).toThrow(
      expect.objectContaining({ code: "request" }),
    );
  });
});
