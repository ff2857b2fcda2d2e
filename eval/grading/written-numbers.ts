/** Numbers as answers write them: decimals, mixed fractions, repeating digits, digits in a base. */
import type { Expression } from "./expression.ts";
import { add, fromDecimal, multiply, power, type Rational, rational } from "./rational.ts";
import { NotAnExpression, type TokenCursor } from "./token-cursor.ts";

export function numberOf(value: Rational | undefined, places?: number): Expression {
  if (value === undefined) throw new NotAnExpression("a number is too long");
  return places === undefined ? { kind: "number", value } : { kind: "number", value, places };
}

/** A number as written; digits after its point count as places. */
export function writtenNumber(text: string): Expression {
  const places = text.includes(".") ? text.length - text.indexOf(".") - 1 : undefined;
  return numberOf(fromDecimal(text), places);
}

/** Reads what may belong to a number whose token was taken: a base, a fraction, a repeating part. */
export function readNumber(tokens: TokenCursor, text: string): Expression {
  if (tokens.take("_")) return based(text, readBase(tokens));
  const dots = tokens.isMark(".") ? 1 : 0;
  const isRepeating = tokens.isCommand("overline", dots) || tokens.isCommand("dot", dots);
  if ((dots > 0 || text.includes(".")) && isRepeating) {
    tokens.skip(dots + 1);
    return repeating(text, tokens.takeText());
  }
  if (!/^\d+$/.test(text)) return writtenNumber(text);
  if (tokens.isCommand("frac") && isPlainFraction(tokens)) return mixed(tokens, text);
  return plainMixed(tokens, text) ?? writtenNumber(text);
}

const BASES: readonly string[] = ["two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];

/** What follows the sign of an index: a number, or its name. */
export function readBase(tokens: TokenCursor): string {
  const text = tokens.takeText().trim();
  const index = BASES.indexOf(text.toLowerCase());
  return index < 0 ? text : String(index + 2);
}

/** Digits in a base. Throws NotAnExpression unless the base is a whole number from 2 to 36. */
export function based(digits: string, base: string): Expression {
  const radix = /^\d{1,2}$/.test(base) ? Number(base) : 0;
  if (!(radix >= 2 && radix <= 36)) throw new NotAnExpression("no such base");
  return { kind: "based", digits, base: radix };
}

/** 0.1\overline{6}: the digits under the bar repeat. */
function repeating(text: string, digits: string): Expression {
  if (!/^\d{1,100}$/.test(digits)) throw new NotAnExpression("no digits repeat");
  const [whole = "0", fixed = ""] = text.split(".");
  if (whole.length + fixed.length > 100) throw new NotAnExpression("a number is too long");
  const scale = 10n ** BigInt(fixed.length);
  const start = rational(BigInt(`${whole}${fixed}`), scale);
  const tail = rational(BigInt(digits), scale * (10n ** BigInt(digits.length) - 1n));
  return numberOf(start && tail && add(start, tail));
}

/** Looks ahead, since trying to parse the fraction twice would double the work at every level of nesting. */
function isPlainFraction(tokens: TokenCursor): boolean {
  let ahead = 1;
  for (let found = 0; found < 2; ) {
    const isGroup = tokens.isMark("{", ahead);
    const token = tokens.peek(isGroup ? ahead + 1 : ahead);
    if (token?.kind !== "number" || !/^\d*[1-9]\d*$/.test(token.text)) return false;
    if (isGroup && !tokens.isMark("}", ahead + 2)) return false;
    ahead += isGroup ? 3 : 1;
    found += isGroup ? 1 : token.text.length;
  }
  return true;
}

/** 1\frac{4}{5} is 9/5, if both parts are whole numbers; another fraction after a number is a factor. */
function mixed(tokens: TokenCursor, whole: string): Expression {
  tokens.skip(1);
  const part = () => fromDecimal(tokens.isMark("{") ? tokens.takeText() : tokens.takeDigit());
  const [top, bottom] = [part(), part()];
  return wholeAndFraction(whole, top, bottom);
}

/** 4 2/3; undefined if no such fraction follows. */
function plainMixed(tokens: TokenCursor, whole: string): Expression | undefined {
  const [top, bottom] = [tokens.peek(), tokens.peek(2)];
  const areWhole = [top, bottom].every((token) => token?.kind === "number" && /^\d+$/.test(token.text));
  if (!top?.isSpaced || !areWhole || !tokens.isMark("/", 1)) return undefined;
  tokens.skip(3);
  return wholeAndFraction(whole, fromDecimal(top.text), fromDecimal(bottom?.text ?? ""));
}

function wholeAndFraction(
  whole: string,
  top: Rational | undefined,
  bottom: Rational | undefined,
): Expression {
  const inverse = bottom && power(bottom, -1n);
  const fraction = top && inverse && multiply(top, inverse);
  const integral = fromDecimal(whole);
  return numberOf(integral && fraction && add(integral, fraction));
}
