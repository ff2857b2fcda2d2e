/** Expressions that an answer is made of, after parsing. */
import type { Rational } from "./rational.ts";

/** Functions by their field's names. "root" takes the radicand and the degree, "log" the value and the base. */
export type FunctionName =
  | "sqrt"
  | "root"
  | "abs"
  | "floor"
  | "ceiling"
  | "factorial"
  | "binomial"
  | "exp"
  | "ln"
  | "log"
  | "sin"
  | "cos"
  | "tan"
  | "cot"
  | "sec"
  | "csc"
  | "arcsin"
  | "arccos"
  | "arctan"
  | "sinh"
  | "cosh"
  | "tanh"
  | "degrees"
  | "percent"
  | "determinant"
  | "min"
  | "max"
  | "gcd"
  | "lcm";

export type Expression =
  /** places: digits after the point of a number that was written as a decimal. */
  | { readonly kind: "number"; readonly value: Rational; readonly places?: number }
  /** Digits with a base, such as 52_8. */
  | { readonly kind: "based"; readonly digits: string; readonly base: number }
  | { readonly kind: "symbol"; readonly name: string }
  | { readonly kind: "constant"; readonly name: "pi" | "e" | "i" | "infinity" }
  | { readonly kind: "sum"; readonly terms: readonly Expression[] }
  | { readonly kind: "product"; readonly factors: readonly Expression[] }
  | { readonly kind: "quotient"; readonly top: Expression; readonly bottom: Expression }
  | { readonly kind: "power"; readonly base: Expression; readonly exponent: Expression }
  | { readonly kind: "call"; readonly name: FunctionName; readonly args: readonly Expression[] }
  /** "±" (sign 1) or "∓" (sign -1) before an operand. */
  | { readonly kind: "either-sign"; readonly sign: 1 | -1; readonly operand: Expression };

/** The parts of an expression one level down. */
export function childrenOf(expression: Expression): readonly Expression[] {
  switch (expression.kind) {
    case "sum":
      return expression.terms;
    case "product":
      return expression.factors;
    case "quotient":
      return [expression.top, expression.bottom];
    case "power":
      return [expression.base, expression.exponent];
    case "call":
      return expression.args;
    case "either-sign":
      return [expression.operand];
    default:
      return [];
  }
}

/** True if the expression or a part of it passes the test. */
export function hasPart(expression: Expression, test: (part: Expression) => boolean): boolean {
  return test(expression) || childrenOf(expression).some((child) => hasPart(child, test));
}

/** Collects the names of the free symbols. */
export function symbolsOf(expression: Expression, into: Set<string> = new Set()): Set<string> {
  if (expression.kind === "symbol") into.add(expression.name);
  for (const child of childrenOf(expression)) symbolsOf(child, into);
  return into;
}

/** Rebuilds an expression with `change` applied to each of its direct parts. */
export function mapChildren(expression: Expression, change: (child: Expression) => Expression): Expression {
  switch (expression.kind) {
    case "sum":
      return { kind: "sum", terms: expression.terms.map(change) };
    case "product":
      return { kind: "product", factors: expression.factors.map(change) };
    case "quotient":
      return { kind: "quotient", top: change(expression.top), bottom: change(expression.bottom) };
    case "power":
      return { kind: "power", base: change(expression.base), exponent: change(expression.exponent) };
    case "call":
      return { ...expression, args: expression.args.map(change) };
    case "either-sign":
      return { ...expression, operand: change(expression.operand) };
    default:
      return expression;
  }
}

export function negated(operand: Expression): Expression {
  if (operand.kind === "number") {
    const { numerator, denominator } = operand.value;
    return { ...operand, value: { numerator: -numerator, denominator } };
  }
  return {
    kind: "product",
    factors: [{ kind: "number", value: { numerator: -1n, denominator: 1n } }, operand],
  };
}

export function difference(left: Expression, right: Expression): Expression {
  return { kind: "sum", terms: [left, negated(right)] };
}

/** The values of an expression with "±": one for the upper signs, one for the lower; the expression itself without. */
export function expandSigns(expression: Expression): readonly Expression[] {
  if (!hasPart(expression, (part) => part.kind === "either-sign")) return [expression];
  return [1, -1].map((sign) => withSign(expression, sign));
}

function withSign(expression: Expression, sign: number): Expression {
  if (expression.kind !== "either-sign") return mapChildren(expression, (child) => withSign(child, sign));
  const operand = withSign(expression.operand, sign);
  return expression.sign * sign > 0 ? operand : negated(operand);
}
