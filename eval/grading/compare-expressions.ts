/** Whether two expressions are the same number or the same function. */
import { type Complex, type Evaluation, evaluateComplex } from "./evaluate-complex.ts";
import { areDecimalsEqual, evaluateDecimal } from "./evaluate-decimal.ts";
import { type ExactPoint, evaluateExactly, noSymbols } from "./evaluate-exact.ts";
import { type Expression, hasPart, symbolsOf } from "./expression.ts";
import { integer, isEqual, type Rational, rational, toNumber } from "./rational.ts";
import type { Work } from "./work.ts";

/** Places after the point from which a decimal may stand for a number that it rounds. */
const ROUNDED_PLACES = 6;
const TOLERANCE = 1e-9;
/** Points at which functions are compared, and how many of them both must be defined at. */
const POINTS = 8;
const MIN_POINTS = 3;
const MAX_SYMBOLS = 26;

/**
 * True if two expressions have the same value wherever both have one. Symbols are case-sensitive and stand for real numbers.
 * Fractions are compared exactly, everything else to 9 digits at several points and, where it is real, to 50 digits.
 * A decimal of at least 6 places equals what it rounds.
 */
export function areExpressionsEqual(a: Expression, b: Expression, work: Work): boolean {
  if (treeText(a) === treeText(b)) return true;
  if (a.kind === "based" || b.kind === "based") return areBasedEqual(a, b);
  const symbols = [...symbolsOf(b, symbolsOf(a))].sort();
  if (symbols.length > MAX_SYMBOLS) return false;
  if (symbols.length > 0) return areFunctionsEqual(a, b, pointsFor(symbols, work));
  const point = noSymbols(work);
  return areConstantsEqual(a, b, point) || isRounded(a, b, point) || isRounded(b, a, point);
}

/** An expression as text; the order of terms and factors does not matter. */
export function treeText(expression: Expression): string {
  switch (expression.kind) {
    case "number":
      return `${expression.value.numerator}/${expression.value.denominator}`;
    case "based":
      return `${expression.digits}_${expression.base}`;
    case "symbol":
    case "constant":
      return `${expression.kind} ${expression.name}`;
    case "sum":
      return `sum(${expression.terms.map(treeText).sort().join(";")})`;
    case "product":
      return `product(${expression.factors.map(treeText).sort().join(";")})`;
    case "quotient":
      return `quotient(${treeText(expression.top)};${treeText(expression.bottom)})`;
    case "power":
      return `power(${treeText(expression.base)};${treeText(expression.exponent)})`;
    case "call":
      return `${expression.name}(${expression.args.map(treeText).join(";")})`;
    default:
      return `${expression.sign}(${treeText(expression.operand)})`;
  }
}

/** Digits in a base equal the same digits in that base, or without one: the problem names it. Their value in base ten is another answer. */
function areBasedEqual(a: Expression, b: Expression): boolean {
  if (a.kind === "based" && b.kind === "based") return false;
  const [based, plain] = a.kind === "based" ? [a, b] : [b, a];
  if (based.kind !== "based" || plain.kind !== "number" || plain.places !== undefined) return false;
  return isEqual(plain.value, integer(BigInt(based.digits)));
}

function areConstantsEqual(a: Expression, b: Expression, point: ExactPoint): boolean {
  const exact = [evaluateExactly(a, point), evaluateExactly(b, point)] as const;
  if (exact[0] && exact[1]) return isEqual(exact[0], exact[1]);
  return isEqualAt(a, b, point) === true;
}

/**
 * True if `rounded` is a decimal of at least 6 places and agrees with `value` to 6 places and to less than one unit of its last place.
 * So 0.333333 and 0.3333333 stand for 1/3, 0.333 and 12.0000001 stand for themselves alone.
 * Beside another decimal it needs 6 digits that are not leading zeros: 0.0000672 is not 0.0000673.
 */
function isRounded(rounded: Expression, value: Expression, point: ExactPoint): boolean {
  if (rounded.kind !== "number" || (rounded.places ?? 0) < ROUNDED_PLACES) return false;
  const exact = evaluateDecimal(value, point);
  const written = evaluateDecimal(rounded, point);
  if (!exact || !written) return false;
  const places = Math.min(rounded.places ?? 0, 50);
  const digits = written.abs().times(`1e${places}`).toFixed(0).length;
  if (value.kind === "number" && value.places !== undefined && digits < ROUNDED_PLACES) return false;
  const isClose = exact.minus(written).abs().times(`1e${places}`).lt(1);
  return isClose && exact.toDecimalPlaces(ROUNDED_PLACES).eq(written.toDecimalPlaces(ROUNDED_PLACES));
}

