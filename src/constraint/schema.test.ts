import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, it } from "vitest";
import {
  acceptsText,
  byteTokenizer,
  openTokenizer,
  openVocabulary,
  randomFrom,
  startTrial,
  type Trial,
  walk,
} from "../../test/constraint/trial.ts";
import type { ConstraintSpec } from "./constraint.ts";

const texts = [
  '{"',
  '":',
  ', "',
  '"}',
  "true",
  "null",
  " \n",
  '": "',
  "12",
  "é",
  "😀",
  "\\u00",
  "name",
  '"]',
];
const bytes = await openVocabulary(byteTokenizer(texts));
const open = (schema: object | boolean): Trial => startTrial({ schema }, bytes);

/** An independent judge of schemas. */
function judge(schema: object | boolean): (value: unknown) => boolean {
  const ajv = new Ajv2020({ strict: false, allErrors: false });
  addFormats.default(ajv);
  return ajv.compile(schema);
}

const TREE = {
  $defs: {
    node: {
      type: "object",
      properties: {
        value: { type: "integer" },
        children: { type: "array", items: { $ref: "#/$defs/node" } },
      },
      required: ["value"],
    },
  },
  $ref: "#/$defs/node",
};

/** Schemas with texts that they accept, as the automaton does, and texts that they refuse. */
const SCHEMAS: readonly (readonly [string, object | boolean, readonly string[], readonly string[]])[] = [
  ["anything", true, ["1", "null", '{"a": [1, "b"]}', "[]", "{}"], ["", "nul", "[1,]", "{a:1}", '"\\x"']],
  ["types", { type: ["integer", "null"] }, ["0", "-12", "null"], ["01", "1.5", '"1"', "true"]],
  [
    "a number",
    { type: "number" },
    ["0", "-1.5", "2e-3", "10.25E+07"],
    [".5", "1.", "+1", "1e", "00", "1e999"],
  ],
  [
    "a string",
    { type: "string" },
    ['""', '"a\\"b"', '"\\u00e9\\ud83d\\ude00"', '"é😀"'],
    ['"', '"\n"', '"\\ud83d"', '"\\q"'],
  ],
  ["lengths", { type: "string", minLength: 2, maxLength: 3 }, ['"ab"', '"😀\\n\\u0041"'], ['"a"', '"abcd"']],
  [
    "enum",
    { enum: ["a", "a b", 1, null, [1, { x: "y" }]] },
    ['"a"', "1", "null", '[1, {"x": "y"}]'],
    ["2", '"c"', "[1]"],
  ],
  ["const beside type", { const: 5, type: "string" }, [], ["5"]],
  [
    "bounds of integers",
    { type: "integer", minimum: -3, exclusiveMaximum: 120 },
    ["-3", "0", "119", "99"],
    ["-4", "120", "1000", "-30"],
  ],
  ["a lower bound", { type: "integer", minimum: 17 }, ["17", "20", "100"], ["16", "9", "-17", "1"]],
  [
    "bounds of numbers",
    { type: "number", minimum: 0.25, maximum: 1.5 },
    ["0.25", "1", "1.5", "0.3", "1.49"],
    ["0.2", "0.249", "1.51", "2", "0"],
  ],
  [
    "excluded bounds",
    { type: "number", exclusiveMinimum: -1, exclusiveMaximum: 0 },
    ["-0.5", "-0.999"],
    ["-1", "0", "-1.0", "-0", "-0.0"],
  ],
  [
    "an object",
    {
      type: "object",
      properties: { a: { type: "integer" }, b: { type: "string" }, c: { type: "null" } },
      required: ["b"],
    },
    ['{"b": "x"}', '{"a":1,"b":"x"}', '{"a": 1, "b": "", "c": null}', '{\n  "b": "x"\n}'],
    ["{}", '{"a": 1}', '{"b": 1}', '{"b": "x",}', '{"b": "x", "b": "y"}'],
  ],
  [
    "optional properties",
    { properties: { a: { type: "null" }, b: { type: "null" } } },
    ["{}", '{"a": null}', '{"b": null}', '{"a": null, "b": null}'],
    ['{, "b": null}', '{"a": 1}'],
  ],
  ["a required property without a schema", { type: "object", required: ["k"] }, ['{"k": [1]}'], ["{}"]],
  [
    "other properties",
    {
      type: "object",
      properties: { id: { type: "integer" }, is: { type: "null" } },
      additionalProperties: { type: "string" },
    },
    ['{"id": 1, "x": "y"}', '{"i": "a", "idx": "b", "": "c", "é\\n": ""}'],
    ['{"id": "x"}', '{"x": 1}', '{"\\u0069d": "x"}', '{"is": "x"}'],
  ],
  [
    "a map",
    { type: "object", additionalProperties: { type: "boolean" }, minProperties: 1, maxProperties: 2 },
    ['{"a": true}', '{"a": true, "b": false}'],
    ["{}", '{"a":true,"b":true,"c":true}'],
  ],
  [
    "keys by a pattern",
    { type: "object", patternProperties: { "^x-": { type: "integer" } }, additionalProperties: false },
    ["{}", '{"x-a": 1}'],
    ['{"y": 1}', '{"x-a": "b"}'],
  ],
  [
    "a list",
    { type: "array", items: { type: "integer" }, minItems: 1, maxItems: 3 },
    ["[1]", "[1, 2,3]", "[\n  1,\n  2\n]"],
    ["[]", "[1,2,3,4]", "[1 2]", '["a"]'],
  ],
  [
    "a tuple",
    { type: "array", prefixItems: [{ type: "string" }, { type: "integer" }], items: false, minItems: 1 },
    ['["a"]', '["a", 1]'],
    ["[]", '["a", 1, 2]', "[1]"],
  ],
  [
    "a tuple that goes on",
    { type: "array", prefixItems: [{ type: "string" }], items: { type: "integer" }, minItems: 3 },
    ['["a", 1, 2]', '["a", 1, 2, 3]'],
    ['["a", 1]'],
  ],
  [
    "anyOf",
    { anyOf: [{ type: "integer" }, { type: "string", maxLength: 1 }] },
    ["1", '"a"'],
    ['"ab"', "null"],
  ],
  [
    "oneOf by a constant",
    {
      oneOf: [
        {
          type: "object",
          properties: { kind: { const: "a" }, x: { type: "integer" } },
          required: ["kind", "x"],
        },
        { type: "object", properties: { kind: { const: "b" } }, required: ["kind"] },
      ],
    },
    ['{"kind": "a", "x": 1}', '{"kind": "b"}'],
    ['{"kind": "a"}', '{"kind": "c"}'],
  ],
  [
    "allOf",
    {
      allOf: [
        { type: "object", properties: { a: { type: "number" } }, required: ["a"] },
        { type: "object", properties: { a: { minimum: 3 }, b: { type: "string" } }, required: ["b"] },
      ],
    },
    ['{"a": 3, "b": ""}'],
    ['{"a": 2, "b": ""}', '{"a": 3}', "{}"],
  ],
  [
    "allOf that closes an object",
    {
      allOf: [
        { properties: { a: { type: "null" } }, additionalProperties: false },
        { properties: { b: { type: "null" } } },
      ],
    },
    ['{"a": null}', "{}"],
    ['{"b": null}'],
  ],
  [
    "a reference beside a limit",
    {
      $defs: { n: { type: "integer" } },
      properties: { a: { $ref: "#/$defs/n", maximum: 9 } },
      required: ["a"],
    },
    ['{"a": 9}'],
    ['{"a": 10}'],
  ],
  [
    "a schema in itself",
    TREE,
    ['{"value": 1}', '{"value": 1, "children": [{"value": 2, "children": []}]}'],
    ['{"children": []}', '{"value": 1, "children": [{}]}'],
  ],
  ["a pattern", { type: "string", pattern: "^[a-c]+\\d?$" }, ['"abc"', '"a1"'], ['"abcd"', '"1"', '""']],
  [
    "a pattern anywhere",
    { type: "string", pattern: 'b|"\\\\c|\\n$' },
    ['"abc"', '"x\\n"', '"\\"\\\\c"'],
    ['"a"', '"\\nx"', '"\\\\c"'],
  ],
  [
    "annotations",
    { type: "string", title: "t", description: "d", default: 1, "x-any": 2, examples: [3] },
    ['"a"'],
    ["1"],
  ],
  [
    "false within",
    { type: "object", properties: { a: false, b: { type: "null" } } },
    ["{}", '{"b": null}'],
    ['{"a": 1}'],
  ],
  [
    "unevaluatedProperties",
    { allOf: [{ properties: { a: { type: "null" } } }], unevaluatedProperties: false },
    ["{}", '{"a": null}'],
    ['{"b": 1}'],
  ],
];

