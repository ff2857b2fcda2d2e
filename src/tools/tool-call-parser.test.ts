import { describe, expect, it } from "vitest";
import { randomFrom } from "../../test/constraint/trial.ts";
import { ToolCallParser, type ToolEvent } from "./tool-call-parser.ts";
import type { ToolStyle } from "./tool-style.ts";

const NAMES = ["get_weather", "add"];

interface Parsed {
  readonly text: string;
  readonly calls: readonly { name: string; arguments: string; isWhole: boolean; id?: string }[];
}

/** Joins the events of an answer in pieces; checks that they are in order. */
function parse(style: ToolStyle, pieces: readonly string[]): Parsed {
  const parser = new ToolCallParser(style, NAMES);
  const events: ToolEvent[] = [...pieces.flatMap((piece) => parser.push(piece)), ...parser.finish()];
  let text = "";
  const calls: { name: string; arguments: string; isWhole: boolean; id?: string }[] = [];
  let open = -1;
  for (const event of events) {
    if (event.kind === "text") {
      expect(open).toBe(-1);
      text += event.text;
    } else if (event.kind === "call") {
      expect([open, event.index]).toEqual([-1, calls.length]);
      open = event.index;
      calls.push({
        name: event.name,
        arguments: "",
        isWhole: false,
        ...(event.id !== undefined && { id: event.id }),
      });
    } else {
      expect(event.index).toBe(open);
      const call = calls[open];
      if (!call) throw new Error("no call is open");
      if (event.kind === "arguments") call.arguments += event.text;
      else {
        call.isWhole = event.isWhole;
        open = -1;
      }
    }
  }
  expect(open).toBe(-1);
  return { text, calls };
}

const whole = (name: string, args: string, id?: string) => ({
  name,
  arguments: args,
  isWhole: true,
  ...(id !== undefined && { id }),
});
const cut = (name: string, args: string) => ({ name, arguments: args, isWhole: false });
const weather = '{"city": "Zürich \\"😀\\" }", "days": [1, {"a": null}]}';

