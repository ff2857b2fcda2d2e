/** Finds maths in an answer: TeX between marks, in a box, or in an environment that displays it. */

export interface Maths {
  /** Without the marks around it. A box and an environment are TeX themselves. */
  readonly tex: string;
  readonly isDisplayed: boolean;
  /** Index after its end. */
  readonly end: number;
  /** True if the text ends before it does. */
  readonly isOpen: boolean;
}

/** Opening and closing marks, the longer ones first. */
const MARKS = [
  { open: "$$", close: "$$", isDisplayed: true },
  { open: "\\[", close: "\\]", isDisplayed: true },
  { open: "\\(", close: "\\)", isDisplayed: false },
  { open: "$", close: "$", isDisplayed: false },
] as const;
/** Models write their final answer so, often outside of any marks. */
const BOX = "\\boxed{";
const ENVIRONMENT = /^\\begin\{((?:equation|align|alignat|gather|multline|CD)\*?)\}/;
/** Characters of maths that may still be coming between single dollars. More of them are rather a price in a sentence. */
const MAX_OPEN = 200;

/**
 * The maths that begins at an index.
 * before: the character before it, if another text has it
 */
export function mathsAt(text: string, at: number, before = text[at - 1]): Maths | undefined {
  if (text[at] === "$") return isDollarMark(text, at, before) ? betweenMarks(text, at) : undefined;
  if (text[at] !== "\\") return undefined;
  if (text.startsWith(BOX, at)) {
    const close = endOfBraces(text, at + BOX.length);
    const end = close ?? text.length;
    return { tex: text.slice(at, end), isDisplayed: false, end, isOpen: close === undefined };
  }
  const [begin, name] = ENVIRONMENT.exec(text.slice(at, at + 24)) ?? [];
  if (begin === undefined) return betweenMarks(text, at);
  const close = `\\end{${name}}`;
  const stop = text.indexOf(close, at + begin.length);
  const end = stop < 0 ? text.length : stop + close.length;
  return { tex: text.slice(at, end), isDisplayed: true, end, isOpen: stop < 0 };
}

/** Indices of all maths in a text, in order: from and up to. */
export function mathsSpans(text: string): { readonly from: number; readonly maths: Maths }[] {
  const spans: { from: number; maths: Maths }[] = [];
  for (let at = 0; at < text.length; ) {
    const maths = mathsAt(text, at);
    if (maths) spans.push({ from: at, maths });
    at = maths ? maths.end : at + (text[at] === "\\" ? 2 : 1);
  }
  return spans;
}

/** The text with another character for each of its maths, so that nobody takes a star in it for emphasis. */
export function withoutMaths(text: string): string {
  let masked = "";
  let at = 0;
  for (const { from, maths } of mathsSpans(text)) {
    if (maths.isOpen) continue;
    masked += text.slice(at, from) + "x".repeat(maths.end - from);
    at = maths.end;
  }
  return masked + text.slice(at);
}

function betweenMarks(text: string, at: number): Maths | undefined {
  const mark = MARKS.find(({ open }) => text.startsWith(open, at));
  if (!mark) return undefined;
  const { open, close, isDisplayed } = mark;
  const start = at + open.length;
  const stop = closeOf(text, start, close);
  const tex = text.slice(start, stop);
  if (stop === undefined) {
    const mayCome = open !== "$" || isInlineSoFar(tex);
    return mayCome ? { tex: tex.trim(), isDisplayed, end: text.length, isOpen: true } : undefined;
  }
  if (tex.trim() === "" || (open === "$" && !isInline(tex, text[stop + 1]))) return undefined;
  return { tex: tex.trim(), isDisplayed, end: stop + close.length, isOpen: false };
}

/** False after a number or a word, where a dollar is a currency ("5$"), unless an exponent or a command follows ("10$^3$"). */
function isDollarMark(text: string, at: number, before: string | undefined): boolean {
  return !/[0-9A-Za-z]/.test(before ?? "") || /[\^_\\{]/.test(text[at + 1] ?? "");
}

/** False for what is rather two prices in one line: "$5 and $6", "($5 or 6$)". */
function isInline(tex: string, next: string | undefined): boolean {
  return !/^\s|\s$|[\n`]|^[\d.,]+\s+[a-z]{2,}/i.test(tex) && !/\d/.test(next ?? "");
}

/** False for a dollar that begins a price, or is a sign of its own. */
function isInlineSoFar(tex: string): boolean {
  return tex.length < MAX_OPEN && /^[^\s\d`][^\n`]*$/.test(tex);
}

/** Index of the closing mark; undefined if there is none. A backslash takes the character after it. */
function closeOf(text: string, from: number, close: string): number | undefined {
  for (let i = from; i < text.length; i++) {
    if (text.startsWith(close, i)) return i;
    if (text[i] === "\\") i++;
    else if (close === "$" && text[i] === "\n") return undefined; // these marks end in their line
  }
  return undefined;
}

/** Index after the brace that closes the one before `at`. */
function endOfBraces(text: string, at: number): number | undefined {
  let depth = 1;
  for (let i = at; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth === 0) return i + 1;
  }
  return undefined;
}
