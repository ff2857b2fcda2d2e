import { describe, expect, it } from "vitest";
import {
  allowedIds,
  byteTokenizer,
  openVocabulary,
  randomFrom,
  startTrial,
  type Trial,
} from "../../test/constraint/trial.ts";
import type { ConstraintSpec } from "./constraint.ts";

const vocabulary = await openVocabulary(byteTokenizer(["aaaa", "aaaaaaaa", "abab", '{"a":', '{"a":{"a":']));
/** Bound on a hostile input, on a machine with much else to do. An automaton that tries ways one by one would take hours. */
const MAX_MS = 15_000;

/** Compiles and takes tokens until it ends, fails or a hundred came; returns the error's message. */
function run(spec: ConstraintSpec, over = vocabulary): string | undefined {
  const startedAt = performance.now();
  let message: string | undefined;
  try {
    const trial = startTrial(spec, over);
    takeTokens(trial);
  } catch (error) {
    expect(error).toMatchObject({ name: "RequestError", code: "request" });
    message = error instanceof Error ? error.message : String(error);
  }
  expect(performance.now() - startedAt).toBeLessThan(MAX_MS);
  return message;
}

function takeTokens(trial: Trial): void {
  for (let i = 0; i < 100; i++) {
    const [first] = allowedIds(trial);
    if (first === undefined || first === trial.endId) return;
    const a = trial.tokenizer.tokenId("aaaaaaaa") ?? 0x61;
    if (!trial.constraint.accept(i % 2 ? 0x61 : a)) trial.constraint.accept(first);
  }
}

/** Nests something in itself. */
function nest(depth: number, around: (inner: unknown) => object): object {
  let inner: object = { type: "null" };
  for (let i = 0; i < depth; i++) inner = around(inner);
  return inner;
}

describe("a hostile pattern ends in time", () => {
  it.each([
    "(a+)+b",
    "(a|a)*b",
    "(a|aa)+(a*)*b",
    "(a*)*(a*)*(a*)*b",
    "(.*a){20}b",
    "(a?){400}a{400}",
  ])("%s runs", (regex) => {
    expect(run({ regex })).toBeUndefined();
  });

  it.each([
    ["((a{1,1000}){1,1000}){1,1000}", "states"],
    ["(((a?){30}){30}){60}", "states"],
    [`${"(".repeat(4000)}a${")".repeat(4000)}`, "nest deeper"],
    ["a".repeat(20_000), "longer than"],
    ["a{999999}", "states"],
    [Array.from("ABCDEFGHIJKLMNOPQRSTUVWXYZ", (x) => `\\P{Script=${x}}`).join(""), "unknown"],
  ])("%s is refused", (regex, reason) => {
    expect(run({ regex })).toContain(reason);
  });

  it("refuses a pattern that takes too much work for one token", async () => {
    const random = randomFrom(9);
    const texts = Array.from({ length: 600 }, () =>
      Array.from({ length: 16 }, () => (random() < 0.5 ? "a" : "b")).join(""),
    );
    const regex = "(?:[ab]{0,400}a[ab]{0,400}){8}c";
    expect(run({ regex }, await openVocabulary(byteTokenizer(texts)))).toContain("too much work");
  });

  it("finds few properties of characters", () => {
    const names = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc".split(" ");
    expect(run({ regex: names.map((name) => `\\p{${name}}`).join("") })).toContain("properties");
  });

  it("has as many states as it needs, and forgets those that it cannot keep", () => {
    // the states of the automaton are all subsets of the last 16 characters
    expect(run({ regex: "[ab]*a[ab]{16}c" })).toBeUndefined();
  });
});

describe("a hostile schema ends in time", () => {
  const $defs = Object.fromEntries(
    Array.from({ length: 25 }, (_, i) => {
      const next = i === 24 ? { type: "null" } : { $ref: `#/$defs/d${i + 1}` };
      return [`d${i}`, { allOf: [next, next] }];
    }),
  );
  const many = Object.fromEntries(Array.from({ length: 40_000 }, (_, i) => [`key ${i}`, { type: "string" }]));

  it.each([
    [
      "10,000 levels of objects",
      nest(10_000, (a) => ({ properties: { a }, required: ["a"] })),
      "deeper than 64",
    ],
    ["10,000 levels of lists", nest(10_000, (items) => ({ type: "array", items })), "deeper than 64"],
    ["100 levels", nest(100, (items) => ({ type: "array", items })), "deeper than 64"],
    ["10,000 levels of anyOf", nest(10_000, (a) => ({ anyOf: [a] })), "deeper than 64"],
    [
      "2^25 schemas by reference",
      { $defs, $ref: "#/$defs/d0", title: "t", type: "null" },
      "lead to more than",
    ],
    [
      "2^20 ways",
      { allOf: Array.from({ length: 20 }, () => ({ anyOf: [{ minLength: 1 }, { minLength: 2 }] })) },
      "ways",
    ],
    ["40,000 properties", { properties: many }, "values"],
    [
      "a long name",
      { properties: { ["a".repeat(50_000)]: {} }, additionalProperties: true },
      "longer than 1000",
    ],
    ["a million items", { type: "array", minItems: 1_000_000 }, "states"],
    ["a long string", { type: "string", minLength: 1_000_000 }, "states"],
    ["a list of 60,000 values", { enum: Array.from({ length: 60_000 }, (_, i) => i) }, "values"],
  ])("%s are refused", (_, schema, reason) => {
    expect(run({ schema })).toContain(reason);
  });

  it("runs 50 levels, which is as deep as schemas get", () => {
    expect(
      run({ schema: nest(50, (a) => ({ type: "object", properties: { a }, required: ["a"] })) }),
    ).toBeUndefined();
  });

  it("refuses a schema that holds itself as a value", () => {
    const schema: Record<string, unknown> = { type: "array" };
    schema.items = schema;
    expect(run({ schema })).toContain("deeper than 64");
  });
});

describe("a spec", () => {
  it.each([
    [{}, "expected one of"],
    [{ json: false }, "json is true"],
    [{ regex: 1 }, "regex is a text"],
    [{ choice: [] }, "choice is a list"],
    [{ choice: ["a", ""] }, "choice is a list"],
    [{ json: true, regex: "a" }, "expected one of"],
    [{ schema: "a" }, "schema is a JSON Schema"],
    [{ schema: { default: () => 1 } }, "must be JSON"],
    [{ text: "a" }, "expected one of"],
    [{ sequence: [{ other: 1 }] }, "sequence[0]"],
  ])("like %j is refused", (spec, reason) => {
    expect(run(spec as unknown as ConstraintSpec)).toContain(reason);
  });
});