const ANSWERS: readonly (readonly [ToolStyle, string, string, Parsed])[] = [
  ["hermes", "text alone", "Hello <b>you</b>\n", { text: "Hello <b>you</b>\n", calls: [] }],
  [
    "hermes",
    "text and two calls",
    `I look.\n\n<tool_call>\n{"name": "get_weather", "arguments": ${weather}}\n</tool_call>\n<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call>\n`,
    { text: "I look.", calls: [whole("get_weather", weather), whole("add", "{}")] },
  ],
  [
    "hermes",
    "text behind a call",
    '<tool_call>{"name":"add","arguments":{"a":1}}</tool_call> done ',
    { text: " done ", calls: [whole("add", '{"a":1}')] },
  ],
  [
    "hermes",
    "arguments in front of the name",
    '<tool_call>{"arguments": {"a": 1}, "id": "c1", "name": "add"}</tool_call>',
    { text: "", calls: [whole("add", '{"a": 1}', "c1")] },
  ],
  [
    "hermes",
    "arguments as a text",
    '<tool_call>{"name": "add", "arguments": "{\\"a\\": \\"\\\\u00e9\\"}"}</tool_call>',
    { text: "", calls: [whole("add", '{"a": "\\u00e9"}')] },
  ],
  [
    "hermes",
    "no arguments",
    '<tool_call>{"name": "add"}</tool_call>',
    { text: "", calls: [whole("add", "{}")] },
  ],
  [
    "hermes",
    "an end within the arguments",
    '<tool_call>{"name": "add", "arguments": {"a": [1, "x',
    { text: "", calls: [cut("add", '{"a": [1, "x')] },
  ],
  [
    "hermes",
    "a call that no marker closes",
    '<tool_call>{"name": "add", "arguments": {"a": 1}}\n',
    { text: "", calls: [whole("add", '{"a": 1}')] },
  ],
  [
    "hermes",
    "text in a closing marker's place",
    '<tool_call>{"name": "add", "arguments": {}} </tool> x',
    { text: " </tool> x", calls: [whole("add", "{}")] },
  ],
  ...[
    " <tool_call>{'name': 'add'}</tool_call> ",
    "a <tool_call> is what it writes\n",
    '<tool_call>[{"name": "add"}]</tool_call>',
    '<tool_call>{"city": "x"}</tool_call>',
    '<tool_call>{"name": 3}</tool_call>',
    '<tool_call>{"name": ""}</tool_call>',
    '<tool_call>{"arguments": {}}</tool_call>',
    '<tool_call>{"name" "add"}</tool_call>',
    '<tool_call>{,"name": "add"}</tool_call>',
    '<tool_call>{"arguments": {]}, "name": "add"}',
    '\n<tool_call>\n{"nam',
    "<tool_call>",
    "<tool_ca",
    "<tool_call><tool_call>",
    "  \n ",
  ].map((text): [ToolStyle, string, string, Parsed] => [
    "hermes",
    `no call: ${text}`,
    text,
    { text, calls: [] },
  ]),
  [
    "hermes",
    "a marker twice",
    '<tool_call><tool_call>{"name": "add"}</tool_call>',
    { text: "<tool_call>", calls: [whole("add", "{}")] },
  ],
  [
    "hermes",
    "a bracket that closes nothing, in a call that began",
    '<tool_call>{"name": "add", "arguments": {"a": 1]}</tool_call>',
    { text: "]}</tool_call>", calls: [cut("add", '{"a": 1')] },
  ],
  [
    "llama3",
    "bare JSON",
    `\n{"name": "get_weather", "parameters": ${weather}}`,
    { text: "", calls: [whole("get_weather", weather)] },
  ],
  [
    "llama3",
    "calls behind a tag",
    '<|python_tag|>{"type": "function", "name": "add", "parameters": {"a": 1}}; {"name": "other", "parameters": {}}',
    { text: "", calls: [whole("add", '{"a": 1}'), whole("other", "{}")] },
  ],
  [
    "llama3",
    "text behind bare JSON",
    '{"name": "add", "parameters": {}} is what I call',
    { text: " is what I call", calls: [whole("add", "{}")] },
  ],
  ...[
    '{"name": "Bob", "age": 3}',
    '{"city": "Paris"}',
    'Call {"name": "add", "parameters": {}}',
    '<|python_tag|>brave_search.call(query="x")',
    '{"name": "ad',
    "{}",
    "{",
    "<|python",
    " {x}",
  ].map((text): [ToolStyle, string, string, Parsed] => [
    "llama3",
    `no call: ${text}`,
    text,
    { text, calls: [] },
  ]),
  [
    "mistral",
    "a list",
    `[TOOL_CALLS] [{"name": "get_weather", "arguments": ${weather}}, {"name": "add", "arguments": {}, "id": "abc"}]`,
    { text: "", calls: [whole("get_weather", weather), whole("add", "{}")] },
  ],
  [
    "mistral",
    "text around a list",
    'Now: [TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}] and',
    { text: "Now: and", calls: [whole("add", '{"a": 1}')] },
  ],
  [
    "mistral",
    "a list that ends early",
    '[TOOL_CALLS][{"name": "add", "arguments": {"a": 1}}, x',
    { text: ", x", calls: [whole("add", '{"a": 1}')] },
  ],
  ...[
    "[TOOL_CALLS] none",
    "[TOOL_CALLS][]",
    "[TOOL_CALLS][1]",
    "[TOOL",
    "[TOOL_CALLS][[",
    "a [TOOL_CALLS]",
  ].map((text): [ToolStyle, string, string, Parsed] => [
    "mistral",
    `no call: ${text}`,
    text,
    { text, calls: [] },
  ]),
  [
    "mistral-args",
    "names and arguments",
    `[TOOL_CALLS]get_weather[ARGS]${weather}[TOOL_CALLS]add[CALL_ID]x12[ARGS]{"a": 1}`,
    { text: "", calls: [whole("get_weather", weather), whole("add", '{"a": 1}', "x12")] },
  ],
  [
    "mistral-args",
    "a name with its arguments",
    '[TOOL_CALLS]add{"a": 1}',
    { text: "", calls: [whole("add", '{"a": 1}')] },
  ],
  [
    "mistral-args",
    "arguments that are no object",
    "[TOOL_CALLS]add[ARGS]12",
    { text: "12", calls: [cut("add", "")] },
  ],
  ...[
    "[TOOL_CALLS]add",
    "[TOOL_CALLS]add[AR",
    "[TOOL_CALLS]add[X]{}",
    "[TOOL_CALLS]add[CALL_ID]a b",
    "[TOOL_CALLS]add me",
  ].map((text): [ToolStyle, string, string, Parsed] => [
    "mistral-args",
    `no call: ${text}`,
    text,
    { text, calls: [] },
  ]),
];

