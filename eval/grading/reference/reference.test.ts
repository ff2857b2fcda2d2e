import { readFileSync } from "node:fs";
import { expect, it, test } from "vitest";
import { gradeAnswer } from "../index.ts";
import { convertWordNumber } from "./word-number.ts";

/** Written by test/golden/make-reference-grades.py, which runs the published grader. */
interface GoldenGrades {
  readonly grades: readonly (readonly [
    problem: string,
    response: string,
    target: string,
    extracted: string,
    isCorrect: boolean,
  ])[];
}
const GOLDEN: GoldenGrades = JSON.parse(
  readFileSync(new URL("../../../test/golden/reference-grades.json", import.meta.url), "utf8"),
);

test.each(
  GOLDEN.grades,
)("%s %j for %j gives %j and is correct: %s", (problem, response, target, extracted, isCorrect) => {
  const grade = gradeAnswer({ response, target, problem, grader: "reference" });
  expect({ extracted: grade.extracted ?? "", isCorrect: grade.isCorrect }).toEqual({ extracted, isCorrect });
});

it("reads number words as word2number does, with its faults", () => {
  const cases = [
    ["two hundred", "200"],
    ["two million three hundred thousand and nine", "2300009"],
    ["twenty-one point five", "21.5"],
    ["point five", "0.5"],
    ["one two three four five", "1"],
    ["007", "7"],
    ["two thousand million", "two thousand million"],
    ["a thousand thousand", "a thousand thousand"],
    ["none", "none"],
  ] as const;
  for (const [text, number] of cases) expect(convertWordNumber(text)).toBe(number);
});

it("makes integers of AIME's targets, as the published evaluation does", () => {
  const request = { response: "\\boxed{25}", target: "025", grader: "reference" } as const;
  expect(gradeAnswer({ ...request, kind: "integer" })).toEqual({
    isCorrect: true,
    extracted: "25",
    rule: "boxed",
  });
});

it("names the rule of the published extraction", () => {
  const ruleOf = (response: string) => gradeAnswer({ response, target: "5", grader: "reference" }).rule;
  expect(ruleOf("The final answer is $5$. I hope it is correct.")).toBe("final answer is");
  expect(ruleOf("\\boxed{5}")).toBe("boxed");
  expect(ruleOf("the answer is 5")).toBe("answer is");
  expect(ruleOf("```output\n5\n```")).toBe("program output");
  expect(ruleOf("5, or 6")).toBe("last number");
  expect(ruleOf("nothing")).toBe("none");
});
