/** Answers in words. */
import { withoutDress } from "./notation.ts";

const SAME_TEXTS: Readonly<Record<string, string>> = {
  "∅": "∅",
  "\\{\\}": "∅",
  "{}": "∅",
  "empty set": "∅",
  "the empty set": "∅",
  "no solution": "∅",
  "no solutions": "∅",
  "all real numbers": "ℝ",
  "set r": "ℝ",
  reals: "ℝ",
  "the real numbers": "ℝ",
  "(-infinity,infinity)": "ℝ",
};

/** A text in one spelling: without LaTeX's wrappers, quotes, brackets around it and the case of letters. */
export function plainText(answer: string): string {
  const bare = withoutDress(answer)
    .replace(/^\\\{\s*\\\}$|\\(?:emptyset|varnothing)(?![a-zA-Z])/g, "∅")
    .replace(/\\mathbb\s*\{?R\}?/g, "ℝ")
    .replace(/[{}$*"“”`]/g, " ")
    .replace(/\s+/g, " ")
    .trim()
    .replace(/[.!,;:]+$/, "")
    .toLowerCase()
    .trim();
  const inner = /^\(([^()]*)\)$/.exec(bare)?.[1]?.trim() ?? bare.replace(/\(([a-j])\)/g, "$1");
  return Object.hasOwn(SAME_TEXTS, inner) ? (SAME_TEXTS[inner] ?? inner) : inner;
}