/** True or false at a point where both have a value, undefined elsewhere. */
function isEqualAt(a: Expression, b: Expression, point: ExactPoint): boolean | undefined {
  const evaluation = asNumbers(point);
  const [x, y] = [evaluateComplex(a, evaluation), evaluateComplex(b, evaluation)];
  if (!isFiniteAt(x) || !isFiniteAt(y)) return undefined;
  const distance = Math.hypot(x.re - y.re, x.im - y.im);
  const size = Math.max(Math.hypot(x.re, x.im), Math.hypot(y.re, y.im));
  if (distance > TOLERANCE * size + 1e-13 * evaluation.scale) return false;
  const precise = [evaluateDecimal(a, point), evaluateDecimal(b, point)] as const;
  return precise[0] && precise[1] ? areDecimalsEqual(precise[0], precise[1], evaluation.scale) : true;
}

function isFiniteAt(value: Complex): boolean {
  return Number.isFinite(value.re) && Number.isFinite(value.im);
}

function asNumbers({ bindings, work }: ExactPoint): Evaluation {
  return { bindings: new Map([...bindings].map(([name, value]) => [name, toNumber(value)])), scale: 0, work };
}

/** True if the functions agree wherever both are real, or complex if i occurs in them, and there are enough such points. */
function areFunctionsEqual(a: Expression, b: Expression, points: readonly ExactPoint[]): boolean {
  const isComplex = [a, b].some((side) =>
    hasPart(side, (part) => part.kind === "constant" && part.name === "i"),
  );
  let agreed = 0;
  for (const point of points) {
    const exact = [evaluateExactly(a, point), evaluateExactly(b, point)] as const;
    if (!(exact[0] && exact[1]) && !isComplex && !(isRealAt(a, point) && isRealAt(b, point))) continue;
    const verdict = exact[0] && exact[1] ? isEqual(exact[0], exact[1]) : isEqualAt(a, b, point);
    if (verdict === false) return false;
    if (verdict === true) agreed++;
  }
  return agreed >= MIN_POINTS;
}

function isRealAt(expression: Expression, point: ExactPoint): boolean {
  const value = evaluateComplex(expression, asNumbers(point));
  return Math.abs(value.im) <= 1e-12 * Math.max(1, Math.abs(value.re));
}

/** Points without structure: fractions of a fixed sequence, between 0.2 and 3, every third point with some negative. */
function pointsFor(symbols: readonly string[], work: Work): readonly ExactPoint[] {
  return Array.from({ length: POINTS }, (_, point) => {
    const bindings = new Map<string, Rational>();
    for (const [i, name] of symbols.entries()) {
      const top = BigInt(200 + (((point * MAX_SYMBOLS + i + 1) * 245_489) % 2801));
      const isNegative = point % 3 === 2 && (i + point) % 2 === 0;
      const value = rational(isNegative ? -top : top, 997n);
      if (value) bindings.set(name, value);
    }
    return { bindings, work };
  });
}

/**
 * The constant that a function is of another: -2 for 4-2x and x-2. undefined if it is none, or 0.
 * Both sides of an equation moved to one side are compared like this.
 */
export function constantRatio(a: Expression, b: Expression, work: Work): number | undefined {
  const symbols = [...symbolsOf(b, symbolsOf(a))].sort();
  if (symbols.length === 0 || symbols.length > MAX_SYMBOLS) return undefined;
  const ratios: number[] = [];
  for (const point of pointsFor(symbols, work)) {
    const x = evaluateComplex(a, asNumbers(point));
    const y = evaluateComplex(b, asNumbers(point));
    if (!isFiniteAt(x) || !isFiniteAt(y) || x.im !== 0 || y.im !== 0 || Math.abs(y.re) < 1e-9) continue;
    ratios.push(x.re / y.re);
  }
  const [first] = ratios;
  if (first === undefined || ratios.length < MIN_POINTS || Math.abs(first) < 1e-12) return undefined;
  return ratios.every((ratio) => Math.abs(ratio - first) <= TOLERANCE * Math.abs(first)) ? first : undefined;
}

/** The value of a real constant, infinite ones included; undefined if there is none. */
export function realValue(expression: Expression, work: Work): number | undefined {
  const value = evaluateComplex(expression, { bindings: new Map(), scale: 0, work });
  return !Number.isNaN(value.re) && Math.abs(value.im) <= 1e-12 ? value.re : undefined;
}
