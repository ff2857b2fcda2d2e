import { describe, expect, it } from "vitest";
import { attentionSpec, collect, collectJson, decimal, UsageError, wholeNumber } from "./args.ts";

describe("wholeNumber", () => {
  it("reads decimal digits", () => {
    expect(wholeNumber(1)("1")).toBe(1);
    expect(wholeNumber(0)("0")).toBe(0);
    expect(wholeNumber(1)("4096")).toBe(4096);
  });

  it.each([
    "abc",
    "",
    " 1",
    "1 ",
    "1.5",
    "1e3",
    "0x10",
    "-1",
    "+1",
    "NaN",
    "Infinity",
    "0",
    "9007199254740993",
    "1_0",
  ])("refuses %j if the minimum is 1", (text) => {
    expect(() => wholeNumber(1)(text)).toThrow("whole number of at least 1");
  });
});

describe("decimal", () => {
  const probability = decimal("a number from 0 to 1", (p) => p <= 1);
  it.each([
    ["0", 0],
    ["0.7", 0.7],
    [".5", 0.5],
    ["1.", 1],
    ["1e-3", 0.001],
  ])("reads %j", (text, value) => {
    expect(probability(text)).toBe(value);
  });

  it.each([
    "abc",
    "",
    "NaN",
    "Infinity",
    "-0.5",
    "1.5",
    "0.5x",
    "0,5",
    "1e999",
    ".",
  ])("refuses %j", (text) => {
    expect(() => probability(text)).toThrow("a number from 0 to 1");
  });
});

describe("attentionSpec", () => {
  it.each([
    "full",
    "less-is-more:budget=256,recency=0.25,sinks=4,layers=2+7",
    "streaming-llm:budget=256,sinks=4",
  ])("accepts %s unchanged", (spec) => {
    expect(attentionSpec(spec)).toBe(spec);
  });

  it.each([
    "",
    "fulll",
    "less-is-more:budgt=256",
    "less-is-more:budget=abc",
    "less-is-more:budget=256,budget=256",
  ])("refuses %j with a usage error", (spec) => {
    expect(() => attentionSpec(spec)).toThrow(UsageError);
  });
});

it("collect keeps the order and refuses the empty text", () => {
  expect(collect("b", collect("a"))).toEqual(["a", "b"]);
  expect(() => collect("")).toThrow("not empty");
});

describe("collectJson", () => {
  it("collects names and values", () => {
    const first = collectJson("enable_thinking=false");
    const second = collectJson('text="a=b"', first);
    expect(collectJson('tools=[{"name": "f"}]', second)).toEqual({
      enable_thinking: false,
      text: "a=b",
      tools: [{ name: "f" }],
    });
  });

  it.each([
    ["a", "name=JSON"],
    ["=1", "name=JSON"],
    ["a=", "a must be JSON"],
    ["a=True", "write true"],
    ["a=None", "write null"],
    ["a=low", `'"low"'`],
    ["a={b}", "a must be JSON"],
  ])("refuses %s with advice", (text, message) => {
    expect(() => collectJson(text)).toThrow(message);
  });

  it("refuses a repeated name", () => {
    expect(() => collectJson("a=2", { a: 1 })).toThrow("a is given twice");
  });
});
