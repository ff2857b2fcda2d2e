/** Expressions to real numbers of 80 digits: tells √(10^40+1) from 10^20, which double precision cannot. */
import { Decimal } from "decimal.js";
import { type ExactPoint, evaluateExactly } from "./evaluate-exact.ts";
import type { Expression, FunctionName } from "./expression.ts";
import type { Rational } from "./rational.ts";

const DIGITS = 80;
/** Arguments beyond which a function is not computed, so that no call takes long. */
const LARGEST_ANGLE = 1e6;
const LARGEST_EXPONENT = 1e4;

const Real = Decimal.clone({ precision: DIGITS, maxE: 1e6, minE: -1e6, toExpNeg: -100, toExpPos: 100 });
const PI = Real.acos(-1);

/** Difference up to which two values count as equal, as a share of their size. */
const TOLERANCE = new Real("1e-50");
/** What rounding may leave of a value that is 0, as a share of the largest number that went into it. */
const ROUNDING = new Real("1e-70");

/** The value at a point; undefined where it is not real, undefined or too large to compute. */
export function evaluateDecimal(expression: Expression, point: ExactPoint): Decimal | undefined {
  if (!point.work.spend(costOf(expression))) return undefined;
  const value = evaluatePart(expression, point);
  return value?.isFinite() ? value : undefined;
}

/** Compares to 50 digits. scale: the largest number that went into the two. */
export function areDecimalsEqual(a: Decimal, b: Decimal, scale: number): boolean {
  const size = Real.max(a.abs(), b.abs());
  return a
    .minus(b)
    .abs()
    .lte(TOLERANCE.times(size).plus(ROUNDING.times(scale)));
}

/** Microseconds: a function of 80 digits takes hundreds of them, arithmetic one or two. */
function costOf({ kind }: Expression): number {
  return kind === "call" || kind === "power" ? 500 : 3;
}

function evaluatePart(expression: Expression, point: ExactPoint): Decimal | undefined {
  const evaluate = (part: Expression) => evaluateDecimal(part, point);
  switch (expression.kind) {
    case "number":
      return ofRational(expression.value);
    case "based": {
      const value = evaluateExactly(expression, point);
      return value && ofRational(value);
    }
    case "symbol": {
      const value = point.bindings.get(expression.name);
      return value && ofRational(value);
    }
    case "constant":
      return expression.name === "pi" ? PI : expression.name === "e" ? Real.exp(1) : undefined;
    case "sum":
      return fold(expression.terms.map(evaluate), (a, b) => a.plus(b));
    case "product":
      return fold(expression.factors.map(evaluate), (a, b) => a.times(b));
    case "quotient":
      return fold([evaluate(expression.top), evaluate(expression.bottom)], (a, b) => a.div(b));
    case "power":
      return fold([evaluate(expression.base), evaluate(expression.exponent)], decimalPower);
    case "call":
      return decimalCall(expression.name, expression.args.map(evaluate));
    default:
      return undefined;
  }
}

function ofRational(value: Rational): Decimal | undefined {
  const digits = (part: bigint) => new Real(part.toString());
  if (value.numerator.toString(16).length + value.denominator.toString(16).length > 4000) return undefined;
  return digits(value.numerator).div(digits(value.denominator));
}

type Operation = (a: Decimal, b: Decimal) => Decimal | undefined;

function fold(values: readonly (Decimal | undefined)[], operation: Operation): Decimal | undefined {
  return values.reduce((total, value) => total && value && operation(total, value));
}

function decimalPower(base: Decimal, exponent: Decimal): Decimal | undefined {
  if (exponent.abs().gt(LARGEST_EXPONENT)) return undefined;
  if (base.isZero() && exponent.lte(0)) return exponent.isZero() ? new Real(1) : undefined;
  if (base.isNegative() && !exponent.isInteger()) return undefined;
  return base.pow(exponent);
}

const ANGLE_FUNCTIONS: Readonly<Partial<Record<FunctionName, (x: Decimal) => Decimal>>> = {
  sin: (x) => x.sin(),
  cos: (x) => x.cos(),
  tan: (x) => x.tan(),
  cot: (x) => new Real(1).div(x.tan()),
  sec: (x) => new Real(1).div(x.cos()),
  csc: (x) => new Real(1).div(x.sin()),
};
const SMALL_FUNCTIONS: Readonly<Partial<Record<FunctionName, (x: Decimal) => Decimal>>> = {
  arcsin: (x) => x.asin(),
  arccos: (x) => x.acos(),
  arctan: (x) => x.atan(),
  exp: (x) => x.exp(),
  sinh: (x) => x.sinh(),
  cosh: (x) => x.cosh(),
  tanh: (x) => x.tanh(),
};

function decimalCall(name: FunctionName, args: readonly (Decimal | undefined)[]): Decimal | undefined {
  const [first, second] = args;
  if (!first) return undefined;
  const ofAngle = ANGLE_FUNCTIONS[name];
  if (ofAngle) return first.abs().gt(LARGEST_ANGLE) ? undefined : ofAngle(first);
  const ofSmall = SMALL_FUNCTIONS[name];
  if (ofSmall) return first.abs().gt(LARGEST_EXPONENT) ? undefined : ofSmall(first);
  switch (name) {
    case "sqrt":
      return first.isNegative() && !first.isZero() ? undefined : first.sqrt();
    case "root":
      return second && decimalRoot(first, second);
    case "abs":
      return first.abs();
    case "floor":
      return first.floor();
    case "ceiling":
      return first.ceil();
    case "ln":
      return first.gt(0) ? first.ln() : undefined;
    case "log":
      return second && first.gt(0) && second.gt(0) && !second.eq(1) ? first.ln().div(second.ln()) : undefined;
    case "percent":
      return first.div(100);
    case "degrees":
      return first.times(PI).div(180);
    default:
      return undefined;
  }
}

function decimalRoot(value: Decimal, degree: Decimal): Decimal | undefined {
  if (!degree.isInteger() || degree.isZero() || degree.abs().gt(64)) return undefined;
  const isOdd = degree.mod(2).abs().eq(1);
  if (value.isNegative()) return isOdd ? value.neg().pow(new Real(1).div(degree)).neg() : undefined;
  return value.pow(new Real(1).div(degree));
}