describe("a schema constraint", () => {
  it.each(SCHEMAS)("writes what the schema accepts: %s", (_, schema, right, wrong) => {
    const isValid = judge(schema);
    if (right.length === 0) {
      expect(() => open(schema)).toThrow("no text of this vocabulary satisfies it");
      return;
    }
    const trial = open(schema);
    for (const text of right) {
      expect(isValid(JSON.parse(text)), `judge of ${text}`).toBe(true);
      expect(acceptsText(trial, text), text).toBe(true);
    }
    for (const text of wrong) expect(acceptsText(trial, text), text).toBe(false);
    const random = randomFrom(11);
    for (let i = 0; i < 12; i++) {
      const text = walk(trial, random);
      expect(isValid(JSON.parse(text)), text).toBe(true);
    }
  });

  it.each([
    "date",
    "time",
    "date-time",
    "duration",
    "uuid",
    "email",
    "hostname",
    "ipv4",
    "ipv6",
    "uri",
  ])("writes strings of the format %s", (format) => {
    const schema = { type: "string", format };
    const isValid = judge(schema);
    const trial = open(schema);
    const random = randomFrom(5);
    for (let i = 0; i < 40; i++) {
      const text = walk(trial, random);
      expect(isValid(JSON.parse(text)), text).toBe(true);
    }
  });

  it.each([
    [{ not: { type: "string" } }, "not"],
    [{ type: "array", uniqueItems: true }, "uniqueItems"],
    [{ type: "integer", multipleOf: 5 }, "multipleOf"],
    [{ type: "array", contains: {} }, "contains"],
    [{ if: {}, else: {} }, '"if"'],
    [{ type: "object", propertyNames: { pattern: "a" } }, "propertyNames"],
    [{ type: "string", format: "regex" }, "known are date"],
    [{ type: "string", pattern: "^a{4}", maxLength: 3 }, "no text satisfies"],
    [{ type: "string", format: "email", pattern: "^[a-z]+$" }, "no text satisfies"],
    [{ type: "string", pattern: "^(a|b)*a(a|b){20}$", maxLength: 900 }, "too large together"],
    [{ type: "string", pattern: "a(?=b)" }, "pattern"],
    [{ oneOf: [{ type: "integer" }, { type: "number" }] }, "may hold together"],
    [{ $ref: "https://example.com/schema" }, "leaves the schema"],
    [{ $ref: "#/$defs/missing" }, "leads nowhere"],
    [{ $ref: "#" }, "lead to themselves"],
    [{ anyOf: [{ $ref: "#" }, { type: "null" }] }, "refers to itself"],
    [{ type: "thing" }, "type"],
    [{ properties: { a: 1 } }, "properties/a"],
    [{ required: "a" }, "required"],
    [{ minLength: -1 }, "minLength"],
    [{ type: "integer", minimum: 3, maximum: 2 }, "no number"],
    [false, "no text"],
    [{ type: "object", properties: { a: { $ref: "#" } }, required: ["a"] }, "no text"],
    [{ type: "object", properties: { a: {} }, minProperties: 1 }, "minProperties"],
  ])("refuses %j, and names the reason", (schema, reason) => {
    expect(() => open(schema)).toThrow(reason);
    expect(() => open(schema)).toThrow(expect.objectContaining({ code: "request" }));
  });

  it("writes the same under every kind of tokenizer", async () => {
    const schema = {
      type: "object",
      properties: { name: { type: "string" }, tags: { type: "array", items: { enum: ["a", "é"] } } },
      required: ["name", "tags"],
    };
    const isValid = judge(schema);
    for (const [kind, end] of [
      ["llama3", "<|endoftext|>"],
      ["qwen", "<|im_end|>"],
      ["llama2", "</s>"],
      ["mistral", "</s>"],
      ["gemma", "</s>"],
      ["tekken", "<|im_end|>"],
    ] as const) {
      const trial = startTrial({ schema }, await openVocabulary(openTokenizer(kind)), end);
      const random = randomFrom(2);
      for (let i = 0; i < 8; i++) {
        const text = walk(trial, random);
        expect(isValid(JSON.parse(text)), `${kind}: ${text}`).toBe(true);
      }
    }
  });
});

