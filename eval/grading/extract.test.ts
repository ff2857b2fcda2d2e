import { describe, expect, it, test } from "vitest";
import { type AnswerKind, extractAnswer, gradeAnswer } from "./index.ts";

const RESPONSES: readonly (readonly [response: string, answer: string | null, rule: string])[] = [
  ["So \\boxed{12}, no: \\boxed{204}.", "204", "boxed"],
  ["\\boxed{\\frac{1}{2}}", "\\frac{1}{2}", "boxed"],
  ["\\boxed{\\{1, 2\\}}", "\\{1, 2\\}", "boxed"],
  [
    "\\boxed{\\left\\{ x : x > \\frac{1}{2} \\right\\}} is the set",
    "\\left\\{ x : x > \\frac{1}{2} \\right\\}",
    "boxed",
  ],
  ["\\boxed{\\}}", "\\}", "boxed"],
  ["\\boxed{ 5 }", "5", "boxed"],
  ["\\boxed {5}", "5", "boxed"],
  ["\\boxed 5", "5", "boxed without braces"],
  ["$\\boxed5$", "5", "boxed without braces"],
  ["\\boxed 42.", "42", "boxed without braces"],
  ["\\fbox{7}", "7", "fbox"],
  ["\\framebox{7}", "7", "framebox"],
  ["\\boxed{\\boxed{5}}", "\\boxed{5}", "boxed"],
  ["\\boxed{3} and then \\boxed{204", "3", "boxed"],
  ["\\boxed{204", null, "none"],
  ["\\boxed{70}\\%", "70\\%", "boxed"],
  ["\\boxed{70} %", "70\\%", "boxed"],
  ["put it in \\boxed{}", null, "none"],
  ["\\boxed{6}. I put it in \\boxed{}.", "6", "boxed"],
  ["<think>\\boxed{5}</think> the answer is 7", "7", "answer is"],
  ["<think>\\boxed{5}</think> I do not know", null, "none"],
  ["<think>\\boxed{5}", null, "unfinished reasoning"],
  ["so \\boxed{5}</think>\\boxed{6}", "6", "boxed"],
  ["[THINK]\\boxed{5}[/THINK]\\boxed{6}", "6", "boxed"],
  ["<think>a</think>\\boxed{1}<think>\\boxed{2}", null, "unfinished reasoning"],
  ["… 17 and then 204", null, "none"],
  ["The first number is 3 and the last is $204$", null, "none"],
  ["The answer is 7.", "7", "answer is"],
  ["The final answer is $\\frac{1}{2}$. I hope it is correct.", "\\frac{1}{2}", "answer is"],
  ["Therefore, the answer is: **3.5**.", "3.5", "answer is"],
  ["The answer is \\(x = 3\\).", "x = 3", "answer is"],
  ["The answer is Paris.", "Paris", "answer is"],
  ["The answer is 3. No: the answer is 4.", "4", "answer is"],
  ["Answer: 12", "12", "answer line"],
  ["**Final Answer:** $12$", "12", "answer line"],
  ["**Answer**: 12 cm", "12 cm", "answer line"],
  ["Final answer:\n\n\\[ 12 \\]", "12", "answer line"],
  ["The correct answer is 42, because 6*7=42.", "42", "answer is"],
  ["Answer: 42 (since 6*7)", "42", "answer line"],
  ["The answer is clearly 42.", "42", "answer is"],
  ["最终答案是 42。", "42", "answer is"],
  ["答案：$42$", "42", "answer is"],
  ["**Final Answer**\n\\[\n\\frac{1}{2}\n\\]", "\\frac{1}{2}", "answer heading"],
  ["### Final Answer\r\n\r\n**42**\nI hope so.", "42", "answer heading"],
  ["Answer\nWe do not know 42", null, "none"],
  ["An answer\n42 it may be", null, "none"],
  ["204", "204", "whole response"],
  ["$204$.", "204", "whole response"],
  ["<think>long</think>\n\n**204**", "204", "whole response"],
  ["The answer is what we look for next.", null, "none"],
  ["", null, "none"],
];

test.each(RESPONSES)("%j gives %j by the rule %j", (response, answer, rule) => {
  expect(extractAnswer(response)).toEqual({ answer, rule });
});

