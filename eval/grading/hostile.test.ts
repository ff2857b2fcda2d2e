import fc from "fast-check";
import { expect, it } from "vitest";
import { gradeAnswer, isEquivalent } from "./index.ts";

/** Texts that nest, grow or repeat without end. */
const HOSTILE: readonly string[] = [
  "9^9^9^9",
  "9^{9^{9^{9}}}",
  `${"{".repeat(100_000)}1${"}".repeat(100_000)}`,
  `${"(".repeat(1900)}1${")".repeat(1900)}`,
  `${"\\sqrt{".repeat(500)}2${"}".repeat(500)}`,
  "100000!",
  "2!!!!!!!!",
  `${"9".repeat(1900)}^${"9".repeat(1900)}`,
  `${"\\frac{1}{97^{300}}+".repeat(150)}x`,
  `${"\\sin(".repeat(50)}x${")".repeat(50)}`,
  `${"1,".repeat(1900)}1`,
  "\\pm 1".repeat(300),
  "-".repeat(3000),
  `${"1\\frac{".repeat(400)}1`,
  `${"\\text{1".repeat(500)}${"}".repeat(500)}`,
  `${"{1\\over".repeat(400)} 1${"}".repeat(400)}`,
  `${"\\begin{pmatrix}".repeat(120)}1${"\\end{pmatrix}".repeat(120)}`,
  `${"-2\\begin{pmatrix}1\\end{pmatrix}^T".repeat(90)}`,
  "²".repeat(3999),
  "٣".repeat(3999),
  "x\\in".repeat(900),
  `${"(1,".repeat(700)}1${")".repeat(700)}`,
  "\\constructor",
  "\\toString + __proto__",
  "10^{400}",
  "e^{e^{e^{e}}}",
  "\\infty-\\infty",
  "0/0",
  "\\sqrt[0]{5}",
  "\ud800",
];
/** Milliseconds of processor time of a comparison: the slowest takes 180. */
const LIMIT_MS = 3000;

it("answers within a bound for texts that grow without end, and never throws", () => {
  for (const text of HOSTILE) {
    for (const other of ["1", "(1,2)", "x > 1", text, `${text}+1`, `\\{${text},2,${text}\\}`]) {
      for (const [answer, target] of [[text, other] as const, [other, text] as const]) {
        const started = process.cpuUsage();
        isEquivalent(answer, target);
        gradeAnswer({ response: `\\boxed{${answer}}`, target, grader: "reference" });
        const spent = process.cpuUsage(started).user / 1000;
        expect(spent, `${answer.slice(0, 40)} for ${target.slice(0, 40)}`).toBeLessThan(LIMIT_MS);
      }
    }
  }
}, 60_000);

it("takes every text for itself, and never throws, whatever tokens follow one another", () => {
  const pieces = [
    "\\frac",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "\\{",
    "\\}",
    "1",
    "23",
    "x",
    "\\pi",
    "+",
    "-",
    "^",
    "_",
    ",",
    " ",
    "=",
  ];
  const more = [
    "\\sqrt",
    "\\text{ cm}",
    "%",
    "\\cup",
    "\\le",
    "\\pm",
    "|",
    "!",
    "i",
    "\\begin{pmatrix}",
    "\\end{pmatrix}",
    "&",
    "\\\\",
    "$",
    ".",
    ":",
    "\\over",
    "\\choose",
    "\\text{1",
    "\\textcolor{red}",
    "²",
    "٣",
    "e5",
    "\\in",
    "\\mid",
    "^T",
    "€",
    "答案",
    "answer is",
  ];
  const text = fc
    .array(fc.constantFrom(...pieces, ...more), { maxLength: 24 })
    .map((parts) => parts.join(""));
  fc.assert(
    fc.property(text, text, (a, b) => {
      for (const grader of ["strict", "reference"] as const)
        gradeAnswer({ response: `\\boxed{${a}}`, target: b, grader });
      gradeAnswer({ response: a, target: b });
      gradeAnswer({ response: a, target: b, kind: "choice" });
      expect(isEquivalent(a, a)).toBe(a.trim() !== "");
      expect(isEquivalent(a, b)).toBe(isEquivalent(a, b));
    }),
    { numRuns: 3000, seed: 44 },
  );
});

it("never takes a number for another one", () => {
  const fraction = fc.tuple(fc.integer({ min: -999, max: 999 }), fc.integer({ min: 1, max: 99 }));
  fc.assert(
    fc.property(fraction, fraction, ([a, b], [c, d]) => {
      expect(isEquivalent(`\\frac{${a}}{${b}}`, `${c}/${d}`)).toBe(a * d === b * c);
      expect(isEquivalent(`\\sqrt{${b}} + ${a}`, `${c}+\\sqrt{${d}}`)).toBe(isSameSum([a, b], [c, d]));
    }),
    { numRuns: 1500, seed: 44 },
  );
});

/** a + √b = c + √d for whole numbers: the roots are equal, or both are whole. */
function isSameSum([a, b]: readonly [number, number], [c, d]: readonly [number, number]): boolean {
  if (b === d) return a === c;
  const [p, q] = [Math.sqrt(b), Math.sqrt(d)];
  return Number.isInteger(p) && Number.isInteger(q) && a + p === c + q;
}
