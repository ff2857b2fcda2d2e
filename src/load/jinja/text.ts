/** Python's operations on texts: sequences of code points, with Python's definition of white space. */

/** White space of `str.isspace` and `\s` in Python's `re`, as the inside of a character class. Excludes U+FEFF. */
const SPACE = "\\t-\\r\\x1c- \\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000";
const IS_SPACE = new RegExp(`^[${SPACE}]+$`);
const WORDS = new RegExp(`[^${SPACE}]+`, "g");
const SPACE_SET = new Set(
  Array.from({ length: 0x3001 }, (_, code) => String.fromCharCode(code)).filter((one) => IS_SPACE.test(one)),
);
const HAS_ASTRAL = /[\ud800-\udbff][\udc00-\udfff]/;

export const isSpace = (text: string): boolean => IS_SPACE.test(text);

export function codePoints(text: string): readonly string[] {
  return HAS_ASTRAL.test(text) ? Array.from(text) : text.split("");
}

/** `len(text)`. */
export function lengthOf(text: string): number {
  if (!HAS_ASTRAL.test(text)) return text.length;
  let length = 0;
  for (const _ of text) length++;
  return length;
}

/** Converts a UTF-16 index to a code point index. */
export function toCodePointIndex(text: string, index: number): number {
  return index <= 0 ? index : lengthOf(text.slice(0, index));
}

/** `text.strip(chars)`, `lstrip` and `rstrip`; `chars` defaults to white space. */
export function strip(text: string, chars: string | undefined, left: boolean, right: boolean): string {
  const set = chars === undefined ? SPACE_SET : new Set(chars);
  const units = chars !== undefined && HAS_ASTRAL.test(chars) ? codePoints(text) : text;
  let start = 0;
  let end = units.length;
  while (left && start < end && set.has(units[start] ?? "")) start++;
  while (right && end > start && set.has(units[end - 1] ?? "")) end--;
  return typeof units === "string" ? units.slice(start, end) : units.slice(start, end).join("");
}

/** `text.split(None, max)`; a `max` of -1 sets no limit. */
export function splitWords(text: string, max: number): string[] {
  const parts: string[] = [];
  for (const match of text.matchAll(WORDS)) {
    if (max >= 0 && parts.length === max) {
      // Python keeps trailing white space in the unsplit rest
      parts.push(text.slice(match.index));
      return parts;
    }
    parts.push(match[0]);
  }
  return parts;
}

/** `text.rsplit(None, max)`. */
export function splitWordsRight(text: string, max: number): string[] {
  const matches = [...text.matchAll(WORDS)];
  if (max < 0 || matches.length <= max) return matches.map((match) => match[0]);
  const kept = max === 0 ? [] : matches.slice(-max);
  const last = matches[matches.length - kept.length - 1];
  const head = last === undefined ? [] : [text.slice(0, last.index + last[0].length)];
  return [...head, ...kept.map((match) => match[0])];
}

/** `text.split(separator, max)`. */
export function splitAt(text: string, separator: string, max: number): string[] {
  const parts = text.split(separator);
  if (max < 0 || parts.length <= max + 1) return parts;
  return [...parts.slice(0, max), parts.slice(max).join(separator)];
}

/** `text.rsplit(separator, max)`. */
export function splitAtRight(text: string, separator: string, max: number): string[] {
  const parts: string[] = [];
  let rest = text;
  while (max < 0 || parts.length < max) {
    const index = rest.lastIndexOf(separator);
    if (index < 0) break;
    parts.push(rest.slice(index + separator.length));
    rest = rest.slice(0, index);
  }
  return [...parts, rest].reverse();
}

/** `text.splitlines(keepends)`. */
export function splitLines(text: string, keepEnds: boolean): string[] {
  const lines: string[] = [];
  let start = 0;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: Python ends lines at them
  for (const match of text.matchAll(/\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]/g)) {
    const end = match.index + match[0].length;
    lines.push(text.slice(start, keepEnds ? end : match.index));
    start = end;
  }
  if (start < text.length) lines.push(text.slice(start));
  return lines;
}

/** `text.replace(old, new, count)`; a `count` of -1 replaces all. */
export function replaceText(text: string, old: string, replacement: string, count: number): string {
  if (count < 0) {
    if (old !== "") return text.split(old).join(replacement);
    const points = codePoints(text);
    return replacement + points.map((point) => point + replacement).join("");
  }
  if (old === "") {
    const points = codePoints(text);
    const made = points.map((point, i) => (i < count ? replacement : "") + point).join("");
    return made + (count > points.length ? replacement : "");
  }
  return splitAt(text, old, count).join(replacement);
}

/** `text.count(part)`: counts occurrences that do not overlap. */
export function countText(text: string, part: string): number {
  return part === "" ? lengthOf(text) + 1 : text.split(part).length - 1;
}

const TITLE_FORMS: Readonly<Record<string, string>> = {
  ǆ: "ǅ",
  Ǆ: "ǅ",
  ǉ: "ǈ",
  Ǉ: "ǈ",
  ǌ: "ǋ",
  Ǌ: "ǋ",
  ǳ: "ǲ",
  Ǳ: "ǲ",
};

function titleForm(point: string): string {
  const known = TITLE_FORMS[point];
  if (known !== undefined) return known;
  const [first = "", ...rest] = point.toUpperCase();
  return first + rest.join("").toLowerCase();
}

/** `text.capitalize()`. */
export function capitalize(text: string): string {
  const [first = "", ...rest] = text;
  return titleForm(first) + rest.join("").toLowerCase();
}

/** `text.title()`: capitalises every run of letters. */
export function titleWords(text: string): string {
  return text.replace(/[\p{L}\p{M}\p{Nl}]+/gu, (word) => capitalize(word));
}

/** Compares texts by code points; JavaScript's `<` compares UTF-16 units. */
export function compareText(a: string, b: string): number {
  const end = Math.min(a.length, b.length);
  for (let i = 0; i < end; i++) {
    const left = a.charCodeAt(i);
    const right = b.charCodeAt(i);
    if (left === right) continue;
    const isPair = (code: number) => code >= 0xd800 && code < 0xe000;
    if (isPair(left) !== isPair(right)) return isPair(left) ? 1 : -1;
    return left - right;
  }
  return a.length - b.length;
}

const ESCAPES: Readonly<Record<string, string>> = { "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t" };

/** `repr(text)`. */
export function reprText(text: string): string {
  const quote = text.includes("'") && !text.includes('"') ? '"' : "'";
  const body = text.replace(/[\\'"]|(?! )[\p{C}\p{Z}]/gu, (point) => {
    if (point === "'" || point === '"') return point === quote ? `\\${point}` : point;
    const known = ESCAPES[point];
    if (known !== undefined) return known;
    const hex = (point.codePointAt(0) ?? 0).toString(16);
    if (hex.length <= 2) return `\\x${hex.padStart(2, "0")}`;
    return hex.length <= 4 ? `\\u${hex.padStart(4, "0")}` : `\\U${hex.padStart(8, "0")}`;
  });
  return quote + body + quote;
}
