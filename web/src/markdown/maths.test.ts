import { expect, test } from "vitest";
import { hasMaths, splitMaths } from "./math-segments.ts";

const maths = (tex: string, isDisplayed = false) => ({ kind: "maths", tex, isDisplayed });
const plain = (text: string) => ({ kind: "text", text });

test.each([
  ["The answer is \\boxed{33}.", [plain("The answer is "), maths("\\boxed{33}"), plain(".")]],
  ["\\boxed{\\frac{1}{2}} and", [maths("\\boxed{\\frac{1}{2}}"), plain(" and")]],
  ["so $x^2$, then $$y$$", [plain("so "), maths("x^2"), plain(", then "), maths("y", true)]],
  ["\\(a\\) or \\[ b \\]", [maths("a"), plain(" or "), maths("b", true)]],
  ["it costs $5 and $6 each", [plain("it costs $5 and $6 each")]],
  ["$ not maths $", [plain("$ not maths $")]],
  ["a \\{ brace", [plain("a \\{ brace")]],
])("splits %j", (text, expected) => {
  expect(splitMaths(text)).toEqual(expected);
});

test("what has not ended yet is text", () => {
  for (const cut of ["The answer is \\boxed{3", "so $x^", "\\[ a + b", "$$"]) {
    expect(splitMaths(cut)).toEqual([plain(cut)]);
    expect(hasMaths(cut)).toBe(false);
  }
  expect(hasMaths("$x$")).toBe(true);
});
