/** Expressions to complex numbers in double precision: fast enough to try at many points. */
import { evaluateExactly, noSymbols } from "./evaluate-exact.ts";
import type { Expression, FunctionName } from "./expression.ts";
import { type Rational, toNumber } from "./rational.ts";
import type { Work } from "./work.ts";

export interface Complex {
  readonly re: number;
  readonly im: number;
}

/** Values of the free symbols at one point, and the largest term met while evaluating: the scale of rounding errors. */
export interface Evaluation {
  readonly bindings: ReadonlyMap<string, number>;
  scale: number;
  readonly work: Work;
}

const NOT_A_NUMBER: Complex = { re: Number.NaN, im: Number.NaN };

function real(re: number): Complex {
  return { re, im: 0 };
}

/** The value at a point; NaN where there is none. Infinity stands for itself as a whole expression alone. */
export function evaluateComplex(expression: Expression, evaluation: Evaluation): Complex {
  if (!evaluation.work.spend(0.2)) return NOT_A_NUMBER;
  const value = evaluatePart(expression, evaluation);
  evaluation.scale = Math.max(evaluation.scale, Math.abs(value.re), Math.abs(value.im));
  return value;
}

function evaluatePart(expression: Expression, evaluation: Evaluation): Complex {
  const evaluate = (part: Expression) => evaluateComplex(part, evaluation);
  switch (expression.kind) {
    case "number":
      return real(toNumber(expression.value));
    case "based": {
      const value = evaluateExactly(expression, noSymbols(evaluation.work));
      return value ? real(toNumber(value)) : NOT_A_NUMBER;
    }
    case "symbol":
      return real(evaluation.bindings.get(expression.name) ?? Number.NaN);
    case "constant":
      return constant(expression.name);
    case "sum":
      return expression.terms.map(evaluate).reduce(plus, real(0));
    case "product":
      return expression.factors.map(evaluate).reduce(times, real(1));
    case "quotient":
      return over(evaluate(expression.top), evaluate(expression.bottom));
    case "power":
      return evaluatePower(evaluate(expression.base), evaluate(expression.exponent), () =>
        evaluateExactly(expression.exponent, noSymbols(evaluation.work)),
      );
    case "call":
      return evaluateCall(expression.name, expression.args.map(evaluate));
    default:
      return NOT_A_NUMBER;
  }
}

function constant(name: "pi" | "e" | "i" | "infinity"): Complex {
  if (name === "i") return { re: 0, im: 1 };
  return real({ pi: Math.PI, e: Math.E, infinity: Number.POSITIVE_INFINITY }[name]);
}

function plus(a: Complex, b: Complex): Complex {
  return { re: a.re + b.re, im: a.im + b.im };
}

function times(a: Complex, b: Complex): Complex {
  if (a.im === 0 && b.im === 0) return real(a.re * b.re);
  return { re: a.re * b.re - a.im * b.im, im: a.re * b.im + a.im * b.re };
}

function over(a: Complex, b: Complex): Complex {
  if (b.im === 0) return b.re === 0 ? NOT_A_NUMBER : { re: a.re / b.re, im: a.im / b.re };
  const norm = b.re * b.re + b.im * b.im;
  return { re: (a.re * b.re + a.im * b.im) / norm, im: (a.im * b.re - a.re * b.im) / norm };
}

function ln(a: Complex): Complex {
  if (a.re === 0 && a.im === 0) return NOT_A_NUMBER;
  return { re: Math.log(Math.hypot(a.re, a.im)), im: Math.atan2(a.im, a.re) };
}

function exp(a: Complex): Complex {
  const size = Math.exp(a.re);
  return a.im === 0 ? real(size) : { re: size * Math.cos(a.im), im: size * Math.sin(a.im) };
}

function sqrt(a: Complex): Complex {
  if (a.im === 0) return a.re >= 0 ? real(Math.sqrt(a.re)) : { re: 0, im: Math.sqrt(-a.re) };
  return exp(times(real(0.5), ln(a)));
}

