import { describe, expect, test } from "vitest";
import { suggest } from "./check-options.ts";
import { printValue } from "./print-value.ts";

test("the message suggests the nearest known name, or lists all if none is near", () => {
  const known = ["contextLength", "threads", "pageSize"];
  expect(suggest("contxtLenght", known)).toBe('did you mean "contextLength"?');
  expect(suggest("thread", known)).toBe('did you mean "threads"?');
  expect(suggest("colour", known)).toBe("known are contextLength, threads, pageSize");
});

describe("a value in a message", () => {
  const circular: Record<string, unknown> = {};
  circular.self = circular;
  let deep: unknown = 1;
  for (let i = 0; i < 100_000; i++) deep = [deep];
  const throwing = {
    get x() {
      throw new Error("no");
    },
  };
  test.each<[string, unknown, string]>([
    ["text", 'a"b', '"a\\"b"'],
    ["number", -0.5, "-0.5"],
    ["NaN", Number.NaN, "NaN"],
    ["a large integer", 10n, "10"],
    ["undefined", undefined, "undefined"],
    ["a symbol", Symbol("s"), "Symbol(s)"],
    ["a list", [1, "a", null], '[1,"a",null]'],
    ["an object", { a: [1], b: undefined }, '{"a":[1],"b":undefined}'],
    ["an object of a class", new Map(), "Map {}"],
    ["an object without prototype", Object.create(null), "{}"],
    ["a cycle", circular, '{"self":{"self":{"self":{"self":{...}}}}}'],
    ["a deep value", deep, "[[[[[...]]]]]"],
    ["a getter that throws", throwing, "a value that cannot be shown"],
  ])("%s", (_, value, text) => {
    expect(printValue(value)).toBe(text);
  });

  test("it is short, and created without reading all of a large value", () => {
    const large = new Proxy([], { get: (_, key) => (key === "length" ? 2 ** 32 : 7) });
    expect(printValue(large)).toHaveLength(120);
    expect(printValue("x".repeat(1e7))).toHaveLength(120);
  });
});