describe("a JSON constraint", () => {
  const spec: ConstraintSpec = { json: true };

  it("writes objects alone", () => {
    const trial = startTrial(spec, bytes);
    for (const text of ["{}", ' {"a": {"b": [true, -1e5, "é"]}}', '{"a":1,\n"b":2}'])
      expect(acceptsText(trial, text), text).toBe(true);
    for (const text of ["", "[]", "1", '{"a"}', "{} ", '{"a":1}}'])
      expect(acceptsText(trial, text), text).toBe(false);
    const random = randomFrom(4);
    for (let i = 0; i < 40; i++) expect(typeof JSON.parse(walk(trial, random))).toBe("object");
  });

  it("opens no more lists than it can close", () => {
    const trial = startTrial(spec, bytes);
    const { constraint } = trial;
    for (const byte of new TextEncoder().encode('{"a":')) expect(constraint.accept(byte)).toBe(true);
    let depth = 0;
    while (constraint.accept(0x5b)) expect(++depth).toBeLessThan(1000);
    expect(depth).toBeGreaterThan(50);
    for (let i = 0; i < depth; i++) expect(constraint.accept(0x5d)).toBe(true);
    expect(constraint.accept(0x7d)).toBe(true);
    expect(constraint.isComplete).toBe(true);
  });

  it("continues behind a clone without changing it", () => {
    const { constraint, endId } = startTrial(spec, bytes);
    constraint.accept(0x7b);
    const copy = constraint.clone();
    expect(copy.accept(0x7d)).toBe(true);
    expect([copy.isComplete, constraint.isComplete]).toEqual([true, false]);
    expect(constraint.accept(endId)).toBe(false);
    expect(copy.accept(endId)).toBe(true);
    expect(copy.accept(0x20)).toBe(false);
  });
});