/** A negative real number to a fraction with an odd denominator has its real root, as answers mean it. */
function evaluatePower(base: Complex, exponent: Complex, exactExponent: () => Rational | undefined): Complex {
  if (base.im === 0 && exponent.im === 0) {
    const value = base.re ** exponent.re;
    if (!Number.isNaN(value)) return real(value);
    const exact = exactExponent();
    if (exact && exact.denominator % 2n === 1n) {
      const sign = exact.numerator % 2n === 0n ? 1 : -1;
      return real(sign * (-base.re) ** exponent.re);
    }
  }
  const isWhole = exponent.im === 0 && Number.isInteger(exponent.re) && Math.abs(exponent.re) <= 64;
  if (isWhole) return wholePower(base, exponent.re);
  return base.re === 0 && base.im === 0 ? NOT_A_NUMBER : exp(times(exponent, ln(base)));
}

function wholePower(base: Complex, exponent: number): Complex {
  let product = real(1);
  for (let i = 0; i < Math.abs(exponent); i++) product = times(product, base);
  return exponent < 0 ? over(real(1), product) : product;
}

/** Functions of one real number; those that are missing here also take complex numbers. */
const REAL_FUNCTIONS: Readonly<Partial<Record<FunctionName, (x: number) => number>>> = {
  floor: Math.floor,
  ceiling: Math.ceil,
  factorial: (x) => (Number.isInteger(x) && x >= 0 && x <= 170 ? factorial(x) : Number.NaN),
  sin: Math.sin,
  cos: Math.cos,
  tan: Math.tan,
  cot: (x) => 1 / Math.tan(x),
  sec: (x) => 1 / Math.cos(x),
  csc: (x) => 1 / Math.sin(x),
  arcsin: Math.asin,
  arccos: Math.acos,
  arctan: Math.atan,
  sinh: Math.sinh,
  cosh: Math.cosh,
  tanh: Math.tanh,
  degrees: (x) => (x * Math.PI) / 180,
};

function evaluateCall(name: FunctionName, args: readonly Complex[]): Complex {
  const [first = NOT_A_NUMBER, second = NOT_A_NUMBER] = args;
  const ofReal = REAL_FUNCTIONS[name];
  if (ofReal) return first.im === 0 ? real(ofReal(first.re)) : ofComplex(name, first);
  switch (name) {
    case "sqrt":
      return sqrt(first);
    case "root":
      return rootOf(first, second);
    case "abs":
      return real(Math.hypot(first.re, first.im));
    case "exp":
      return exp(first);
    case "ln":
      return ln(first);
    case "log":
      return over(ln(first), ln(second));
    case "percent":
      return times(first, real(0.01));
    case "binomial":
      return real(binomial(first.re, second.re));
    case "min":
    case "max":
      return args.every((arg) => arg.im === 0)
        ? real(Math[name](...args.map((arg) => arg.re)))
        : NOT_A_NUMBER;
    default:
      return NOT_A_NUMBER;
  }
}

/** The trigonometric functions of a complex number, by Euler's formula. */
function ofComplex(name: FunctionName, z: Complex): Complex {
  const iz: Complex = { re: -z.im, im: z.re };
  const [up, down] = [exp(iz), exp({ re: z.im, im: -z.re })];
  const cos = times(plus(up, down), real(0.5));
  const sin = times(plus(up, { re: -down.re, im: -down.im }), { re: 0, im: -0.5 });
  if (name === "sin") return sin;
  if (name === "cos") return cos;
  return name === "tan" ? over(sin, cos) : NOT_A_NUMBER;
}

function rootOf(value: Complex, degree: Complex): Complex {
  if (degree.im !== 0 || degree.re === 0) return NOT_A_NUMBER;
  const isOdd = Math.abs(degree.re % 2) === 1;
  if (value.im === 0 && value.re < 0 && isOdd) return real(-((-value.re) ** (1 / degree.re)));
  if (value.im === 0 && value.re >= 0) return real(value.re ** (1 / degree.re));
  return exp(over(ln(value), degree));
}

function factorial(n: number): number {
  let product = 1;
  for (let i = 2; i <= n; i++) product *= i;
  return product;
}

/** The binomial coefficient of a real number over a whole one. */
function binomial(n: number, k: number): number {
  if (!Number.isInteger(k) || k < 0 || k > 1000) return Number.NaN;
  let product = 1;
  for (let i = 0; i < k; i++) product *= (n - i) / (k - i);
  return product;
}
