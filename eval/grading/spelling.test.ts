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
  "digits in groups, as countries and programs write them": [
    {
      of: "1234567",
      same: ["1.234.567", "1'234'567", "1_234_567", "1\\,234\\,567"],
      other: ["1.234567", "1'234'56", "1_234_56", "1.234.568"],
    },
    { of: "1234.56", same: ["1.234,56"], other: ["1.234.56", "1,234,56"] },
    { of: "123456", same: ["1,23,456"], other: ["1,23,45", "12,34,56"] },
    { of: "1234", same: ["1'234"], other: ["1.234", "1,23,4"] },
  ],
  "numbers in words": [
    { of: "7", same: ["seven", "\\text{Seven}"], other: ["seventy", "seventeen", "\\text{eight}", "seve"] },
    {
      of: "21",
      same: ["twenty-one", "\\text{twenty one}"],
      other: ["twenty", "one", "twenty-zero", "ty-one"],
    },
  ],
  "digits that go on": [
    {
      of: "\\frac13",
      same: ["0.(3)", "0.333...", "0.3333\\ldots"],
      other: ["0.(4)", "0.33...", "0.3(4)", "0.334..."],
    },
    { of: "\\frac16", same: ["0.1(6)", "0.1666…"], other: ["0.(16)", "0.166"] },
    { of: "\\frac17", same: ["0.142857142857..."], other: ["0.14285...", "0.142587142587..."] },
  ],
  "powers of ten by a letter": [
    { of: "1.5\\times10^{-3}", same: ["1.5 x 10^-3", "1.5x10^{-3}"], other: ["1.5 x 10^-4", "15 x 10^-3"] },
    { of: "2x", same: ["2 x"], other: ["2 x 10"] },
  ],
  residues: [
    {
      of: "5",
      same: ["5 \\pmod 7", "x \\equiv 5 \\pmod{7}", "5 (mod 7)", "5 \\ (\\text{mod } 7)"],
      other: ["6 \\pmod 7", "12 \\bmod 7", "7 \\pmod 5"],
    },
    { of: "x \\equiv 5 \\pmod{12}", same: ["5", "5 \\pmod{12}"], other: ["5 \\pmod{13}", "17 \\pmod{12}"] },
  ],
  "names of what is asked": [
    {
      of: "5",
      same: [
        "P(X=1)=5",
        "E[X] = 5",
        "|AB| = 5",
        "[ABC]=5",
        "\\overline{AB}=5",
        "\\mathbb{P}(A)=5",
        "\\text{The length is }5",
      ],
      other: ["|x| = 5", "P(5)", "P(X=5)=1", "E[5]", "\\text{It is not }5", "[1,5]=5x"],
    },
    {
      of: "\\frac12",
      same: ["P(A|B)=\\frac12", "P(A \\cap B) = 0.5"],
      other: ["P(A)=\\frac12, P(B)=\\frac13"],
    },
    { of: "5x", same: [], other: ["|AB|=5"] },
  ],
  "inequalities in other symbols": [
    { of: "1<x<2", same: ["(1,2)", "2>x>1"], other: ["1<y<2"] },
    { of: "x<1,y<2", same: ["y<2,x<1"], other: ["x<2,y<1", "x<1,x<2"] },
    {
      of: "x<1\\text{ or }x>3",
      same: ["x>3\\text{ or }x<1"],
      other: ["y<1\\text{ or }y>3", "x<1\\text{ or }y>3"],
    },
  ],
  distances: [
    { of: "(-\\infty,-1)\\cup(1,\\infty)", same: ["|x|>1"], other: ["|x|\\ge1", "|x|<1", "x>1", "|x|>-1"] },
    { of: "(-1,3)", same: ["|x-1|<2"], other: ["|x+1|<2", "|x-1|\\le2", "|x-1|<3", "|2x-1|<2"] },
  ],
  "brackets turned away": [
    { of: "(0,1)", same: ["]0,1[", "\\left]0;1\\right["], other: ["]0,1]", "[0,1[", "]0,2["] },
    { of: "(0,1]\\cup[2,3)", same: ["]0,1]\\cup[2,3["], other: ["[0,1]\\cup[2,3[", "]0,1[\\cup[2,3["] },
  ],
  "numbers above zero": [
    {
      of: "(0,\\infty)",
      same: ["\\mathbb{R}^+", "\\mathbb R_{>0}"],
      other: ["\\mathbb{R}", "\\mathbb{R}^2", "\\mathbb{R}^-"],
    },
    { of: "[0,\\infty)", same: ["\\mathbb{R}_{\\ge 0}"], other: ["\\mathbb{R}^+"] },
    { of: "\\mathbb{R}\\setminus\\{0\\}", same: ["\\R-\\{0\\}", "x\\ne0"], other: ["\\R-\\{1\\}", "\\R"] },
  ],
  "units without \\text": [
    {
      of: "3\\times10^8\\text{ m/s}",
      same: ["300000000 m/s", "3\\times10^8\\,\\frac{\\text{m}}{\\text{s}}"],
      other: ["300000000 m/s^2", "300000000 n/s", "3\\times10^8\\,\\frac{\\text{m}}{\\text{h}}"],
    },
    { of: "12\\text{ hours}", same: ["12 h", "12h"], other: ["12 k", "12 h^2", "13 h"] },
    { of: "12h", same: [], other: ["12\\text{ hours}"] },
    { of: "5\\text{ N}", same: ["5 N"], other: ["5 M", "5\\text{ kg}"] },
    { of: "5.4\\text{ eV}", same: ["5.4 eV"], other: ["5.4\\text{ keV}", "5.4\\text{ J}"] },
    { of: "100", same: ["100\\,\\Omega", "USD 100", "Rs. 100"], other: ["10\\,\\Omega", "100\\Omega x"] },
    { of: "18", same: ["$18 per day"], other: ["$19 per day"] },
  ],
  "polar forms": [
    {
      of: "1+i",
      same: ["\\sqrt2\\operatorname{cis}45^\\circ", "\\sqrt{2}\\,\\text{cis}\\,\\frac{\\pi}{4}"],
      other: ["\\sqrt2\\operatorname{cis}135^\\circ", "\\operatorname{cis}45^\\circ"],
    },
  ],
  "shapes of a letter": [{ of: "2\\phi", same: ["2\\varphi"], other: ["2\\varpi", "2\\psi"] }],
  "halves of the day": [
    { of: "7\\text{ p.m.}", same: ["7\\text{ pm}", "7"], other: ["7\\text{ a.m.}", "7\\text{ am}"] },
    { of: "10:30", same: ["10:30 AM"], other: ["10:31 AM"] },
  ],
  "articles, and no solution": [
    {
      of: "\\text{ellipse}",
      same: ["An ellipse", "the ellipse"],
      other: ["A hyperbola", "an ellipse or a circle"],
    },
    {
      of: "\\text{no solution}",
      same: ["none", "\\text{no real solutions}"],
      other: ["0", "\\text{one solution}"],
    },
    { of: "\\text{DNE}", same: ["\\text{does not exist}"], other: ["\\text{exists}", "0"] },
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
