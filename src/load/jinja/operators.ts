/** Python's operators on the values of a template. */
import { type Budget, TemplateLimitError, TemplateRuntimeError } from "./budget.ts";
import { formatPercent } from "./format.ts";
import {
  compare,
  Dict,
  isEqual,
  iterable,
  known,
  PyObject,
  Range,
  Tuple,
  toInt,
  typeName,
  Undefined,
  type Value,
} from "./values.ts";

/** Maximum bits of the result of a multiplication or power of whole numbers. */
const MAX_BITS = 65_536;

const asNumber = (value: Value): bigint | number | undefined =>
  typeof value === "boolean"
    ? BigInt(value)
    : typeof value === "bigint" || typeof value === "number"
      ? value
      : undefined;

export function binary(operator: string, left: Value, right: Value, budget: Budget): Value {
  known(left);
  if (operator === "%" && typeof left === "string") return formatPercent(left, right, budget);
  known(right);
  const a = asNumber(left);
  const b = asNumber(right);
  if (a !== undefined && b !== undefined) return arithmetic(operator, a, b);
  if (operator === "+") {
    const sum = joined(left, right, budget);
    if (sum !== undefined) return sum;
  }
  if (operator === "*") {
    const repeated = a === undefined ? repeat(left, right, budget) : repeat(right, left, budget);
    if (repeated !== undefined) return repeated;
  }
  if (operator === "+" && typeof left === "string")
    throw new TemplateRuntimeError(`can only concatenate str (not "${typeName(right)}") to str`);
  const shown = operator === "**" ? "** or pow()" : operator;
  throw new TemplateRuntimeError(
    `unsupported operand type(s) for ${shown}: '${typeName(left)}' and '${typeName(right)}'`,
  );
}

function joined(left: Value, right: Value, budget: Budget): Value {
  if (typeof left === "string" && typeof right === "string") {
    budget.text(left.length + right.length);
    return left + right;
  }
  if (Array.isArray(left) && Array.isArray(right)) {
    budget.spend(left.length + right.length);
    return [...left, ...right];
  }
  if (!(left instanceof Tuple && right instanceof Tuple)) return undefined;
  budget.spend(left.items.length + right.items.length);
  return new Tuple([...left.items, ...right.items]);
}

function repeat(value: Value, times: Value, budget: Budget): Value {
  if (typeof times !== "bigint" && typeof times !== "boolean") return undefined;
  const count = Math.max(0, toInt(times));
  if (typeof value === "string") {
    budget.text(value.length * count);
    return value.repeat(count);
  }
  const items = value instanceof Tuple ? value.items : Array.isArray(value) ? value : undefined;
  if (items === undefined) return undefined;
  budget.spend(items.length * count);
  const list = Array.from({ length: items.length * count }, (_, i) => items[i % items.length]);
  return value instanceof Tuple ? new Tuple(list) : list;
}

function arithmetic(operator: string, a: bigint | number, b: bigint | number): bigint | number {
  if (typeof a === "bigint" && typeof b === "bigint" && operator !== "/") return whole(operator, a, b);
  const x = Number(a);
  const y = Number(b);
  if (y === 0 && (operator === "/" || operator === "//" || operator === "%"))
    throw new TemplateRuntimeError("division by zero");
  switch (operator) {
    case "+":
      return x + y;
    case "-":
      return x - y;
    case "*":
      return x * y;
    case "/":
      return x / y;
    case "//":
      return Math.floor(x / y);
    case "%":
      return x - y * Math.floor(x / y);
    default:
      return x ** y;
  }
}

function whole(operator: string, a: bigint, b: bigint): bigint | number {
  switch (operator) {
    case "+":
      return a + b;
    case "-":
      return a - b;
    case "*":
      return bounded(a * b);
    case "**":
      if (b < 0n) return Number(a) ** Number(b);
      if (BigInt(a.toString(2).length) * b > MAX_BITS)
        throw new TemplateLimitError(`it makes a number of more than ${MAX_BITS} bits`);
      return a ** b;
    default: {
      if (b === 0n) throw new TemplateRuntimeError("integer division or modulo by zero");
      const quotient = a / b - (a % b !== 0n && a < 0n !== b < 0n ? 1n : 0n);
      return operator === "//" ? quotient : a - quotient * b;
    }
  }
}

function bounded(value: bigint): bigint {
  if (BigInt.asIntN(MAX_BITS, value) !== value)
    throw new TemplateLimitError(`it makes a number of more than ${MAX_BITS} bits`);
  return value;
}

export function negative(value: Value, sign: "-" | "+"): Value {
  known(value);
  const number = asNumber(value);
  if (number === undefined)
    throw new TemplateRuntimeError(`bad operand type for unary ${sign}: '${typeName(value)}'`);
  return sign === "-" ? -number : number;
}

/** Evaluates one comparison of a chain. */
export function compares(operator: string, left: Value, right: Value, budget: Budget): boolean {
  switch (operator) {
    case "==":
      return isEqual(left, right);
    case "!=":
      return !isEqual(left, right);
    case "in":
      return contains(right, left, budget);
    case "not in":
      return !contains(right, left, budget);
    case "<":
      return compare(left, right, operator) < 0;
    case "<=":
      return compare(left, right, operator) <= 0;
    case ">":
      return compare(left, right, operator) > 0;
    default:
      return compare(left, right, operator) >= 0;
  }
}

/** Functions and ranges are hashable in Python, but not here. */
const isHashable = (value: Value): boolean =>
  !(value instanceof PyObject) ||
  value instanceof Dict ||
  value instanceof Tuple ||
  value instanceof Undefined;

/** `item in values`. */
export function contains(values: Value, item: Value, budget: Budget): boolean {
  if (typeof values === "string") {
    if (typeof item !== "string")
      throw new TemplateRuntimeError(`'in <string>' requires string as left operand, not ${typeName(item)}`);
    budget.text(values.length);
    return values.includes(item);
  }
  if (values instanceof Dict) return isHashable(item) && values.has(item);
  if (values instanceof Range && typeof item === "bigint") {
    const { start, step, length } = values;
    const offset = item - start;
    return offset % step === 0n && offset / step >= 0n && offset / step < BigInt(length);
  }
  const items = iterable(values);
  if (items === undefined)
    throw new TemplateRuntimeError(`argument of type '${typeName(values)}' is not iterable`);
  for (const one of items) {
    budget.spend();
    if (isEqual(one, item)) return true;
  }
  return false;
}
