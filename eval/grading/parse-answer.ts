/** The text of an answer to its structure. */
import type { Answer, Relation, SetOperation } from "./answer.ts";
import { type Expression, hasPart } from "./expression.ts";
import { tidy } from "./notation.ts";
import { parseExpression } from "./parse-expression.ts";
import { parseMatrix } from "./parse-matrix.ts";
import { parseQuantity } from "./parse-quantity.ts";
import { rewritten } from "./rewrite.ts";
import { plainText } from "./text.ts";
import { isBracketed, isMark, splitAt, textOf } from "./token-lists.ts";
import { type Token, type TokenOptions, tokenise } from "./tokens.ts";

const RELATIONS: readonly string[] = ["=", "!=", "<", ">", "<=", ">="];
const SET_OPERATIONS: readonly string[] = ["∪", "∩", "∖"];
const MAX_ITEMS = 64;
const MAX_DEPTH = 12;

/** Reads an answer; one that is no mathematics is a text. undefined if it is neither, such as an unbalanced bracket. */
export function parseAnswer(text: string, options: TokenOptions): Answer | undefined {
  const tokens = tokenise(withoutStrayBraces(rewritten(tidy(text))).replace(/[.,;:\s]+$/, ""), options);
  if (!tokens || tokens.length === 0) return undefined;
  if (tokens.every(({ kind }) => kind === "words")) return textAnswer(text);
  const isLed = isMark(tokens[0], "=") || isMark(tokens[0], "≈") || isSentence(tokens[0]);
  return (
    parseList(isLed ? tokens.slice(1) : tokens, 0) ??
    (tokens[0]?.kind === "words" ? { kind: "text", text } : undefined)
  );
}

/** \text{The probability is } before a value. */
function isSentence(token: Token | undefined): boolean {
  return token?.kind === "words" && /\s(?:is|are|equals)\s*:?$/i.test(token.text);
}

function textAnswer(text: string): Answer {
  const isReal = plainText(text) === "ℝ";
  return isReal
    ? { kind: "expression", expression: { kind: "symbol", name: "set R" } }
    : { kind: "text", text };
}

/** Cuts closing braces off the end that nothing opens. */
function withoutStrayBraces(text: string): string {
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    if (text[i] === "\\") i++;
    else if (text[i] === "{") depth++;
    else if (text[i] === "}" && --depth < 0) return /^[\s}]*$/.test(text.slice(i)) ? text.slice(0, i) : text;
  }
  return text;
}

function isListSeparator(token: Token): boolean {
  if (token.kind === "mark") return token.text === "," || token.text === ";";
  return token.kind === "words" && /^(?:,? ?and|,? ?or|,)$/i.test(token.text);
}

/** Values between commas, "and" or "or"; a single value is itself. */
function parseList(tokens: readonly Token[], depth: number): Answer | undefined {
  const parts = splitAt(tokens, isListSeparator).parts.filter((part) => part.length > 0);
  const [first] = parts;
  if (!first || parts.length > MAX_ITEMS || depth > MAX_DEPTH) return undefined;
  if (parts.length === 1) return parseItem(first, depth);
  const items = parseAll(parts, depth);
  return items && ofOneName(items);
}

function parseAll(parts: readonly (readonly Token[])[], depth: number): readonly Answer[] | undefined {
  const items: Answer[] = [];
  for (const part of parts) {
    const item = parseItem(part, depth + 1);
    if (!item) return undefined;
    items.push(item);
  }
  return items;
}

/** "x = 1, 2" and "x = 1, x = 2" are the values 1 and 2 of x. */
function ofOneName(items: readonly Answer[]): Answer {
  const [first, ...others] = items;
  const isShared = (item: Answer) =>
    item.kind === "expression" || (item.kind === "assignment" && item.name === name);
  const name = first?.kind === "assignment" ? first.name : undefined;
  if (first?.kind !== "assignment" || !others.every(isShared)) return { kind: "list", items };
  const values = items.map((item) => (item.kind === "assignment" ? item.value : item));
  return { kind: "assignment", name: first.name, value: { kind: "list", items: values } };
}

