/** Expressions to exact fractions, as far as fractions go. */
import type { Expression, FunctionName } from "./expression.ts";
import type { Rational } from "./rational.ts";
import * as rational from "./rational.ts";
import type { Work } from "./work.ts";

/** Values of the free symbols at a point, and the work that may be spent there. */
export interface ExactPoint {
  readonly bindings: ReadonlyMap<string, Rational>;
  readonly work: Work;
}

/** A point without symbols. */
export function noSymbols(work: Work): ExactPoint {
  return { bindings: new Map(), work };
}

/** Largest argument of a factorial or a binomial that is computed exactly. */
const MAX_FACTORIAL = 2000n;

/** The value of an expression; undefined if it is no fraction, is undefined (1/0), or is too large to compute. */
export function evaluateExactly(expression: Expression, point: ExactPoint): Rational | undefined {
  if (!point.work.spend(1)) return undefined;
  const evaluate = (part: Expression) => evaluateExactly(part, point);
  const add = metered(point.work, rational.add);
  const multiply = metered(point.work, rational.multiply);
  switch (expression.kind) {
    case "number":
      return expression.value;
    case "based":
      return basedValue(expression.digits, expression.base);
    case "symbol":
      return point.bindings.get(expression.name);
    case "sum":
      return fold(expression.terms.map(evaluate), add, rational.ZERO);
    case "product":
      return fold(expression.factors.map(evaluate), multiply, rational.ONE);
    case "quotient": {
      const bottom = evaluate(expression.bottom);
      const inverse = bottom && rational.invert(bottom);
      const top = inverse && evaluate(expression.top);
      return top && inverse && multiply(top, inverse);
    }
    case "power":
      return exactPower(evaluate(expression.base), evaluate(expression.exponent));
    case "call":
      return exactCall(expression.name, expression.args.map(evaluate));
    default:
      return undefined;
  }
}

type Operation = (a: Rational, b: Rational) => Rational | undefined;

/** Reducing a fraction of n bits takes about n² / 10^5 microseconds. */
function metered(work: Work, operation: Operation): Operation {
  return (a, b) => {
    const bits = rational.sizeOf(a) + rational.sizeOf(b);
    return work.spend((bits * bits) / 1e5) ? operation(a, b) : undefined;
  };
}

function fold(
  values: readonly (Rational | undefined)[],
  operation: Operation,
  start: Rational,
): Rational | undefined {
  return values.reduce<Rational | undefined>(
    (total, value) => total && value && operation(total, value),
    start,
  );
}

/** The value of digits in a base; undefined if a digit is none of the base. */
function basedValue(digits: string, base: number): Rational | undefined {
  if (!/^\d{1,200}$/.test(digits)) return undefined;
  let value = 0n;
  for (const digit of digits) {
    if (Number(digit) >= base) return undefined;
    value = value * BigInt(base) + BigInt(digit);
  }
  return rational.integer(value);
}

function exactPower(base: Rational | undefined, exponent: Rational | undefined): Rational | undefined {
  if (!base || !exponent) return undefined;
  if (rational.isInteger(exponent)) return rational.power(base, exponent.numerator);
  if (exponent.denominator > 64n) return undefined;
  const rooted = rational.root(base, Number(exponent.denominator));
  return rooted && rational.power(rooted, exponent.numerator);
}

function exactCall(name: FunctionName, args: readonly (Rational | undefined)[]): Rational | undefined {
  const [first, second] = args;
  if (!first || args.includes(undefined)) return undefined;
  switch (name) {
    case "sqrt":
      return rational.root(first, 2);
    case "root":
      return second && rational.root(first, rational.toNumber(second));
    case "abs":
    case "determinant":
      return first.numerator < 0n && name === "abs" ? rational.negate(first) : first;
    case "floor":
      return rational.floor(first);
    case "ceiling":
      return rational.negate(rational.floor(rational.negate(first)));
    case "percent":
      return rational.multiply(first, { numerator: 1n, denominator: 100n });
    case "factorial":
      return exactProduct(first, first);
    case "binomial":
      return second && exactBinomial(first, second);
    case "min":
    case "max":
    case "gcd":
    case "lcm":
      return exactOfMany(
        name,
        args.filter((value) => value !== undefined),
      );
    default:
      return undefined;
  }
}

/** top · (top-1) · …, `count` factors. */
function exactProduct(top: Rational, count: Rational): Rational | undefined {
  const areWhole = rational.isInteger(top) && rational.isInteger(count);
  if (!areWhole || count.numerator < 0n || count.numerator > MAX_FACTORIAL || top.numerator > MAX_FACTORIAL)
    return undefined;
  let product = 1n;
  for (let i = 0n; i < count.numerator; i++) product *= top.numerator - i;
  return rational.integer(product);
}

function exactBinomial(top: Rational, bottom: Rational): Rational | undefined {
  const chosen = exactProduct(top, bottom);
  const orders = exactProduct(bottom, bottom);
  const inverse = orders && rational.invert(orders);
  return chosen && inverse && rational.multiply(chosen, inverse);
}

function exactOfMany(name: "min" | "max" | "gcd" | "lcm", values: readonly Rational[]): Rational | undefined {
  return values.reduce<Rational | undefined>((best, value) => {
    if (!best) return undefined;
    if (name === "gcd" || name === "lcm") return exactDivisor(name, best, value);
    const isLess = value.numerator * best.denominator < best.numerator * value.denominator;
    return isLess === (name === "min") ? value : best;
  }, values[0]);
}

function exactDivisor(name: "gcd" | "lcm", a: Rational, b: Rational): Rational | undefined {
  if (!rational.isInteger(a) || !rational.isInteger(b) || a.numerator <= 0n || b.numerator <= 0n)
    return undefined;
  const ratio = rational.rational(a.numerator, b.numerator);
  if (!ratio) return undefined;
  return rational.integer(name === "gcd" ? a.numerator / ratio.numerator : a.numerator * ratio.denominator);
}
