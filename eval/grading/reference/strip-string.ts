/** Clean-up of answers as the published grader does it: one function on extraction, another before grading. */
import { UNITS } from "./units.ts";
import { convertWordNumber } from "./word-number.ts";

/** Python's \w and \W know all letters. */
const WORD = "[\\p{L}\\p{N}_]";
const NOT_WORD = "[^\\p{L}\\p{N}_]";
const UNIT_PATTERNS = UNITS.map((unit) => new RegExp(`(^|${NOT_WORD})${unit}($|${NOT_WORD})`, "gu"));
const MONTHS =
  /\b(January|February|March|April|May|June|July|August|September|October|November|December)\b/gi;
const SQRT_OF_WORD = new RegExp(`\\\\sqrt(${WORD}+)`, "gu");

/** \frac1b and \frac12 get their braces; \frac1{72} too, \frac{72}1 does not. */
function fixFractions(text: string): string {
  const [first = "", ...rest] = text.split("\\frac");
  let result = first;
  for (const part of rest) {
    result += "\\frac";
    if (part.startsWith("{")) {
      result += part;
      continue;
    }
    const [a, b] = part;
    if (a === undefined || b === undefined || part.length < 2) return text;
    const after = part.slice(2);
    result += b === "{" ? `{${a}}${b}${after}` : `{${a}}{${b}}${after}`;
  }
  return result;
}

/** a/b of two whole numbers, or of roots, becomes a fraction. */
function fixSlash(text: string): string {
  const [a, b, ...more] = text.split("/");
  if (a === undefined || b === undefined || more.length > 0) return text;
  const isTaken = (part: string) => part.includes("sqrt") || /^(0|-?[1-9]\d*)$/.test(part);
  return isTaken(a) && isTaken(b) ? `\\frac{${a}}{${b}}` : text;
}

function replaceInfinity(text: string): string {
  const named = text.replaceAll("infinity", "\\infty");
  return named.includes("\\infty") ? named : named.replaceAll("inf", "\\infty");
}

function replaceImaginaryUnit(text: string): string {
  return text.includes("j") && !text.includes("i") ? text.replaceAll("j", "i") : text;
}

/** A trailing \text{…} goes, unless nothing else is there. */
function dropTrailingText(text: string): string {
  const without = text.replace(/\\text\{.*?\}$/, "").trim();
  return without !== "" && without !== text ? without : text;
}

/** What extraction does to a candidate. */
export function stripExtracted(candidate: string): string {
  let text = candidate.trim().replaceAll("\n", "").replace(/\.+$/, "").replaceAll("\\!", "");
  if (text.startsWith("\\text{") && text.endsWith("}")) text = text.slice(6, -1);
  text = text.replaceAll("tfrac", "frac").replaceAll("dfrac", "frac").replaceAll("cfrac", "frac");
  text = dropTrailingText(text.replaceAll("\\left", "").replaceAll("\\right", ""));
  text = text.replaceAll("^{\\circ}", "").trim().replaceAll("^\\circ", "").trim();
  text = text
    .replace(/\{(c|m)?m\}(\^(2|3))?/g, "")
    .trim()
    .replace(/p\.m\.$/, "")
    .trim();
  text = text
    .replace(/(\d)\s*t$/, "$1")
    .trim()
    .replaceAll("\\$", "")
    .replaceAll("$", "")
    .replaceAll("x\\in", "");
  text = text.replaceAll("\\%", "%").replaceAll(" .", " 0.").replaceAll("{.", "{0.").replaceAll("\\cdot", "");
  text = replaceInfinity(text)
    .replaceAll("+\\inity", "\\infty")
    .replaceAll("\\mathbf", "")
    .replaceAll("\\mathrm", "");
  text = replaceImaginaryUnit(text.replace(/\\mbox\{.*?\}/g, ""));
  text = text.replace(/(\d+)\.0+([^\d])/g, "$1$2").replace(/(\d+)\.0+$/, "$1");
  if (text === "") return text;
  if (text.startsWith(".")) text = `0${text}`;
  text = text
    .replace(/\\sqrt(-?[0-9.a-zA-Z]+)/g, "\\sqrt{$1}")
    .replace(new RegExp(`\\\\sqrt\\s+(${WORD}+)$`, "u"), "\\sqrt{$1}");
  text = text
    .replace(/\\tan(-?[0-9.a-zA-Z]+)/g, "\\tan{$1}")
    .replace(new RegExp(`\\\\tan\\s+(${WORD}+)$`, "u"), "\\tan{$1}");
  return fixSlash(fixFractions(text.replaceAll(" ", ""))).replace(/(\\|,|\.)+$/, "");
}

/** What grading does to the target and to the extracted answer. */
export function stripGraded(answer: string): string {
  let text = answer.trim().replaceAll("\n", "").replace(/\.+$/, "").replaceAll("\\!", "");
  text = text
    .replace(/\\begin\{array\}\{.*?\}/g, "\\begin{pmatrix}")
    .replace(/\\end\{array\}/g, "\\end{pmatrix}");
  text = text.replaceAll("bmatrix", "pmatrix").replaceAll("tfrac", "frac").replaceAll("dfrac", "frac");
  text = text.replaceAll("\\neq", "\\ne").replaceAll("\\leq", "\\le").replaceAll("\\geq", "\\ge");
  text = text
    .replaceAll("\\left", "")
    .replaceAll("\\right", "")
    .replaceAll("\\{", "{")
    .replaceAll("\\}", "}");
  text = dropUnits(dropTrailingText(text)).replaceAll("^{\\circ}", "").replaceAll("^\\circ", "");
  text = text.replaceAll("\\$", "").replaceAll("$", "").replaceAll("\\(", "").replaceAll("\\)", "");
  text = convertWordNumber(text).replace(/\\text\{(.*?)\}/g, "$1");
  for (const key of ["x=", "y=", "z=", "x\\in", "y\\in", "z\\in", "x\\to", "y\\to", "z\\to"])
    text = text.replaceAll(key, "");
  text = text.replaceAll("\\emptyset", "{}").replaceAll("(-\\infty,\\infty)", "\\mathbb{R}");
  text = text
    .replaceAll("\\%", "")
    .replaceAll("%", "")
    .replace(MONTHS, "")
    .replaceAll(" .", " 0.")
    .replaceAll("{.", "{0.");
  text = replaceInfinity(text)
    .replaceAll("+\\inity", "\\infty")
    .replaceAll("and", "")
    .replaceAll("\\mathbf", "");
  text = replaceImaginaryUnit(text.replace(/\\mbox\{.*?\}/g, ""));
  text = text.replace(/(\d+)\.0*([^\d])/g, "$1$2").replace(/(\d+)\.0*$/, "$1");
  if (text === "") return text;
  if (text.startsWith(".")) text = `0${text}`;
  const [name = "", value, ...more] = text.split("=");
  if (value !== undefined && more.length === 0 && [...name].length <= 2) text = value;
  return fixSlash(fixFractions(text.replace(SQRT_OF_WORD, "\\sqrt{$1}").replaceAll(" ", "")));
}

function dropUnits(text: string): string {
  let result = text;
  for (const pattern of UNIT_PATTERNS) {
    const without = result.replace(pattern, "$1$2");
    if (without !== "") result = without;
  }
  return result;
}