function parseItem(tokens: readonly Token[], depth: number): Answer | undefined {
  if (depth > MAX_DEPTH || tokens.length === 0) return undefined;
  if (tokens.every(({ kind }) => kind === "words"))
    return { kind: "text", text: tokens.map(({ text }) => text).join(" ") };
  const [residue = [], ...moduli] = splitAt(tokens, (token) => isMark(token, "pmod")).parts;
  if (moduli.length > 0) return parseResidue(residue, moduli.flat(), depth);
  const [member = [], ...sets] = splitAt(tokens, (token) => isMark(token, "∈")).parts;
  if (sets.length > 0) return sets.length === 1 ? parseMember(member, sets[0] ?? [], depth) : undefined;
  const approximate = tokens.findIndex((token) => isMark(token, "≈"));
  if (approximate > 0) return parseItem(beforeApproximation(tokens, approximate), depth + 1);
  const { parts, separators } = splitAt(
    tokens,
    (token) => token.kind === "mark" && RELATIONS.includes(token.text),
  );
  if (separators.length > 0)
    return parseRelation(
      parts,
      separators.map(({ text }) => text),
      depth,
    );
  return (
    parseCombination(tokens, depth) ??
    parseRatio(tokens) ??
    parseMatrix(tokens, (cells) => parseAll(cells, depth)) ??
    parseBracketed(tokens, depth) ??
    parseQuantity(tokens)
  );
}

/** 5 (mod 7), and x ≡ 5 (mod 7): the modulus is as a unit, which may be left out. */
function parseResidue(
  tokens: readonly Token[],
  modulus: readonly Token[],
  depth: number,
): Answer | undefined {
  const residue = parseItem(tokens, depth + 1);
  const unit = `mod ${textOf(modulus).replace(/[{}]/g, "")}`;
  if (residue?.kind === "expression") return residue.unit === undefined ? { ...residue, unit } : undefined;
  if (residue?.kind !== "assignment" || residue.value.kind !== "expression") return undefined;
  return { kind: "assignment", name: residue.name, value: { ...residue.value, unit } };
}

/** x ∈ A names the values of x. */
function parseMember(member: readonly Token[], set: readonly Token[], depth: number): Answer | undefined {
  const name = nameOf(member);
  const value = name === undefined ? undefined : parseItem(set, depth + 1);
  return name !== undefined && value ? { kind: "assignment", name, value } : undefined;
}

/** "1/3 ≈ 0.333" answers 1/3; "x ≈ 11" answers 11. */
function beforeApproximation(tokens: readonly Token[], at: number): readonly Token[] {
  const before = tokens.slice(0, at);
  return nameOf(before) === undefined ? before : tokens.slice(at + 1);
}

/** An equation that names a value, a chain of equal values, or a relation between expressions. */
function parseRelation(
  parts: readonly (readonly Token[])[],
  signs: readonly string[],
  depth: number,
): Answer | undefined {
  const isEquation = signs.every((sign) => sign === "=");
  const [left = [], right = []] = [parts[0], parts.at(-1)];
  const equation = parts.length === 2 ? relationOf(parts, signs) : undefined;
  if (isEquation) {
    const named = nameOf(left) ?? (nameOf(right) === undefined ? undefined : "");
    const isSwapped = named === "";
    const name = isSwapped ? nameOf(right) : named;
    if (name !== undefined) {
      const value = parseItem(isSwapped ? left : right, depth + 1);
      return value && { kind: "assignment", name, value, ...(equation ? { equation } : {}) };
    }
    if (parts.length > 2 || isNumericEquation(equation)) return parseItem(right, depth + 1);
  }
  return equation ?? relationOf(parts, signs);
}

function isNumericEquation(equation: Answer | undefined): boolean {
  if (equation?.kind !== "relation") return false;
  return !equation.sides.some((side) => hasPart(side, (part) => part.kind === "symbol"));
}

function relationOf(parts: readonly (readonly Token[])[], signs: readonly string[]): Answer | undefined {
  const sides: Expression[] = [];
  for (const part of parts) {
    const side = parseExpression(part);
    if (!side) return undefined;
    sides.push(side);
  }
  return {
    kind: "relation",
    sides,
    relations: signs.filter((sign): sign is Relation => RELATIONS.includes(sign)),
  };
}

/** P(A | B), E[X], and the lengths and areas |AB|, [ABC]. */
const MEASURES: readonly RegExp[] = [
  /^(?:P|Pr|E|Var|Cov|mathbb\{[PE]\})[([].+[)\]]$/,
  /^\|[A-Z]{2}\|$/,
  /^\[[A-Z]{3,6}\]$/,
  /^overline\{[A-Z]{2}\}$/,
];

/**
 * The left side of an assignment: words, or an expression of symbols alone, such as x, f(x), m+n, \angle ABC, or the name of a
 * probability, a length or an area.
 */
