import { readFileSync } from "node:fs";
import { describe, expect, it, test } from "vitest";
import { type AnswerKind, isEquivalent } from "./index.ts";

/** Written by test/golden/make-grading-pairs.py. */
interface GoldenPairs {
  readonly pairs: readonly (readonly [
    target: string,
    answer: string,
    isEqual: boolean,
    mathVerify: boolean,
  ])[];
}
const GOLDEN: GoldenPairs = JSON.parse(
  readFileSync(new URL("../../test/golden/grading-pairs.json", import.meta.url), "utf8"),
);

/** Pairs on which math-verify 0.9.0 is wrong, and why. */
const MATH_VERIFY_IS_WRONG: Readonly<Record<string, string>> = {
  "0.\\overline{3} = \\frac{1}{3}": "it reads no repeating digits",
  "0.\\overline{3} = \\frac13": "it reads no repeating digits",
  "0.\\overline{3} = 0.333333": "it reads no repeating digits",
  "6.02 \\times 10^{23} = 602 \\times 10^{21}": "it rounds the floats of large numbers differently",
  "1+274i = 1 + 274 i": "a blank before i makes i a symbol",
  "\\frac{1+i}{2} = 0.5 + 0.5i": "it does not expand a complex fraction beside decimals",
  "(2,-1) ≠ [2,-1]": "it takes a bracket of two values for an interval only if they ascend",
  "\\left( 3, \\frac{\\pi}{2} \\right) ≠ [3,\\frac{\\pi}{2}]":
    "it takes a bracket for an interval only if its values ascend",
  "[-2,7] = -2 \\le x \\le 7": "it compares an inequality with an interval in one direction only",
  "90^\\circ = 90\\degree": "it does not know \\degree",
  "\\text{Saturday} = \\text{Saturday.}": "it counts the full stop",
  "\\binom{5}{2} = \\binom53": "it does not read arguments without braces; both are 10",
};

describe("pairs of a target and an answer", () => {
  test("are at least 300 equal and 300 different ones", () => {
    const equal = GOLDEN.pairs.filter(([, , isEqual]) => isEqual).length;
    expect(equal).toBeGreaterThanOrEqual(300);
    expect(GOLDEN.pairs.length - equal).toBeGreaterThanOrEqual(300);
  });

  test.each(GOLDEN.pairs)("%s and %s are equal: %s", (target, answer, isEqual) => {
    expect(isEquivalent(answer, target)).toBe(isEqual);
  });

  test("have math-verify's verdict, except for at most 2 % with a reason each", () => {
    const different = GOLDEN.pairs.filter(
      ([target, answer, , verdict]) => isEquivalent(answer, target) !== verdict,
    );
    const names = different.map(([target, answer, isEqual]) => `${target} ${isEqual ? "=" : "≠"} ${answer}`);
    expect(names.sort()).toEqual(Object.keys(MATH_VERIFY_IS_WRONG).sort());
    expect(different.length).toBeLessThanOrEqual(0.02 * GOLDEN.pairs.length);
  });

  test.each(
    GOLDEN.pairs.filter(([, , isEqual]) => !isEqual),
  )("%s is not taken for %s the other way round", (target, answer) => {
    expect(isEquivalent(target, answer)).toBe(false);
  });
});

