/** Numbers and expressions with a unit or a currency. */
import type { Answer } from "./answer.ts";
import { type Expression, negated } from "./expression.ts";
import { parseExpression } from "./parse-expression.ts";
import { integer } from "./rational.ts";
import { isMark } from "./token-lists.ts";
import type { Token } from "./tokens.ts";
import { canonicalUnit, multiplierOf } from "./units.ts";

const CURRENCIES: Readonly<Record<string, string | undefined>> = { $: "dollar", "€": "euro", "£": undefined };

/** An expression with the unit after it, or the currency before or after it. */
export function parseQuantity(tokens: readonly Token[]): Answer | undefined {
  const { amount, currency } = splitCurrency(tokens);
  const { before, words, power } = splitUnit(amount);
  const expression = parseExpression([...before, ...baseOf(words)]);
  if (!expression) return undefined;
  const multiplier = multiplierOf(words);
  if (multiplier !== undefined) return { kind: "expression", expression: scaled(expression, multiplier) };
  if (currency !== undefined) return withUnit(expression, CURRENCIES[currency]);
  const written = canonicalUnit(words, power);
  if (written !== undefined) return withUnit(expression, written);
  return withSign(expression, words.trim());
}

function withUnit(expression: Expression, unit: string | undefined): Answer {
  return { kind: "expression", expression, ...(unit === undefined ? {} : { unit }) };
}

/** 30 %, 30° and 30 °C as a number with a unit, below zero too. */
function withSign(expression: Expression, words: string): Answer {
  const isNegative = expression.kind === "product" && expression.factors.length === 2;
  const [sign, operand] = isNegative ? expression.factors : [undefined, expression];
  if (operand?.kind !== "call" || (sign && !isMinusOne(sign))) return withUnit(expression, undefined);
  const [inner] = operand.args;
  const degrees = /^[CF]$/.test(words) ? `degree ${words}` : "degree";
  const unit = operand.name === "percent" ? "percent" : operand.name === "degrees" ? degrees : undefined;
  if (!unit || !inner) return withUnit(expression, undefined);
  return withUnit(sign ? negated(inner) : inner, unit);
}

function isMinusOne(expression: Expression): boolean {
  return (
    expression.kind === "number" && expression.value.numerator === -1n && expression.value.denominator === 1n
  );
}

function splitCurrency(tokens: readonly Token[]): { amount: readonly Token[]; currency?: string } {
  const at = [0, 1, tokens.length - 1].find((i) => {
    const token = tokens[i];
    const isPlaced = i !== 1 || tokens.length === 2 || isMark(tokens[0], "-");
    return token?.kind === "mark" && Object.hasOwn(CURRENCIES, token.text) && isPlaced;
  });
  const currency = at === undefined ? undefined : tokens[at]?.text;
  return currency === undefined
    ? { amount: tokens }
    : { amount: tokens.filter((_, i) => i !== at), currency };
}

/** "(base 2)" behind digits says what an index says. */
function baseOf(words: string): readonly Token[] {
  const base = /^\s*\(?\s*(?:in\s+)?base\s+(\w{1,5})\s*\)?\s*$/i.exec(words)?.[1];
  if (base === undefined) return [];
  return [
    { kind: "mark", text: "_", isSpaced: false },
    { kind: "words", text: base, isSpaced: false },
  ];
}

function scaled(expression: Expression, by: number): Expression {
  return { kind: "product", factors: [{ kind: "number", value: integer(by) }, expression] };
}

/** Cuts the words at the end off: "\text{ cm}^2", "\text{ miles per hour}", "\text{ m}/\text{s}", "km/h". */
function splitUnit(tokens: readonly Token[]): { before: readonly Token[]; words: string; power: number } {
  const start = tokens.findIndex((token, i) => i > 0 && token.kind === "words");
  if (start < 0) return { before: tokens, words: "", power: 1 };
  const text = tokens
    .slice(start)
    .map((token) => (token.kind === "words" ? ` ${token.text} ` : token.text))
    .join("");
  const [, words = text, power = "1"] = /^(.*?)\s*\^\{?(\d)\}?\s*$/.exec(text) ?? [];
  const isUnit = /^(?:[\p{L}\s/.,'()°$%*-]|\s*\^\s*\{?-?\d\}?)*$/u.test(words) || baseOf(words).length > 0;
  return isUnit
    ? { before: tokens.slice(0, start), words, power: Number(power) }
    : { before: tokens, words: "", power: 1 };
}
