/** Texts of several forms at once, as libraries of schemas write them. */
import { Ajv2020 } from "ajv/dist/2020.js";
import addFormats from "ajv-formats";
import { describe, expect, it } from "vitest";
import {
  acceptsText,
  byteTokenizer,
  openVocabulary,
  randomFrom,
  startTrial,
  walk,
} from "../../test/constraint/trial.ts";

const bytes = await openVocabulary(byteTokenizer());
const ajv = new Ajv2020({ strict: false, logger: false });
addFormats.default(ajv);

const ZOD_EMAIL =
  "^(?!\\.)(?!.*\\.\\.)([A-Za-z0-9_'+\\-\\.]*)[A-Za-z0-9_+-]@([A-Za-z0-9][A-Za-z0-9\\-]*\\.)+[A-Za-z]{2,}$";
const ZOD_DAY =
  "(?:(?:\\d\\d[2468][048]|\\d\\d[13579][26]|\\d\\d0[48]|[02468][048]00|[13579][26]00)-02-29|\\d{4}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\\d|30)|(?:02)-(?:0[1-9]|1\\d|2[0-8])))";
const ZOD_TIME = "(?:(?:[01]\\d|2[0-3]):[0-5]\\d(?::[0-5]\\d(?:\\.\\d+)?)?(?:Z))";
const ZOD_UUID =
  "^([0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[1-8][0-9a-fA-F]{3}-[89abAB][0-9a-fA-F]{3}-[0-9a-fA-F]{12}|00000000-0000-0000-0000-000000000000)$";
const text = (rest: object) => ({ type: "string", ...rest });

/** Schemas with values that they accept, as the automaton does, and values that they refuse. */
const FORMS: readonly (readonly [string, object, readonly unknown[], readonly unknown[]])[] = [
  [
    "zod's email",
    text({ format: "email", pattern: ZOD_EMAIL }),
    ["a.b@c.de", "x_1@a-b.c.org"],
    ["a..b@c.de", ".a@c.de", "a@c.d", "a@c"],
  ],
  [
    "zod's date",
    text({ format: "date", pattern: `^${ZOD_DAY}$` }),
    ["2026-11-28"],
    ["2026-02-30", "2026-1-1"],
  ],
  [
    "zod's date and time",
    text({ format: "date-time", pattern: `^${ZOD_DAY}T${ZOD_TIME}$` }),
    ["2026-11-28T01:02:03Z", "2026-11-28T01:02:03.5Z"],
    ["2026-11-28T01:02:03+01:00", "2026-11-28T01:02Z", "2026-11-28"],
  ],
  [
    "zod's uuid",
    text({ format: "uuid", pattern: ZOD_UUID }),
    ["01234567-89ab-4def-8123-456789abcdef"],
    ["01234567-89ab-0def-8123-456789abcdef", "01234567-89ab-4def-c123-456789abcdef"],
  ],
  [
    "pydantic's HttpUrl",
    text({ format: "uri", minLength: 1, maxLength: 2083 }),
    ["https://a.bc/d"],
    ["", "a.bc"],
  ],
  [
    "a pattern with lengths",
    text({ pattern: "^[a-c]+$", minLength: 2, maxLength: 4 }),
    ["ab", "cccc"],
    ["a", "abcab", "ad"],
  ],
  [
    "a pattern anywhere with lengths",
    text({ pattern: "é", maxLength: 3 }),
    ["é", "aéb", "😀é😀"],
    ["abé\n\n", "abc", "aéaa"],
  ],
  ["a format with a length", text({ format: "email", maxLength: 8 }), ["a@b.co"], ["abcdef@b.co"]],
  [
    "a format with a length above its counts",
    text({ format: "email", minLength: 5, maxLength: 100 }),
    ["a.b-c@d.ef", `${"a".repeat(50)}@b.co`],
    [`${"a".repeat(99)}@b.co`, "a@b", "a@b-.co"],
  ],
  [
    "an address with a length",
    text({ format: "uri", maxLength: 300 }),
    ["https://a.b/c//d", "http://a"],
    ["https://", "a"],
  ],
  ["a host with a length", text({ format: "hostname", maxLength: 20 }), ["a-b.c"], ["a-.c", "a..b"]],
  [
    "two patterns",
    { allOf: [text({ pattern: "^a" }), text({ pattern: "b$" }), text({ pattern: "\\d" })], maxLength: 9 },
    ["a1b", "a-12-b"],
    ["ab", "1b", "a1"],
  ],
  [
    "a pattern of a password",
    text({ pattern: "^(?=.*[A-Z])(?=.*\\d).{4,6}$" }),
    ["aA1-", "1A😀aaa"],
    ["aaaa", "AAAA", "A1", "aA1\n"],
  ],
  [
    "formats beyond the standard, which say nothing",
    {
      type: "object",
      properties: { a: text({ format: "password" }), b: text({ format: "path" }) },
      required: ["a", "b"],
    },
    [{ a: "x", b: "/y" }],
    [{ a: 1, b: "" }],
  ],
  [
    "pydantic's uuid4",
    text({ format: "uuid4" }),
    ["01234567-89ab-4def-8123-456789abcdef"],
    [], // ajv does not know it
  ],
  [
    "zod's record",
    { type: "object", propertyNames: { type: "string" }, additionalProperties: { type: "boolean" } },
    [{}, { a: true, b: false }],
    [{ a: 1 }],
  ],
  [
    "a record of listed names",
    {
      type: "object",
      propertyNames: { type: "string", enum: ["a", "b"] },
      additionalProperties: { type: "null" },
      required: ["a"],
    },
    [{ a: null }, { a: null, b: null }],
    [{ b: null }, { a: null, c: null }, { a: 1 }],
  ],
  [
    "a name that propertyNames leaves out",
    { type: "object", properties: { a: { const: 1 }, c: { const: 2 } }, propertyNames: { enum: ["a", "b"] } },
    [{}, { a: 1 }, { a: 1, b: "x" }],
    [{ c: 2 }, { a: 2 }],
  ],
  [
    "multiples",
    { type: "integer", minimum: -7, exclusiveMaximum: 10, multipleOf: 5 },
    [-5, 0, 5],
    [10, 3, -10],
  ],
  ["OpenAPI's nullable", text({ nullable: true, maxLength: 1 }), ["a", null], ["ab", 1]],
];