describe("letters of multiple choice", () => {
  it.each([
    ["\\boxed{\\text{A}}", "\\text{A}", "boxed"],
    ["The correct answer is (B).", "B", "answer is"],
    ["The answer is B, since it is.", "B", "answer is"],
    ["the correct option is C: 10 eV", "C", "answer is"],
    ["Answer: C", "C", "answer line"],
    ["Answer: $D$", "D", "answer line"],
    ["**Answer: (C) 10 eV**", "C", "answer line"],
    ["B", "B", "whole response"],
    ["(D) 3 m", "D", "whole response"],
    ["A molecule has A and B", null, "none"],
    ["The answer is a matter of taste", null, "none"],
    ["The answer is A or B", null, "none"],
  ])("%j gives %j by %j", (response, answer, rule) => {
    expect(extractAnswer(response, { kind: "choice" })).toEqual({ answer, rule });
  });
});

it("takes a response without the closing marker as unfinished if its prompt began the reasoning", () => {
  const options = { beginsInReasoning: true };
  expect(extractAnswer("so \\boxed{5}", options)).toEqual({ answer: null, rule: "unfinished reasoning" });
  expect(extractAnswer("so 5</think>\\boxed{6}", options).answer).toBe("6");
  const markers = [{ open: "<reason>", close: "</reason>" }];
  expect(extractAnswer("so \\boxed{5}</reason> 6", { ...options, markers }).answer).toBe("6");
  expect(extractAnswer("<reason>\\boxed{5}", { markers }).answer).toBeNull();
});

it("needs time in proportion to the text: boxes that never close, blank lines, marks", () => {
  const started = process.cpuUsage();
  expect(extractAnswer("\\boxed{".repeat(100_000)).answer).toBeNull();
  expect(extractAnswer("\\boxed{}".repeat(100_000)).answer).toBeNull();
  expect(extractAnswer("the answer is ".repeat(50_000)).answer).toBeNull();
  expect(extractAnswer("answer: ".repeat(100_000)).answer).toBeNull();
  for (const run of ["\n", "\n> ", "* ", "_", "\t", "answer ", "answer\n", "1,"])
    expect(extractAnswer(`${run.repeat(1_000_000 / run.length)} and so on`).answer).toBeNull();
  expect(extractAnswer(`\\boxed1${".".repeat(1_000_000)}x`).answer).toBe("1");
  expect(process.cpuUsage(started).user / 1000).toBeLessThan(3000);
});

/** The tricky responses of the published grader, judged without its leniencies. */
const TRICKY: readonly (readonly [response: string, target: string, kind: AnswerKind, isCorrect: boolean])[] =
  [
    ["\\boxed{12} … \\boxed{204}", "204", "integer", true],
    ["<think>\\boxed{5}</think> the answer is 7", "7", "integer", true],
    ["\\boxed{204", "204", "integer", false],
    ["… 17 and then 204", "204", "integer", false],
    ["\\boxed{20400}", "204", "integer", false],
    ["\\boxed{2.04}", "204", "integer", false],
    ["\\boxed{50}", "0.5", "math", false],
    ["\\boxed{033}", "33", "integer", true],
    ["\\boxed{20.0}", "20", "integer", true],
    ["\\boxed{10,080}", "10080", "integer", true],
    ["\\boxed{204 \\text{ minutes}}", "204", "integer", true],
    ["\\boxed{1,-2}", "1,-2", "math", true],
    ["\\boxed{-2,1}", "1,-2", "math", true],
    ["\\boxed{(2,3)}", "[2,3)", "math", false],
    ["\\boxed{2, 3}", "(2,3)", "math", false],
    ["\\boxed{\\frac{1}{4}3}", "\\frac{14}{3}", "math", false],
    ["\\boxed{\\{2,1\\}}", "\\{1,2\\}", "math", true],
    ["\\boxed{2,1}", "(1,2)", "math", false],
    ["\\boxed{(2,1)}", "(1,2)", "math", false],
    ["\\boxed{[2,1]}", "[1,2]", "math", false],
    ["\\boxed{(A)}", "A", "choice", true],
    ["\\boxed{A. 10^-4 eV}", "A", "choice", true],
    ["\\boxed{\\textbf{A}}", "A", "choice", true],
    ["\\boxed{a}", "A", "choice", true],
    ["\\boxed{A, B}", "A", "choice", false],
    ["\\boxed{70}%", "70", "math", true],
    ["\\boxed{\\sqrt{117}}", "3\\sqrt{13}", "math", true],
    ["\\boxed{4.6667}", "\\frac{14}{3}", "math", false],
  ];

test.each(TRICKY)("%j for %j (%s) is correct: %s", (response, target, kind, isCorrect) => {
  expect(gradeAnswer({ response, target, kind }).isCorrect).toBe(isCorrect);
});