function nameOf(tokens: readonly Token[]): string | undefined {
  if (tokens.length === 0 || tokens.length > 24) return undefined;
  const spelled = textOf(tokens);
  if (MEASURES.some((pattern) => pattern.test(spelled)) && (spelled.startsWith("|") || isOneBracket(tokens)))
    return spelled;
  if (tokens.every(({ kind }) => kind === "words")) return tokens.map(({ text }) => text).join(" ");
  const isNamed = tokens.every(
    (token, i) =>
      (token.kind === "name" && !["pi", "infty", "i", "e"].includes(token.text)) ||
      (token.kind === "words" && i > 0) ||
      (token.kind === "command" && ["overline", "angle"].includes(token.text)) ||
      (token.kind === "mark" && ["(", ")", "+", "_", "{", "}", "'", ",", "*"].includes(token.text)) ||
      (token.kind === "number" &&
        (isMark(tokens[i - 1], "_") || isMark(tokens[i - 1], "(") || isMark(tokens[i - 1], "{"))),
  );
  return isNamed && tokens.some(({ kind }) => kind === "name")
    ? tokens.map(({ text }) => text).join("")
    : undefined;
}

/** True if the first bracket, braces aside if there are others, closes at the end. */
function isOneBracket(tokens: readonly Token[]): boolean {
  const at = (marks: string) => tokens.findIndex(({ kind, text }) => kind === "mark" && marks.includes(text));
  const open = Math.max(at("(["), 0) || at("{[(");
  return open >= 0 && isBracketed(tokens.slice(open));
}

function parseCombination(tokens: readonly Token[], depth: number): Answer | undefined {
  const { parts, separators } = splitAt(
    tokens,
    (token) => token.kind === "mark" && SET_OPERATIONS.includes(token.text),
  );
  const [operation] = SET_OPERATIONS.filter((sign): sign is SetOperation => isMark(separators[0], sign));
  if (operation === undefined || separators.some((separator) => separator.text !== operation))
    return undefined;
  const members = parts.length <= MAX_ITEMS ? parseAll(parts, depth) : undefined;
  return members && { kind: "combination", operation, parts: members };
}

const HALVES: ReadonlyMap<string, "am" | "pm"> = new Map([
  ["am", "am"],
  ["pm", "pm"],
]);

function parseRatio(tokens: readonly Token[]): Answer | undefined {
  const last = tokens.at(-1);
  const half = last?.kind === "words" ? HALVES.get(last.text.replace(/[.\s]/g, "").toLowerCase()) : undefined;
  const { parts } = splitAt(half ? tokens.slice(0, -1) : tokens, (token) => isMark(token, ":"));
  if (parts.length < 2) return undefined;
  const sides = parts.map(parseExpression).filter((side) => side !== undefined);
  const isClock =
    half !== undefined || parts.some((part) => part.length === 1 && /^0\d/.test(part[0]?.text ?? ""));
  if (sides.length !== parts.length) return undefined;
  return { kind: "ratio", parts: sides, isClock, ...(half === undefined ? {} : { half }) };
}

/** Sets, tuples, intervals and matrices. */
function parseBracketed(tokens: readonly Token[], depth: number): Answer | undefined {
  const [first, last] = [tokens[0], tokens.at(-1)];
  if (first?.kind !== "mark" || !isBracketed(tokens)) return undefined;
  const inner = tokens.slice(1, -1);
  if (first.text === "{") return parseList(inner, depth + 1);
  const { parts } = splitAt(inner, (token) => isMark(token, ",") || isMark(token, ";"));
  const isSet = first.text === "\\{" && isMark(last, "\\}");
  if (isSet && inner.length === 0) return { kind: "text", text: "∅" };
  if (isSet) {
    const condition = splitAt(inner, (token) => isMark(token, ":") || isMark(token, "|")).parts;
    if (condition.length === 2 && isMembers(condition[0] ?? []))
      return parseItem(condition[1] ?? [], depth + 1);
  }
  if (!isSet && parts.length < 2) return undefined;
  const items = parts.length <= MAX_ITEMS ? parseAll(parts, depth) : undefined;
  if (!items) return undefined;
  if (isSet) return { kind: "set", items };
  if (first.text === "⟨") return { kind: "tuple", open: "(", close: ")", items };
  const open = first.text === "(" || first.text === "[" ? first.text : undefined;
  const close = last?.text === ")" || last?.text === "]" ? last.text : undefined;
  return open && close && { kind: "tuple", open, close, items };
}

/** x, or x ∈ ℝ: what a set's condition is about. */
function isMembers(tokens: readonly Token[]): boolean {
  const [name = [], ...sets] = splitAt(tokens, (token) => isMark(token, "∈")).parts;
  return nameOf(name) !== undefined && (sets.length === 0 || sets.map(textOf).join() === "mathbb{R}");
}
