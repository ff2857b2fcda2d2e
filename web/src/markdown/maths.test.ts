import { expect, test } from "vitest";
import { mathsSpans, withoutMaths } from "./maths.ts";

/** Each maths of a text: its TeX, with $ before displayed one, and … after one that has not ended. */
const found = (text: string) =>
  mathsSpans(text).map(
    ({ maths: { tex, isDisplayed, isOpen } }) => `${isDisplayed ? "$" : ""}${tex}${isOpen ? "…" : ""}`,
  );

test.each([
  ["The answer is \\boxed{33}.", ["\\boxed{33}"]],
  ["\\boxed{\\frac{1}{2}} and", ["\\boxed{\\frac{1}{2}}"]],
  ["so $x^2$, then $$y$$", ["x^2", "$y"]],
  ["\\(a\\) or \\[ b \\]", ["a", "$b"]],
  ["\\(\\\\) \\)", ["\\\\)"]],
  ["\\begin{align} a &= b \\end{align} and", ["$\\begin{align} a &= b \\end{align}"]],
  ["$a\\$b$ and CO$_2$ and 10$^{-3}$", ["a\\$b", "_2", "^{-3}"]],
])("finds the maths of %j", (text, expected) => {
  expect(found(text)).toEqual(expected);
});

test.each([
  "it costs $5 and $6 each",
  "it costs $5, or $6",
  "from $5k to $6k",
  "$5/$6",
  "between $1,000 and $2,000.50",
  "($5 or 5$)",
  "(5$)(6$)",
  "US$5 and A$6",
  "\\$5 and \\$6",
  "$5 million",
  "$ not maths $",
  "a $5 `b$c`",
  "a \\{ brace",
  "the word \\begin{proof}",
])("finds no maths in %j", (text) => {
  expect(found(text)).toEqual([]);
});

test("says of what has not ended that it is open", () => {
  expect(found("The answer is \\boxed{3")).toEqual(["\\boxed{3…"]);
  expect(found("so $x^")).toEqual(["x^…"]);
  expect(found("\\[ a + b")).toEqual(["$a + b…"]);
  expect(found("\\begin{align} a")).toEqual(["$\\begin{align} a…"]);
  expect(found(`$x and ${"a sentence ".repeat(20)}`)).toEqual([]);
});

test("hides maths, and keeps the length", () => {
  expect(withoutMaths("a $b*c$ *d* \\(e")).toBe("a xxxxx *d* \\(e");
});
