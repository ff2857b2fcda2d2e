/** Answers in words. */
import { withoutDress } from "./notation.ts";

const SAME_TEXTS: Readonly<Record<string, string>> = {
  "∅": "∅",
  "\\{\\}": "∅",
  "{}": "∅",
  "empty set": "∅",
  "no solution": "∅",
  "no solutions": "∅",
  "no real solution": "∅",
  "no real solutions": "∅",
  none: "∅",
  "does not exist": "dne",
  "all real numbers": "ℝ",
  "set r": "ℝ",
  reals: "ℝ",
  "real numbers": "ℝ",
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
  const unwrapped = /^\(([^()]*)\)$/.exec(bare)?.[1]?.trim() ?? bare.replace(/\(([a-j])\)/g, "$1");
  const inner = unwrapped.replace(/^(?:an?|the) (?=\p{L}{3,}(?: \p{L}+){0,2}$)/u, "");
  return Object.hasOwn(SAME_TEXTS, inner) ? (SAME_TEXTS[inner] ?? inner) : inner;
}