describe("a tool call parser", () => {
  it.each(ANSWERS)("reads in the style %s: %s", (style, _, answer, expected) => {
    expect(parse(style, [answer])).toEqual(expected);
  });

  it.each(
    ANSWERS,
  )("reads the same, cut at every character, in the style %s: %s", (style, _, answer, expected) => {
    const characters = Array.from(answer);
    expect(parse(style, characters)).toEqual(expected);
    for (let i = 1; i < characters.length; i++) {
      const pieces = [characters.slice(0, i).join(""), characters.slice(i).join("")];
      expect(parse(style, pieces), JSON.stringify(pieces)).toEqual(expected);
    }
  });

  it("gives the arguments as they come, once it knows the name", () => {
    const parser = new ToolCallParser("hermes", NAMES);
    expect(parser.push('Hm. <tool_call>{"name": "add')).toEqual([{ kind: "text", text: "Hm." }]);
    expect(parser.push('", "arg')).toEqual([{ kind: "call", index: 0, name: "add" }]);
    expect(parser.push('uments": {"a"')).toEqual([{ kind: "arguments", index: 0, text: '{"a"' }]);
    expect(parser.push(": 1}")).toEqual([{ kind: "arguments", index: 0, text: ": 1}" }]);
    expect(parser.push("}</tool_call>")).toEqual([{ kind: "end", index: 0, isWhole: true }]);
    expect(parser.finish()).toEqual([]);
  });

  it("holds back no text that cannot become a call", () => {
    const parser = new ToolCallParser("llama3", NAMES);
    expect(parser.push('{"city"')).toEqual([{ kind: "text", text: '{"city"' }]);
    expect(parser.push(': "x"')).toEqual([{ kind: "text", text: ': "x"' }]);
  });

  it.each<ToolStyle>([
    "hermes",
    "llama3",
    "mistral",
    "mistral-args",
  ])("keeps every character of random answers that hold no call, in the style %s", (style) => {
    const fragments = [
      ...[
        "<tool_call>",
        "</tool_call>",
        "<|python_tag|>",
        "[TOOL_CALLS]",
        "[ARGS]",
        "[CALL_ID]",
        "<tool",
        "[TOOL",
      ],
      ...[
        "{",
        "}",
        "[",
        "]",
        '"',
        ":",
        ",",
        ";",
        " ",
        "\n",
        "\\",
        "name",
        '"name"',
        '"arguments"',
        "add",
        "{}",
        "é😀",
      ],
    ];
    const random = randomFrom(21);
    let numPlain = 0;
    for (let i = 0; i < 4000; i++) {
      const pieces = Array.from(
        { length: 1 + Math.floor(random() * 12) },
        () => fragments[Math.floor(random() * fragments.length)] ?? "",
      );
      const joined = pieces.join("");
      const parsed = parse(style, pieces);
      expect(parse(style, [joined]), joined).toEqual(parsed);
      if (parsed.calls.length > 0) continue;
      numPlain++;
      expect(parsed.text, joined).toBe(joined);
    }
    expect(numPlain).toBeGreaterThan(3000);
  });
});