describe("a text of several forms", () => {
  it.each(FORMS)("is written as all of them say: %s", (_, schema, right, wrong) => {
    const isValid = ajv.compile(schema);
    const trial = startTrial({ schema }, bytes);
    for (const value of right) {
      expect(isValid(value), `judge of ${JSON.stringify(value)}`).toBe(true);
      expect(acceptsText(trial, JSON.stringify(value)), JSON.stringify(value)).toBe(true);
    }
    for (const value of wrong)
      expect(acceptsText(trial, JSON.stringify(value)), JSON.stringify(value)).toBe(false);
    const random = randomFrom(9);
    for (let i = 0; i < 25; i++) {
      const written = walk(trial, random);
      expect(isValid(JSON.parse(written)), written).toBe(true);
    }
  });

  it("of many states is refused or written within a bound of time", () => {
    const hostile = [
      text({ pattern: "^(a|b)*a(a|b){18}$", minLength: 1, maxLength: 5000 }),
      text({ pattern: "^(.*a){40}$", minLength: 100 }),
      text({ pattern: `^(?!${"a?".repeat(900)}b)(?!.*${"[^x]?".repeat(900)}y).*$` }),
      text({ pattern: "(\\p{L}\\d){400}", maxLength: 3000 }),
      text({ pattern: "^(((a{1,30}){1,30}){1,30})$", minLength: 7 }),
      text({ pattern: "\\p{L}.*\\p{N}.*\\p{S}", maxLength: 300 }),
      text({ pattern: `^${"(?=.*[ab].{9}c)".repeat(9)}.*$` }),
    ];
    for (const schema of hostile) {
      const started = process.cpuUsage();
      try {
        startTrial({ schema }, bytes);
      } catch (error) {
        expect(error).toMatchObject({ name: "RequestError" });
      }
      const spent = process.cpuUsage(started).user / 1000;
      expect(spent, JSON.stringify(schema).slice(0, 60)).toBeLessThan(10_000); // the slowest took 620 alone
    }
  }, 60_000);
});
