import { expect, test } from "vitest";
import { isEquivalent } from "./index.ts";

/** Spellings of a target: those that say the same, and near ones that do not. */
interface Spellings {
  readonly of: string;
  readonly same: readonly string[];
  readonly other: readonly string[];
}

const SPELLINGS: Readonly<Record<string, readonly Spellings[]>> = {
  "fractions and binomials of plain TeX": [
    {
      of: "\\frac{7}{12}",
      same: ["{7 \\over 12}", "7 \\over 12"],
      other: ["{12 \\over 7}", "7 + {1 \\over 2}"],
    },
    { of: "\\binom{10}{3}", same: ["{10 \\choose 3}", "{10 \\choose 7}"], other: ["{10 \\choose 4}"] },
  ],
  "commas and blanks in numbers": [
    { of: "0.125", same: ["0{,}125"], other: ["0{,}0125", "0,125"] },
    { of: "1000", same: ["1{\\,}000", "1{,}000", "1\\ 000"], other: ["1{,}00", "100{,}0"] },
  ],
  "digits of other scripts and full-width forms": [
    { of: "42", same: ["４２", "٤٢", "४२", "𝟒𝟐", "4\u200b2"], other: ["４３", "٢٤"] },
    { of: "\\frac{3}{4}", same: ["３／４", "¾", "3⁄4"], other: ["４／３", "⅓"] },
    { of: "\\frac{2}{3}", same: ["⅔"], other: ["⅓"] },
    { of: "5^{12}", same: ["5¹²"], other: ["5²¹", "5¹2"] },
    { of: "x_{10}+x^{-2}", same: ["x₁₀+x⁻²"], other: ["x₁0+x⁻²", "x₁₀+x²"] },
  ],
  "what is in \\text": [
    { of: "-7", same: ["\\text{-7}", "\\mathrm{-7}"], other: ["\\text{7}"] },
    { of: "\\$18.90", same: ["\\text{\\$18.90}"], other: ["\\text{\\$18.09}"] },
    { of: "3:30", same: ["\\text{3:30}"], other: ["\\text{3:03}"] },
    { of: "120\\text{ minutes}", same: ["120\\text{ min}"], other: ["120\\text{ hours}"] },
    { of: "3+4i", same: ["3+4\\mathrm{i}"], other: ["3-4\\mathrm{i}", "3+4\\mathrm{m}"] },
    {
      of: "\\text{Evelyn}",
      same: ["\\(\\text{Evelyn}\\)", "\\textcolor{red}{\\text{Evelyn}}", "\\boxed{\\text{Evelyn}}"],
      other: ["\\textcolor{red}{\\text{Eve}}"],
    },
    { of: "\\text{(A), (C)}", same: ["\\text{A, C}"], other: ["\\text{A, B}"] },
  ],
  sizes: [
    {
      of: "\\frac{5}{13}",
      same: ["\\large\\frac{5}{13}", "\\Huge{\\frac{5}{13}}", "\\displaystyle5/13"],
      other: ["\\large\\frac{13}{5}"],
    },
  ],
  "signs before and behind": [
    {
      of: "42",
      same: ["= 42", "\\approx 42", "42\\\\", "42\\", "42}", "\\text{The answer is }42", "The answer is 42"],
      other: ["\\ne 42", "> 42", "{42"],
    },
    { of: "-50", same: ["-50\\%"], other: ["50\\%", "-5\\%"] },
    { of: "-30^\\circ", same: ["-30"], other: ["30"] },
    { of: "98.6", same: ["98.6^\\circ\\text{F}", "98.6°F"], other: ["89.6°F"] },
    { of: "20^\\circ\\text{C}", same: ["20^\\circ", "20"], other: ["20^\\circ\\text{F}"] },
    { of: "5", same: ["\\pounds 5", "£5", "5€"], other: ["£6"] },
    { of: "\\$5", same: ["5\\$", "-(-5)"], other: ["€5", "-\\$5"] },
  ],
  "numbers as programs print them": [
    { of: "6.02\\times10^{23}", same: ["6.02e23", "6.02E+23"], other: ["6.02e22", "6.02e-23"] },
    { of: "0.0003", same: ["3e-4"], other: ["3e-3"] },
    { of: "3e-4", same: ["3e-4", "-4+3e"], other: ["0.0003"] },
    { of: ".0000672", same: ["6.72\\times10^{-5}"], other: ["0.00006727", "0.0000673"] },
  ],
  "repeating digits": [{ of: "\\frac13", same: ["0.\\bar{3}", "0.\\dot{3}"], other: ["0.\\bar{4}", "0.3"] }],
  "digits in a base": [
    {
      of: "1011_2",
      same: ["(1011)_2", "{1011}_2", "1011_{\\text{two}}", "1011 \\text{ (base 2)}"],
      other: ["(1011)_3", "1011 \\text{ (base 8)}"],
    },
  ],
  roots: [{ of: "\\sqrt{51}", same: ["√51", "sqrt(51)"], other: ["\\sqrt51", "\\sqrt{5}1"] }],
  "sets of numbers": [
    {
      of: "(-\\infty,\\infty)",
      same: ["\\mathbb{R}", "\\text{all real numbers}"],
      other: ["\\mathbb{Z}", "\\text{all}"],
    },
    { of: "\\emptyset", same: ["\\{\\}", "\\{ \\}"], other: ["\\{0\\}"] },
    {
      of: "[-2,7]",
      same: ["\\{x : -2\\le x\\le 7\\}", "\\{x \\in \\mathbb{R} \\mid -2 \\le x \\le 7\\}"],
      other: ["\\{x : -2 < x\\le 7\\}", "\\{x \\in \\mathbb{Z} \\mid -2 \\le x \\le 7\\}", "-x \\in [-2,7]"],
    },
  ],
  members: [
    {
      of: "x \\in [-2,7]",
      same: ["[-2,7]", "-2\\le x\\le7", "x\\in[-2,7]", "\\{x : -2\\le x\\le7\\}"],
      other: ["y \\in [-2,7]", "x \\in (-2,7)", "x=7"],
    },
    { of: "-2\\le x\\le7", same: ["x \\in [-2,7]"], other: ["x \\in [-2,8]"] },
    { of: "1,2", same: ["x \\in \\{1,2\\}"], other: ["x \\in \\{1,3\\}", "x \\in [1,2]"] },
  ],
  "points by their names": [
    {
      of: "(3,-4)",
      same: ["x=3,y=-4", "y=-4, x=3", "x=3\\text{ and }y=-4"],
      other: ["y=3,x=-4", "x=3,x=-4", "x=3,y=4", "x=3"],
    },
    { of: "x=3,y=-4", same: ["(3,-4)"], other: ["(-4,3)", "[3,-4]"] },
  ],
  "one value said twice": [
    {
      of: "\\frac12",
      same: ["\\frac12\\text{ or }0.5"],
      other: ["\\frac12\\text{ or }0.6", "\\frac12,\\frac12"],
    },
  ],
  matrices: [
    {
      of: "\\begin{pmatrix}-1/3\\\\5/3\\end{pmatrix}",
      same: [
        "\\frac13\\begin{pmatrix}-1\\\\5\\end{pmatrix}",
        "-\\begin{pmatrix}1/3\\\\-5/3\\end{pmatrix}",
        "\\frac13\\left(\\begin{matrix}-1\\\\5\\end{matrix}\\right)",
        "\\begin{pmatrix}-1/3&5/3\\end{pmatrix}^T",
      ],
      other: [
        "\\frac12\\begin{pmatrix}-1\\\\5\\end{pmatrix}",
        "\\begin{pmatrix}-1/3\\\\5/3\\end{pmatrix}+1",
        "\\begin{pmatrix}-1/3\\\\5/3\\end{pmatrix}^2",
      ],
    },
    {
      of: "\\begin{pmatrix}1&2\\\\3&4\\end{pmatrix}",
      same: ["\\begin{pmatrix}1&2\\cr3&4\\end{pmatrix}", "\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}^{T}"],
      other: ["\\begin{pmatrix}1&3\\\\2&4\\end{pmatrix}"],
    },
  ],
  "times of day": [
    {
      of: "10\\text{:}45\\text{ a.m.}",
      same: ["10:45\\text{ a.m.}", "10:45\\text{ AM}", "10:45"],
      other: ["10:45\\text{ p.m.}", "10:54\\text{ a.m.}"],
    },
  ],
  units: [
    {
      of: "5\\text{ m/s}",
      same: ["5\\text{ m}\\cdot\\text{s}^{-1}", "5\\ \\mathrm{m\\,s^{-1}}"],
      other: ["5\\ \\mathrm{m\\,s}", "5\\ \\mathrm{m\\,s^{-2}}"],
    },
  ],
  letters: [{ of: "C", same: ["\\text{(C)}", "C)", "(C)"], other: ["c", "\\text{(D)}", "C+1"] }],
};

for (const [kind, groups] of Object.entries(SPELLINGS)) {
  const pairs = groups.flatMap(({ of, same, other }) => [
    ...same.map((answer) => [of, answer, true] as const),
    ...other.map((answer) => [of, answer, false] as const),
  ]);
  test.each(pairs)(`${kind}: %s and %s are equal: %s`, (target, answer, isEqual) => {
    expect(isEquivalent(answer, target)).toBe(isEqual);
  });
}
