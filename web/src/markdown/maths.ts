/** Finds maths in an answer. */

export type Segment =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "maths"; readonly tex: string; readonly isDisplayed: boolean };

/** Opening and closing marks, the longer ones first. */
const MARKS = [
  { open: "$$", close: "$$", isDisplayed: true },
  { open: "\\[", close: "\\]", isDisplayed: true },
  { open: "\\(", close: "\\)", isDisplayed: false },
  { open: "$", close: "$", isDisplayed: false },
] as const;
/** Models write their final answer so, often outside of any marks. */
const BOX = "\\boxed{";

/** Splits a text into maths and the rest. Maths that has not ended yet is text, so that a stream changes it once. */
export function splitMaths(text: string): Segment[] {
  const segments: Segment[] = [];
  let from = 0;
  for (let at = 0; at < text.length; ) {
    const found = mathsAt(text, at);
    if (!found) {
      at++;
      continue;
    }
    if (at > from) segments.push({ kind: "text", text: text.slice(from, at) });
    segments.push({ kind: "maths", tex: found.tex, isDisplayed: found.isDisplayed });
    from = at = found.end;
  }
  if (from < text.length) segments.push({ kind: "text", text: text.slice(from) });
  return segments;
}

/** True if a text has maths that has ended. */
export function hasMaths(text: string): boolean {
  return splitMaths(text).some(({ kind }) => kind === "maths");
}

function mathsAt(text: string, at: number) {
  const character = text[at];
  if (character !== "$" && character !== "\\") return undefined;
  if (text.startsWith(BOX, at)) {
    const end = endOfBraces(text, at + BOX.length);
    return end === undefined ? undefined : { tex: text.slice(at, end), end, isDisplayed: false };
  }
  for (const { open, close, isDisplayed } of MARKS) {
    if (!text.startsWith(open, at)) continue;
    const start = at + open.length;
    const stop = text.indexOf(close, start);
    const tex = stop < 0 ? "" : text.slice(start, stop);
    if (tex.trim() === "" || (open === "$" && !isInline(tex, text[stop + 1]))) return undefined;
    return { tex: tex.trim(), end: stop + close.length, isDisplayed };
  }
  return undefined;
}

/** False for two prices in one line: "$5 and $6". */
function isInline(tex: string, next: string | undefined): boolean {
  return !/^\s|\s$|\n/.test(tex) && !/\d/.test(next ?? "");
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
