/** Lists of tokens: their marks, and their parts between separators. */
import type { Token } from "./tokens.ts";

const OPENING = new Set(["(", "[", "{", "\\{", "⟨", "⌊", "⌈"]);
const CLOSING = new Set([")", "]", "}", "\\}", "⟩", "⌋", "⌉"]);

export function isMark(token: Token | undefined, text: string): boolean {
  return token?.kind === "mark" && token.text === text;
}

/** Splits tokens at separators outside all brackets; `separators` has what was between the parts. */
export function splitAt(tokens: readonly Token[], test: (token: Token) => boolean) {
  const parts: Token[][] = [[]];
  const separators: Token[] = [];
  let depth = 0;
  for (const token of tokens) {
    if (token.kind === "mark" && OPENING.has(token.text)) depth++;
    else if (token.kind === "mark" && CLOSING.has(token.text)) depth--;
    else if (token.kind === "command" && token.text === "begin") depth++;
    else if (token.kind === "command" && token.text === "end") depth--;
    if (depth === 0 && test(token)) {
      separators.push(token);
      parts.push([]);
    } else parts.at(-1)?.push(token);
  }
  return { parts, separators };
}

/** True if the bracket that opens the tokens closes at their end. */
export function isBracketed(tokens: readonly Token[]): boolean {
  let depth = 0;
  for (const [i, token] of tokens.entries()) {
    if (token.kind !== "mark") continue;
    if (OPENING.has(token.text)) depth++;
    else if (CLOSING.has(token.text) && --depth === 0) return i === tokens.length - 1;
  }
  return false;
}

/** The tokens' texts in a row. */
export function textOf(tokens: readonly Token[]): string {
  return tokens.map(({ text }) => text).join("");
}
