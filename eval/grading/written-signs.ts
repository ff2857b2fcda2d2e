/** Characters beyond ASCII that spell mathematics: digits of all scripts, full-width forms, raised and lowered digits. */

const RAISED = /[⁰¹²³⁴-⁹⁺⁻⁽⁾ⁿⁱ]+/gu;
const LOWERED = /[₀-₉₊₋₍₎]+/gu;
const FRACTIONS = /[¼-¾⅐-⅞]/gu;
/** Full-width ASCII, and letters and digits in mathematical styles. */
const STYLED = /[\uFF01-\uFF5E\u{1D400}-\u{1D7FF}]/gu;
const OTHER_DIGITS = /(?![0-9])\p{Nd}/gu;

/** Rewrites what LaTeX and ASCII can spell: x² as x^{2}, ٣ and ３ as 3, ⅔ as \frac{2}{3}; drops what has no width. */
export function inAscii(text: string): string {
  if (/^[\x20-\x7E\n\t]*$/.test(text)) return text;
  return text
    .replace(/\p{Cf}/gu, "")
    .replace(/\p{Zs}/gu, " ")
    .replace(FRACTIONS, (sign) => sign.normalize("NFKC").replace(/^(\d+)⁄(\d+)$/u, "\\frac{$1}{$2}"))
    .replace(RAISED, (run) => `^{${run.normalize("NFKC")}}`)
    .replace(LOWERED, (run) => `_{${run.normalize("NFKC")}}`)
    .replace(STYLED, (sign) => sign.normalize("NFKC"))
    .replace(OTHER_DIGITS, (digit) => String(digitValue(digit)));
}

/** Unicode puts the ten digits of a script in a row that begins at a multiple of 16, or 6 behind one. */
function digitValue(digit: string): number {
  const code = digit.codePointAt(0) ?? 0;
  const start = code - (code % 16);
  return /^\p{Nd}$/u.test(String.fromCodePoint(start)) ? code - start : code - start - 6;
}
