/** Spellings that other notation of the same says as well: they are rewritten before an answer is read. */

/** A number as some countries and programs group its digits, and what it is without groups. */
const GROUPED: readonly RegExp[] = [
  /^[-+]?\d{1,3}(?:'\d{3})+(?:\.\d+)?$/,
  /^[-+]?\d{1,3}(?:_\d{3})+(?:\.\d+)?$/,
  /^[-+]?\d{1,2}(?:,\d{2})+,\d{3}(?:\.\d+)?$/,
];
/** 1.234.567,8 and 1.234,5: points between groups, and a comma before the decimals. One point alone is a decimal point. */
const POINTS_GROUP = /^[-+]?\d{1,3}(?:(?:\.\d{3}){2,}(?:,\d+)?|(?:\.\d{3})+,\d+)$/;

/** The digits of a grouped number; undefined for other texts. */
export function withoutGroups(text: string): string | undefined {
  const bare = text.replace(/^\$|\$$/g, "").trim();
  if (GROUPED.some((pattern) => pattern.test(bare))) return bare.replace(/['_,]/g, "");
  return POINTS_GROUP.test(bare) ? bare.replaceAll(".", "").replace(",", ".") : undefined;
}

const ONES = [
  ...["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"],
  ...["twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"],
];
const TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"];

/** The whole number below 100 that a text spells in English; undefined for other texts. */
export function numberInWords(text: string): string | undefined {
  const words = text
    .replace(/^\$|\$$|[{}]|\\(?:text|textbf|mathrm|mbox)(?=\s*\{)/g, "")
    .trim()
    .toLowerCase();
  if (ONES.includes(words)) return String(ONES.indexOf(words));
  const [, ten = "", one] = /^(\p{L}+ty)(?:[- ](\p{L}+))?$/u.exec(words) ?? [];
  const [tens, ones] = [TENS.indexOf(ten), one === undefined ? 0 : ONES.indexOf(one)];
  return tens < 0 || ones < 0 || ones > 9 || (one !== undefined && ones === 0)
    ? undefined
    : String((tens + 2) * 10 + ones);
}

const UNIT = String.raw`\{\s*\\(?:text|mathrm)\s*\{\s*([A-Za-z]{1,3})\s*\}\s*(\^\s*\{?\d\}?)?\s*\}`;
const REWRITES: readonly (readonly [RegExp, string])[] = [
  // a colon that keeps its blanks
  [/\{\s*:\s*\}/g, ":"],
  // 1.5 x 10^-3
  [/(?<=\d)\s*[xX]\s*(?=10\s*\^)/g, "*"],
  // digits that repeat: 0.(3)
  [/^(\s*[-+]?\s*\d+\.\d{0,9})\((\d{1,9})\)\s*$/, String.raw`$1\overline{$2}`],
  // the modulus of a residue
  [
    /\(\s*(?:\\(?:text|mathrm|operatorname)\s*\{\s*mod\s*\}|\\?mod(?![A-Za-z]))\s*([^()]{1,20})\)/g,
    String.raw`\pmod{$1}`,
  ],
  // a quotient of units
  [new RegExp(String.raw`\\[dt]?frac\s*${UNIT}\s*${UNIT}`, "g"), String.raw`\text{ $1$2/$3$4}`],
  [/(?<=\d\s?)\\Omega\s*$/g, String.raw`\text{ ohm}`],
  [/^\s*(?:Rs\.?|USD|EUR|INR)\s*(?=\d)/g, ""],
  // numbers above or below zero
  [/\\R(?![A-Za-z])|\\Bbb\s*\{?R\}?/g, String.raw`\mathbb{R}`],
  [/\\mathbb\s*\{?R\}?\s*(?:\^\s*\{?\+\}?|_\s*\{\s*>\s*0\s*\})(?![\d^])/g, String.raw`(0,\infty)`],
  [/\\mathbb\s*\{?R\}?\s*(?:\^\s*\{?-\}?|_\s*\{\s*<\s*0\s*\})(?![\d^])/g, String.raw`(-\infty,0)`],
  [/\\mathbb\s*\{?R\}?\s*_\s*\{\s*\\geq?\s*0\s*\}/g, String.raw`[0,\infty)`],
  [/(?<=\\mathbb\s?\{?R\}?)\s*-\s*(?=\\\{)/g, String.raw`\setminus `],
];

/** Digits behind a point of which a block repeats, and dots: 0.1666… */
const DOTTED = /(\d+)\.(\d{1,40})\s*(?:\.\.\.|…|\\[lc]?dots)\s*$/;

/** Rewrites a text whose brackets, spaces and characters are plain already. */
export function rewritten(text: string): string {
  let result = text;
  for (const [pattern, by] of REWRITES) result = result.replace(pattern, by);
  return withBracketsTurned(withRepeatingDigits(result));
}

function withRepeatingDigits(text: string): string {
  const [, whole = "", digits = ""] = DOTTED.exec(text) ?? [];
  for (let length = 1; 2 * length <= digits.length; length++) {
    const block = digits.slice(-length);
    let start = digits.length;
    while (start >= length && digits.slice(start - length, start) === block) start -= length;
    // a block of one digit needs three to be seen
    if (digits.length - start >= Math.max(3, 2 * length))
      return text.replace(DOTTED, `${whole}.${digits.slice(0, start)}\\overline{${block}}`);
  }
  return text;
}

/** ]a,b[ is the open interval, as some countries write it. */
function withBracketsTurned(text: string): string {
  if (!/^\s*\]|\[\s*$/.test(text)) return text;
  const isPair = (inner: string) => /^[^,;]+[,;][^,;]+$/.test(inner);
  const turn = (pattern: RegExp, open: string, close: string) => (given: string) =>
    given.replace(pattern, (all, inner: string) => (isPair(inner) ? `${open}${inner}${close}` : all));
  const open = turn(/\]([^[\]]+)\[/g, "(", ")")(text);
  return turn(/\[([^[\]]+)\[/g, "[", ")")(turn(/\]([^[\]]+)\]/g, "(", "]")(open));
}