/** What math-verify cannot judge, or judges leniently. */
const OWN_PAIRS: readonly (readonly [target: string, answer: string, isEqual: boolean, why: string])[] = [
  ["(2,3)", "2,3", false, "brackets matter"],
  ["2,3", "(2,3)", false, "brackets matter"],
  ["3,5,7", "(3,5,7)", false, "a list is no tuple"],
  ["(6,31,-1)", "\\{6,31,-1\\}", false, "a set has no order"],
  ["(6,31,-1)", "[6,31,-1]", true, "three values in square brackets are a vector"],
  ["\\frac{14}{3}", "\\frac{1}{4}3", false, "braces matter"],
  ["2,2", "2", false, "a list has its repetitions"],
  ["\\{1,2\\}", "\\{1,2,2\\}", true, "a set has none"],
  ["52_8", "52_9", false, "another base"],
  ["\\text{even}", "neve", false, "a word is no product"],
  ["3R^2", "3r^2", false, "symbols are case-sensitive"],
  [".0000672", ".0000671", false, "small decimals are compared exactly"],
  ["15\\mbox{ cm}^2", "15\\text{ cm}", false, "an area is no length"],
  ["15\\mbox{ cm}^2", "15\\text{ m}^2", false, "another unit"],
  ["15\\mbox{ cm}^2", "15\\text{ square centimeters}", true, "another name of the unit"],
  ["5.4\\text{ cents}", "\\$0.054", true, "cents and dollars"],
  ["5.4\\text{ cents}", "\\$5.4", false, "cents are no dollars"],
  ["\\$36", "36 dollars", true, "another name of the unit"],
  ["0.15", "0.15\\%", false, "a share is no percentage of the same digits"],
  ["28", "28\\%", true, "a percentage, if the target is no share"],
  ["10080", "10 080", true, "digits grouped by a blank"],
  ["\\frac{14}{3}", "4 2/3", true, "a mixed number in plain text"],
  ["(2,\\infty)", "x > 2", true, "an inequality describes the interval"],
  ["(2,\\infty)", "x \\ge 2", false, "its end is open"],
  ["x<1 \\text{ or } x>3", "(-\\infty,1)\\cup(3,\\infty)", true, "two inequalities describe a union"],
  ["(0,36)", "(0,9]\\cup(9,36)", true, "a union that leaves nothing out"],
  ["\\mathbb{R} \\setminus \\{1\\}", "(-\\infty,1)\\cup(1,\\infty)", true, "all numbers but one"],
  ["x \\ne 1", "\\mathbb{R} \\setminus \\{1\\}", true, "all numbers but one"],
  ["10^{40}+1", "10^{40}", false, "large numbers are compared exactly"],
  ["\\sqrt{10^{40}+1}", "10^{20}", false, "roots to 50 digits"],
  ["\\frac{1}{\\sqrt{2}+1}", "\\sqrt{2}-1", true, "roots in a denominator"],
  ["\\sqrt{x^2}", "x", false, "different below zero"],
  ["\\sqrt[3]{-8}", "-2", true, "the real root"],
  ["\\sqrt{-4}", "2i", true, "an imaginary root"],
  ["e^{i\\pi}", "-1", true, "Euler"],
  ["\\frac{1}{3}", "0.3333333333", true, "a decimal of at least 6 places"],
  ["\\frac{1}{3}", "0.333", false, "a decimal of 3 places"],
  ["12", "12.0000001", false, "a decimal that rounds nothing"],
  ["\\frac{1}{3} \\approx 0.333", "\\frac{1}{3}", true, "an approximation beside the value"],
  ["\\emptyset", "\\text{no solution}", true, "no solutions"],
  ["12:00", "1:00", false, "times of day"],
  ["2 \\text{ million}", "2000000", true, "a multiplier in words"],
  ["12", "12 \\text{ million}", false, "a multiplier in words"],
  ["33", "m+n=33", true, "a sum that the problem asks for"],
  ["x=5", "y=5", false, "another symbol"],
  ["x=1, y=2", "y=2, x=1", true, "each symbol has its value"],
  ["x=1, y=2", "x=2, y=1", false, "each symbol has its value"],
  ["1,234", "1, 234", true, "a list that could be a number"],
  ["1234", "1, 234", false, "a list is no number"],
  [
    "\\left(\\begin{array}{c} 1 \\\\ 2 \\end{array}\\right)",
    "\\begin{pmatrix}1\\\\2\\end{pmatrix}",
    true,
    "an array in brackets",
  ],
  [
    "\\begin{vmatrix} 1 & 2 \\\\ 3 & 4 \\end{vmatrix}",
    "\\begin{pmatrix} 1 & 2 \\\\ 3 & 4 \\end{pmatrix}",
    false,
    "a determinant",
  ],
  ["$\\frac{1}{2}$", "\\(\\frac{1}{2}\\)", true, "delimiters"],
  ["½", "\\frac12", true, "Unicode"],
  ["−3", "-3", true, "Unicode"],
  ["√2", "\\sqrt{2}", true, "Unicode"],
  ["\\\\frac{1}{2}", "\\frac{1}{2}", true, "escaped twice"],
  ["", "", false, "nothing"],
  ["5", "", false, "nothing"],
];

test.each(OWN_PAIRS)("%s and %s are equal: %s, because: %s", (target, answer, isEqual) => {
  expect(isEquivalent(answer, target)).toBe(isEqual);
});

describe("kinds", () => {
  const cases: readonly (readonly [AnswerKind, string, string, boolean])[] = [
    ["choice", "A", "(A)", true],
    ["choice", "A", "A.", true],
    ["choice", "A", "A. 10^{-4} eV", true],
    ["choice", "A", "\\text{A}", true],
    ["choice", "A", "\\textbf{(A)}", true],
    ["choice", "A", "a", true],
    ["choice", "A", "(a)", true],
    ["choice", "A", "A) 5", true],
    ["choice", "A", "\\text{A: } 5", true],
    ["choice", "A", "Option A", true],
    ["choice", "A", "B", false],
    ["choice", "A", "A, B", false],
    ["choice", "B", "A, B", false],
    ["choice", "A", "A and C", false],
    ["choice", "A", "a molecule", false],
    ["choice", "A", "Apple", false],
    ["choice", "A", "none", false],
    ["integer", "025", "25", true],
    ["integer", "204", "204.0", true],
    ["integer", "204", "2.04", false],
    ["integer", "204", "20400", false],
    ["text", "Evelyn", "\\text{evelyn}.", true],
    ["text", "new york", "New  York", true],
    ["text", "12", "12.0", false],
  ];
  it.each(cases)("%s: target %s, answer %s: %s", (kind, target, answer, isEqual) => {
    expect(isEquivalent(answer, target, kind)).toBe(isEqual);
  });
});
