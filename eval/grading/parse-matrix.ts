/** Matrices, and their multiples. */
import type { Answer } from "./answer.ts";
import type { Expression } from "./expression.ts";
import { parseExpression } from "./parse-expression.ts";
import { integer } from "./rational.ts";
import { isBracketed, isMark, splitAt, textOf } from "./token-lists.ts";
import type { Token } from "./tokens.ts";

type Matrix = Answer & { readonly kind: "matrix" };
/** Reads the cells of one row; undefined if one is no answer. */
type ParseCells = (cells: readonly (readonly Token[])[]) => readonly Answer[] | undefined;

const MAX_ROWS = 64;

/** A matrix, bare or in brackets; with a factor before it, and with ^T behind it. undefined if the tokens are none. */
export function parseMatrix(tokens: readonly Token[], parseCells: ParseCells): Answer | undefined {
  const begin = tokens.findIndex(isBegin);
  if (begin < 0) return undefined;
  const isOpened = isMark(tokens[begin - 1], "(") || isMark(tokens[begin - 1], "[");
  const start = isOpened ? begin - 1 : begin;
  const transposes = /^\^\{?(?:T|top)\}?$/.test(textOf(tokens.slice(lastPower(tokens))));
  const matrix = bareMatrix(tokens.slice(start, transposes ? lastPower(tokens) : tokens.length), parseCells);
  const factor = factorOf(tokens.slice(0, start));
  if (!matrix || !factor) return undefined;
  if (start === 0 && !transposes) return matrix;
  if (matrix.isDeterminant) return undefined;
  const rows = transposes ? transposed(matrix.rows) : matrix.rows;
  return { ...matrix, rows: rows.map((row) => row.map((cell) => multiplied(cell, factor))) };
}

function isBegin(token: Token | undefined): boolean {
  return token?.kind === "command" && token.text === "begin";
}

function lastPower(tokens: readonly Token[]): number {
  const at = tokens.findLastIndex((token) => isMark(token, "^"));
  return at < 0 ? tokens.length : at;
}

const ONE: Expression = { kind: "number", value: integer(1) };
const MINUS_ONE: Expression = { kind: "number", value: integer(-1) };

function factorOf(tokens: readonly Token[]): Expression | undefined {
  if (tokens.length === 0) return ONE;
  if (tokens.length === 1 && isMark(tokens[0], "-")) return MINUS_ONE;
  return parseExpression(isMark(tokens.at(-1), "*") ? tokens.slice(0, -1) : tokens);
}

function multiplied(cell: Answer, factor: Expression): Answer {
  if (cell.kind !== "expression" || factor === ONE) return cell;
  return { ...cell, expression: { kind: "product", factors: [factor, cell.expression] } };
}

function transposed(rows: Matrix["rows"]): Matrix["rows"] {
  return (rows[0] ?? []).map((_, i) => rows.flatMap((row) => row.slice(i, i + 1)));
}

/** \begin{pmatrix} a & b \\ c & d \end{pmatrix}, with any brackets; the last row may be empty. */
function bareMatrix(tokens: readonly Token[], parseCells: ParseCells): Matrix | undefined {
  if (!isBegin(tokens[0]))
    return isBracketed(tokens) ? bareMatrix(tokens.slice(1, -1), parseCells) : undefined;
  const begin = environmentAt(tokens, 0);
  const end = tokens.findLastIndex((token) => token.kind === "command" && token.text === "end");
  const name = begin?.name ?? "";
  const closing = end < 0 ? undefined : environmentAt(tokens, end);
  if (
    closing?.name !== name ||
    closing.next !== tokens.length ||
    !/^([pbBvV]|small)?matrix$|^array$/.test(name)
  )
    return undefined;
  let start = begin?.next ?? 0;
  if (name === "array") start = tokens.findIndex((token, i) => i >= start && isMark(token, "}")) + 1;
  const rows: (readonly Answer[])[] = [];
  for (const row of splitAt(tokens.slice(start, end), (token) => isMark(token, "\\\\")).parts) {
    if (row.length === 0) continue;
    const cells = parseCells(splitAt(row, (token) => isMark(token, "&")).parts);
    if (!cells || rows.length >= MAX_ROWS) return undefined;
    rows.push(cells);
  }
  return rows.length === 0 ? undefined : { kind: "matrix", isDeterminant: /^[vV]/.test(name), rows };
}

/** The name in the braces after \begin or \end at an index, and where they end. */
function environmentAt(tokens: readonly Token[], index: number): { name: string; next: number } | undefined {
  const close = tokens.findIndex((token, i) => i > index && isMark(token, "}"));
  if (!isMark(tokens[index + 1], "{") || close < 0) return undefined;
  return { name: textOf(tokens.slice(index + 2, close)), next: close + 1 };
}
